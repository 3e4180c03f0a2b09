package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/tests/netnstest"
)

// hookedXML is a network as libvirt's users have it.
const hookedXML = `<network>
  <name>default</name><uuid>c0ffee00-0000-4000-8000-00000000000a</uuid>
  <forward mode='nat'/><bridge name='virbr0'/><mac address='52:54:00:00:01:0a'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
</network>`

// extendFile writes the extensions of a network where a libvirt finds them that
// keeps no metadata.
func extendFile(t *testing.T, network, elements string) {
	t.Helper()
	write(t, "/etc/virbr/networks/"+network+".xml", "<virbr:network xmlns:virbr='urn:virbr:network:1'>"+elements+"</virbr:network>\n")
}

// installHook has the libvirtd that starts next call our hook.
func installHook(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), bin("virbrd"), "hook", "--install").CombinedOutput(); err != nil {
		t.Fatalf("virbrd hook --install: %v\n%s", err, out)
	}
}

// startHooked starts Debian's libvirtd, which calls our hook.
func startHooked(t *testing.T) *daemon {
	t.Helper()
	programs(t)
	netnstest.NeedProgram(t, "iptables", "ip6tables")
	installHook(t)
	return startLibvirtd(t)
}

// report returns the report of a network; false: there is none.
func report(t *testing.T, network string) (plan.Report, bool) {
	t.Helper()
	list, err := state.System().Overlay().Reports()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Network == network {
			return *r, true
		}
	}
	return plan.Report{}, false
}

// agentPID returns the process id of the agent, which must run.
func agentPID(t *testing.T) int {
	t.Helper()
	var pid int
	netnstest.Wait(t, "the agent runs", func() error {
		if _, err := fmt.Sscan(read(t, "/run/virbr/hook/agent.pid"), &pid); err != nil {
			return err
		}
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(comm)) != "virbrd" {
			return fmt.Errorf("process %d is %s", pid, comm)
		}
		return nil
	})
	return pid
}

// nothingAdded wants no trace of what the hook adds.
func nothingAdded(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"/run/virbr/hook/undo/*", "/run/virbr/hook/networks/*"} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left: %v (%v)", left, err)
		}
	}
	if rules := netnstest.Snapshot(t)["rules"]; strings.Contains(rules, "table inet virbr") || strings.Contains(rules, "virbr:") {
		t.Errorf("rules are left:\n%s", rules)
	}
	if data, err := os.ReadFile("/run/virbr/hook/agent.pid"); err == nil {
		netnstest.Wait(t, "the agent has ended", func() error {
			if _, err := os.Stat("/proc/" + strings.TrimSpace(string(data))); err == nil {
				return errors.New("it runs")
			}
			return nil
		})
	}
}

// mends kills the process of a pid file, does something, and waits until another
// process has its place.
func mends(t *testing.T, pidFile, what string, then func()) {
	t.Helper()
	was := read(t, pidFile)
	pid, err := strconv.Atoi(was)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	then()
	netnstest.Wait(t, what, func() error {
		now, err := os.ReadFile(pidFile)
		if err == nil && strings.TrimSpace(string(now)) == was {
			err = errors.New("it is the former one")
		}
		if err == nil {
			_, err = os.Stat("/proc/" + strings.TrimSpace(string(now)))
		}
		return err
	})
}

// TestHookPrefix: a network of Debian's libvirtd advertises a prefix. Guests make
// addresses of it, which the outside sees translated and cannot reach; all of it
// outlives libvirtd, is mended when it is broken, and goes with the network.
func TestHookPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		out := newOutside(t)
		extendFile(t, "default", "<virbr:ipv6 advprefix='ula'/>")
		d := startHooked(t)
		d.up("default", hookedXML)
		r, ok := report(t, "default")
		if !ok || r.Error != "" || r.From != plan.File || r.Bridge != "virbr0" {
			t.Errorf("report %+v", r)
		}
		local := netip.MustParsePrefix(read(t, "/var/lib/virbr/ula"))
		g := netnstest.NewGuest(t, "g", "virbr0")
		g.DHCP(t)
		var prefix netip.Prefix
		netnstest.Wait(t, "the bridge has an address of the prefix", func() error {
			for _, field := range strings.Fields(run(t, "ip", "-6", "-o", "addr", "show", "dev", "virbr0", "scope", "global")) {
				if p, err := netip.ParsePrefix(field); err == nil && local.Contains(p.Addr()) {
					prefix = p.Masked()
					return nil
				}
			}
			return errors.New("it has none")
		})
		own := slaac(t, g, prefix)
		netnstest.Wait(t, "the guest has an IPv6 default route", func() error {
			_, err := g.Output(t.Context(), "ip", "-6", "route", "get", outside6)
			return err
		})
		working := func(when string) {
			t.Helper()
			if got := hears(t, out, g, outside4); got != uplink4 {
				t.Errorf("%s: outside sees a guest's IPv4 datagram come from %s, want %s", when, got, uplink4)
			}
			if got := hears(t, out, g, outside6); got != uplink6 {
				t.Errorf("%s: outside sees a guest's IPv6 datagram come from %s, want %s", when, got, uplink6)
			}
			if got := hears(t, g, out, own.String()); got != errRejected.Error() {
				t.Errorf("%s: a datagram from outside: %s, want %v", when, got, errRejected)
			}
		}
		out.Route(t, prefix, netip.MustParseAddr(uplink6))
		working("at first")
		pid := agentPID(t)

		d.stop()
		working("without libvirtd")
		d = startLibvirtd(t)
		working("with a new libvirtd")
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		d.virsh("net-update", "default", "add", "dns-host", "<host ip='192.168.122.1'><hostname>gate</hostname></host>", "--live")
		working("after SIGHUP and net-update")
		run(t, "nft", "delete", "table", "inet", "virbr")
		netnstest.Wait(t, "the rules are whole again", func() error {
			if !strings.Contains(netnstest.Snapshot(t)["rules"], "table inet virbr") {
				return errors.New("they are not")
			}
			return nil
		})
		working("after somebody deleted our table")
		if now := agentPID(t); now != pid {
			t.Errorf("the agent was %d and is %d", pid, now)
		}
		mends(t, "/run/virbr/hook/default.pid", "our dnsmasq is back", func() {})
		mends(t, "/run/virbr/hook/agent.pid", "the agent is back", func() {
			d.virsh("net-update", "default", "add", "dns-host", "<host ip='192.168.122.2'><hostname>two</hostname></host>", "--live")
		})
		working("after dnsmasq and the agent died")
		d.virsh("net-destroy", "default")
		nothingAdded(t)
	})
}

// TestHookLeavesNothing: start and stop with the hook leave what they leave without.
func TestHookLeavesNothing(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		d := startHooked(t)
		d.up("default", hookedXML)
		nothingAdded(t)
		d.virsh("net-destroy", "default")
		before := netnstest.Snapshot(t)
		extendFile(t, "default", "<virbr:ipv6 advprefix='fd00:5::/64' dhcp='stateful'/>")
		d.virsh("net-start", "default")
		if same := netnstest.Snapshot(t)["addresses"]; !strings.Contains(same, "fd00:5::1/64") {
			t.Errorf("addresses:\n%s", same)
		}
		d.virsh("net-destroy", "default")
		same(t, before, netnstest.Snapshot(t), "an extended network was started and stopped")
		nothingAdded(t)
	})
}

// TestHookRefusal: what is wrong with extensions fails the start, in words that
// virsh shows, and nothing of the network is left.
func TestHookRefusal(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		d := startHooked(t)
		d.up("default", hookedXML)
		d.virsh("net-destroy", "default")
		before := netnstest.Snapshot(t)
		for _, tt := range []struct{ name, file, want string }{
			{"malformed", "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ipv6", "reading \"/etc/virbr/networks/default.xml\""},
			{"unknown word", "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:portforward/></virbr:network>", "unknown element 'portforward'"},
			{"no prefix", "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ipv6 advprefix='192.0.2.0/24'/></virbr:network>", "this is an IPv4 address"},
			{"global prefix without IPv6", "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ipv6 advprefix='2001:db8::/64'/></virbr:network>", "no IPv6 default route"},
			{"auto beside an address", "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:ip type='auto'/></virbr:network>", "is for networks without one"},
			{"not ours to make", "<virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:bridge create='yes'/></virbr:network>", "only allowed in bridge mode"},
		} {
			write(t, "/etc/virbr/networks/default.xml", tt.file)
			_, err := d.try("net-start", "default")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: net-start: %v, want %q", tt.name, err, tt.want)
			}
			same(t, before, netnstest.Snapshot(t), tt.name)
			nothingAdded(t)
		}
	})
}
