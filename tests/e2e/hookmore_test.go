package e2e

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/tests/netnstest"
)

// hookedRules are what libvirt's nftables backend (since 10.4) has for hookedXML.
const hookedRules = `table ip libvirt_network {
	chain forward { type filter hook forward priority filter; policy accept; counter jump guest_cross; counter jump guest_input; counter jump guest_output; }
	chain guest_output { ip saddr 192.168.122.0/24 iif "virbr0" counter accept; iif "virbr0" counter reject; }
	chain guest_input { oif "virbr0" ip daddr 192.168.122.0/24 ct state established,related counter accept; oif "virbr0" counter reject; }
	chain guest_cross { iif "virbr0" oif "virbr0" counter accept; }
	chain guest_nat { type nat hook postrouting priority srcnat; policy accept; ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter masquerade; }
}
`

// TestHookNftables: libvirt's nftables backend rejects as its other one does, and is
// accepted beside in the same way, also when it writes its rules anew.
func TestHookNftables(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		out := newOutside(t)
		extendFile(t, "default", "<virbr:portForward proto='tcp' guest='192.168.122.9'><virbr:range start='8080' to='80'/></virbr:portForward>")
		d := startHooked(t)
		d.up("default", hookedXML)
		g := netnstest.NewGuest(t, "web", "virbr0")
		g.Address(t, netip.MustParsePrefix("192.168.122.9/24"))
		g.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.168.122.1"))
		tellsCaller(t, g, ":80")
		wantCall(t, "iptables", out, uplink4+":8080", "web "+outside4)
		run(t, "nft", "flush", "ruleset")
		rules := filepath.Join(t.TempDir(), "rules.nft")
		for _, when := range []string{"nftables", "written anew"} {
			write(t, rules, "table ip libvirt_network\ndelete table ip libvirt_network\n"+hookedRules)
			run(t, "nft", "-f", rules)
			wantCall(t, when, out, uplink4+":8080", "web "+outside4)
		}
		run(t, "nft", "insert", "rule", "ip", "libvirt_network", "guest_input", "oif", "virbr0", "reject")
		wantCall(t, "libvirt inserts before ours", out, uplink4+":8080", "web "+outside4)
		if got := hears(t, g, out, "192.168.122.9"); got == outside4 {
			t.Error("what is not forwarded comes through")
		}
		d.virsh("net-destroy", "default")
		nothingAdded(t)
	})
}

// TestHookPublic: a guest of a network of libvirtd has a public address of its own,
// with connection tracking and without, and is seen by it.
func TestHookPublic(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"stateful", "stateless"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				out := newOutside(t)
				const public = "203.0.113.77" // on the uplink: the host answers for it
				extendFile(t, "default", "<virbr:address public='"+public+"' guest='web' mode='"+mode+"'/>")
				d := startHooked(t)
				d.up("default", hookedXML)
				g := netnstest.NewGuest(t, "web", "virbr0")
				g.DHCP(t, "-x", "hostname:web")
				tellsCaller(t, g, ":80")
				wantCall(t, "from outside", out, public+":80", "web "+outside4)
				tellsCaller(t, out, ":81")
				wantCall(t, "to the outside", g, outside4+":81", "outside "+public)
				d.virsh("net-update", "default", "add", "dns-host", "<host ip='192.168.122.1'><hostname>gate</hostname></host>", "--live")
				wantCall(t, "after net-update", out, public+":80", "web "+outside4)
				d.virsh("net-destroy", "default")
				nothingAdded(t)
			})
		})
	}
}

// TestHookOpen: an open network, for which libvirt has no rules, has those of mode
// nat where its extensions say so.
func TestHookOpen(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		out := newOutside(t)
		out.Route(t, netip.MustParsePrefix("192.168.122.0/24"), netip.MustParseAddr(uplink4))
		d := startHooked(t)
		d.up("default", strings.Replace(hookedXML, "mode='nat'", "mode='open'", 1))
		g := netnstest.NewGuest(t, "g", "virbr0")
		lease, err := g.DHCP(t).Address()
		if err != nil {
			t.Fatal(err)
		}
		if got := hears(t, g, out, lease.String()); got != outside4 {
			t.Errorf("an open network, from outside: %s", got)
		}
		extendFile(t, "default", "<virbr:firewall mode='nat'/>")
		if text, err := exec.CommandContext(t.Context(), bin("virbrd"), "hook", "--apply").CombinedOutput(); err != nil || !strings.Contains(string(text), "default: extensions from /etc/virbr/networks/default.xml") {
			t.Errorf("hook --apply: %v\n%s", err, text)
		}
		if got := hears(t, g, out, lease.String()); got != errRejected.Error() {
			t.Errorf("with the rules of mode nat, from outside: %s", got)
		}
		if got := hears(t, out, g, outside4); got != uplink4 {
			t.Errorf("with the rules of mode nat, to the outside: %s, want %s", got, uplink4)
		}
		if err := os.Remove("/etc/virbr/networks/default.xml"); err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "the rules are gone", func() error {
			if _, there := report(t, "default"); there {
				return errors.New("they are there")
			}
			return nil
		})
		if got := hears(t, g, out, lease.String()); got != outside4 {
			t.Errorf("an open network again, from outside: %s", got)
		}
		nothingAdded(t)
	})
}

// TestHookCreatesBridge: a network in mode bridge gets the bridge that it names, with
// an IPv4 subnet and an IPv6 prefix that are served there.
func TestHookCreatesBridge(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		d := startHooked(t)
		before := netnstest.Snapshot(t)
		extendFile(t, "lab", "<virbr:bridge create='yes'/><virbr:ip type='auto'/><virbr:ipv6 advprefix='ula'/>")
		d.up("lab", "<network><name>lab</name><forward mode='bridge'/><bridge name='lab0'/></network>")
		g := netnstest.NewGuest(t, "g", "lab0")
		lease, err := g.DHCP(t).Address()
		if err != nil || !lease.Is4() {
			t.Errorf("leased %v (%v)", lease, err)
		}
		slaac(t, g, netip.MustParsePrefix(read(t, "/var/lib/virbr/ula")))
		run(t, "ip", "link", "del", g.Tap)
		d.virsh("net-destroy", "lab")
		same(t, before, netnstest.Snapshot(t), "a network with a bridge of ours was started and stopped")
		nothingAdded(t)
	})
}

// TestHookMetadata: what a libvirt that keeps metadata says of a network counts,
// from its hook and, when it is edited, from its status file. Debian's keeps none, so
// the test writes for it.
func TestHookMetadata(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		out := newOutside(t)
		d := startHooked(t)
		d.up("default", hookedXML)
		g := netnstest.NewGuest(t, "web", "virbr0")
		g.DHCP(t, "-x", "hostname:web")
		tellsCaller(t, g, ":80")
		plain := read(t, "/run/libvirt/network/default.xml")
		status := func(port string) {
			t.Helper()
			temp := filepath.Join("/run/libvirt/network", "default.xml.new") // as libvirt does it
			write(t, temp, strings.Replace(plain, "</uuid>", "</uuid><metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>"+
				"<virbr:portForward proto='tcp' guest='web'><virbr:range start='"+port+"' to='80'/></virbr:portForward></virbr:network></metadata>", 1))
			if err := os.Rename(temp, "/run/libvirt/network/default.xml"); err != nil {
				t.Fatal(err)
			}
		}
		status("8080")
		if text, err := exec.CommandContext(t.Context(), bin("virbrd"), "hook", "--check", "default").CombinedOutput(); err != nil || !strings.Contains(string(text), "default: extensions from metadata") {
			t.Errorf("hook --check: %v\n%s", err, text)
		}
		if got := calls(out, uplink4+":8080"); got != "refused" {
			t.Errorf("--check did something: %s", got)
		}
		cmd := exec.CommandContext(t.Context(), "/etc/libvirt/hooks/network.d/50-virbr", "default", "plugged", "begin", "-")
		cmd.Stdin = strings.NewReader("<hookData>" + read(t, "/run/libvirt/network/default.xml")[strings.Index(read(t, "/run/libvirt/network/default.xml"), "<network>"):strings.Index(read(t, "/run/libvirt/network/default.xml"), "</networkstatus>")] + "<domain type='kvm'/></hookData>")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("the hook as libvirt 5.4 calls it: %v\n%s", err, text)
		}
		wantCall(t, "from the hook's document", out, uplink4+":8080", "web "+outside4)
		status("8081")
		wantCall(t, "edited", out, uplink4+":8081", "web "+outside4)
		other := filepath.Join(t.TempDir(), "other.xml")
		write(t, other, "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ipv6 advprefix='fd00:5::/64'/></virbr:network>")
		for file, want := range map[string][]string{
			other:       {"\n  + address add fd00:5::1/64 nodad dev virbr0\n", "\n  ~ firewall install virbr0 ", "default: extensions from " + other + "\n"},
			"/dev/null": {"default: error: reading"},
		} {
			text, _ := exec.CommandContext(t.Context(), bin("virbrd"), "hook", "--check", "--extensions", file, "default").CombinedOutput()
			for _, line := range want {
				if !strings.Contains(string(text), line) {
					t.Errorf("hook --check --extensions %s: no %q in\n%s", file, line, text)
				}
			}
		}
		if text, err := exec.CommandContext(t.Context(), bin("virbrd"), "hook", "--check", "default").CombinedOutput(); err != nil || strings.Contains(string(text), "\n  ") {
			t.Errorf("there is nothing to change: %v\n%s", err, text)
		}
		wantCall(t, "what it was before", out, uplink4+":8080", "refused")
		if r, _ := report(t, "default"); r.From != plan.Metadata {
			t.Errorf("report %+v", r)
		}
		write(t, "/run/libvirt/network/default.xml", plain)
		wantCall(t, "removed", out, uplink4+":8081", "refused")
		if got, want := historyOf(t, "default"), "1 nobody found by virbrd hook\n2 nobody found by virbrd hook\n3 nobody found by virbrd hook\n"; got != want {
			t.Errorf("history:\n%swant\n%s", got, want)
		}
		if text, err := tool(t, "diff", "default@1", "default@2"); exitOf(err) != 2 || !strings.Contains(text, "8081") {
			t.Errorf("what was edited: %v\n%s", err, text)
		}
		d.virsh("net-destroy", "default")
		nothingAdded(t)
	})
}

// TestHookOfVirbrd: for networks that virbrd runs the hook does nothing, and virbrd
// takes over from the hook.
func TestHookOfVirbrd(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		extendFile(t, "default", "<virbr:portForward proto='tcp' guest='192.168.122.9'><virbr:range start='8080'/></virbr:portForward>")
		theirs := startHooked(t)
		theirs.up("default", hookedXML)
		if _, there := report(t, "default"); !there {
			t.Error("the hook did nothing for libvirtd")
		}
		theirs.stop()
		ours := startVirbrd(t)
		nothingAddedBut(t)
		ours.virsh("net-destroy", "default")
		ours.virsh("net-start", "default")
		nothingAddedBut(t)
		ours.virsh("net-destroy", "default")
	})
}

// nothingAddedBut is nothingAdded where virbrd has rules of its own.
func nothingAddedBut(t *testing.T) {
	t.Helper()
	netnstest.Wait(t, "the hook's records are gone", func() error {
		left, err := filepath.Glob("/run/virbr/hook/undo/*")
		if err == nil && len(left) > 0 {
			err = errors.New("left: " + strings.Join(left, " "))
		}
		return err
	})
	if rules := netnstest.Snapshot(t)["rules"]; strings.Contains(rules, "8080") {
		t.Errorf("a forward of a file that is the hook's alone:\n%s", rules)
	}
}

// TestHookInstall: the script is ours to put in place and to remove, and nobody
// else's.
func TestHookInstall(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		hook := func(args ...string) (string, error) {
			text, err := exec.CommandContext(t.Context(), bin("virbrd"), append([]string{"hook"}, args...)...).CombinedOutput()
			return string(text), err
		}
		const path = "/etc/libvirt/hooks/network.d/50-virbr"
		for range 2 {
			if text, err := hook("--install"); err != nil || !strings.Contains(text, path) {
				t.Fatalf("--install: %v\n%s", err, text)
			}
		}
		if diff := cmp.Diff([]string{path}, globbed(t, "/etc/libvirt/hooks/*/*")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if text, err := hook("--uninstall"); err != nil || !strings.Contains(text, "removed "+path) {
			t.Fatalf("--uninstall: %v\n%s", err, text)
		}
		if diff := cmp.Diff([]string(nil), globbed(t, "/etc/libvirt/hooks/*/*")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		write(t, path, "#!/bin/sh\n")
		if text, err := hook("--install"); err == nil || !strings.Contains(text, "script of another program") {
			t.Errorf("over somebody else's script: %v\n%s", err, text)
		}
		if text, err := hook("--uninstall"); err != nil || read(t, path) != "#!/bin/sh" {
			t.Errorf("--uninstall with somebody else's script: %v\n%s", err, text)
		}
		if text, err := hook("default", "start"); err == nil || !strings.Contains(text, "libvirt calls this") {
			t.Errorf("by hand: %v\n%s", err, text)
		}
	})
}

func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
