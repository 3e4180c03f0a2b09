package netlink_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// theirRules is what libvirt's iptables backend makes, in short, among rules of
// others; the first word is the program.
const theirRules = `iptables-nft -P INPUT DROP
iptables-nft -A INPUT -i lo -j ACCEPT
iptables-nft -N LIBVIRT_INP
iptables-nft -I INPUT -j LIBVIRT_INP
iptables-nft -A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 67 -j ACCEPT
iptables-nft -N LIBVIRT_FWX
iptables-nft -N LIBVIRT_FWI
iptables-nft -N MINE
iptables-nft -A MINE -m comment --comment "a -j LIBVIRT_FWX b" -g LIBVIRT_FWX
iptables-nft -A MINE -p tcp -m comment --comment "-j LIBVIRT_FWI" -j RETURN
iptables-nft -A FORWARD -j LIBVIRT_FWX
iptables-nft -A FORWARD -j MINE
iptables-nft -A FORWARD -j LIBVIRT_FWI
iptables-nft -A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
iptables-nft -A LIBVIRT_FWI -o virbr0 -j REJECT
iptables-nft -t nat -N LIBVIRT_PRT
iptables-nft -t nat -A POSTROUTING -j LIBVIRT_PRT
iptables-nft -t nat -A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
iptables-nft -t nat -A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE
ip6tables-nft -N LIBVIRT_FWO
ip6tables-nft -A FORWARD -j LIBVIRT_FWO
ip6tables-nft -A LIBVIRT_FWO -i virbr0 -j REJECT`

// othersRules is the rest, as iptables lists it.
const othersRules = `-P INPUT DROP
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N MINE
-A INPUT -i lo -j ACCEPT
-A FORWARD -j MINE
-A MINE -p tcp -m comment --comment "-j LIBVIRT_FWI" -j RETURN
`

func command(t *testing.T, words ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
	return string(out)
}

// TestDropLibvirt: libvirt's rules of both backends go, and nothing else.
func TestDropLibvirt(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "iptables-nft", "ip6tables-nft", "sh")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		if got, err := netlink.DropLibvirt(conn); err != nil || len(got.Parts) > 0 {
			t.Errorf("on an empty host: %v, %v", got, err)
		}
		command(t, "sh", "-e", "-c", theirRules)
		for _, family := range []string{"ip", "ip6"} {
			nft(t, "add table "+family+" libvirt_network; add chain "+family+" libvirt_network forward { type filter hook forward priority 0; }; "+
				"add chain "+family+" libvirt_network guest_input; add rule "+family+" libvirt_network forward jump guest_input\n", "-f", "-")
		}
		nft(t, "add table inet libvirt_network; add chain inet libvirt_network LIBVIRT_FWI\n", "-f", "-") // nobody's but theirs who made it

		got, err := netlink.DropLibvirt(conn)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got.Parts)
		want := netlink.Dropped{
			Parts: []string{
				"chain ip filter LIBVIRT_FWI", "chain ip filter LIBVIRT_FWX", "chain ip filter LIBVIRT_INP", "chain ip nat LIBVIRT_PRT",
				"chain ip6 filter LIBVIRT_FWO", "table ip libvirt_network", "table ip6 libvirt_network",
			},
			Input:  true,
			Closed: []string{"chain ip filter INPUT"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("dropped (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(othersRules, command(t, "iptables-nft", "-S")); diff != "" {
			t.Errorf("rules of others (-want +got):\n%s", diff)
		}
		if got := command(t, "iptables-nft", "-t", "nat", "-S"); strings.Contains(got, "LIBVIRT") || !strings.Contains(got, "-s 10.0.0.0/8 -j MASQUERADE") {
			t.Errorf("nat:\n%s", got)
		}
		if got := command(t, "ip6tables-nft", "-S"); strings.Contains(got, "LIBVIRT") {
			t.Errorf("ip6tables:\n%s", got)
		}
		before := nft(t, "", "list", "ruleset")
		if !strings.Contains(before, "table inet libvirt_network") {
			t.Errorf("a table of others is gone:\n%s", before)
		}
		if got, err := netlink.DropLibvirt(conn); err != nil || len(got.Parts) > 0 || nft(t, "", "list", "ruleset") != before {
			t.Errorf("for the second time: %v, %v", got, err)
		}
	})
}

// TestRemoveAll: everything of ours goes, whatever bridges it is for.
func TestRemoveAll(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "iptables-nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		needTarget(t, conn)
		if got, err := netlink.RemoveAll(conn); err != nil || len(got) > 0 {
			t.Errorf("on an empty host: %v, %v", got, err)
		}
		all := func() {
			for _, bridge := range []string{"virbr0", "virbr1"} {
				install(t, compile(t, &xml.Network{Name: bridge, Bridge: xml.Bridge{Name: bridge}}))
			}
			fill(t, conn, "virbr0", "virbr1")
		}
		all()
		want := []string{"table inet virbr", "chain ip mangle VIRBR_DHCP"}
		if got, err := netlink.RemoveAll(conn); err != nil || !slices.Equal(got, want) {
			t.Errorf("removed %q, %v; want %q", got, err, want)
		}
		if left := nft(t, "", "list", "ruleset"); left != "" {
			t.Errorf("left:\n%s", left)
		}
		iptables(t, "-A", "POSTROUTING", "-o", "eth0", "-j", "ACCEPT")
		before := iptables(t, "-S")
		all()
		if _, err := netlink.RemoveAll(conn); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, iptables(t, "-S")); diff != "" {
			t.Errorf("rules of others (-before +after):\n%s", diff)
		}
	})
}
