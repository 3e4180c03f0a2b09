package netlink_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// adjacent returns networks whose subnets lie side by side, IPv4 and IPv6, the
// last of them at the ends of the address spaces.
func adjacent(t *testing.T, n int) []*firewall.Network {
	t.Helper()
	var nets []*firewall.Network
	for i := range n {
		def := &xml.Network{Name: "n", Forward: xml.Forward{Mode: xml.ForwardNAT, NAT: xml.NAT{IPv6: xml.Yes}}}
		def.Bridge.Name = fmt.Sprintf("virbr%d", i)
		four := netip.AddrFrom4([4]byte{255, 255, byte(256 - n + i), 1})
		six := netip.MustParseAddr(fmt.Sprintf("ffff:ffff:ffff:ffff:ffff:ffff:ffff:%x", 0x10000-4*(n-i)))
		def.IPs = []xml.IP{{Address: four, Prefix: 24}, {Address: six, Prefix: 126}}
		nets = append(nets, compile(t, def))
	}
	return nets
}

// generation returns the number of the kernel's ruleset.
func generation(t *testing.T, conn *netlink.Conn) uint32 {
	t.Helper()
	view, err := netlink.ReadSurvey(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	return view.Generation
}

// TestInstallAgain: networks whose rules are there change nothing, and cost the
// kernel nothing; each thing that is missing or leads elsewhere is mended.
func TestInstallAgain(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		conn, nets := open(t), adjacent(t, 6)
		install(t, nets...)
		want, before := nft(t, "", "list", "ruleset"), generation(t, conn)
		for _, n := range nets {
			if err := netlink.Install(conn, n); err != nil {
				t.Fatal(err)
			}
		}
		if after := generation(t, conn); after != before {
			t.Errorf("installing what was there changed the ruleset %d times", after-before)
		}
		for _, damage := range []string{
			"delete element inet virbr leave { virbr3 }",
			"delete element inet virbr nat4 { 255.255.253.0/24 }",
			"delete element inet virbr nat4 { 255.255.255.0/24 }",
			"delete element inet virbr nat6 { ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126 }",
			"delete element inet virbr nat4 { 255.255.252.0/24 }\nadd element inet virbr nat4 { 255.255.252.0/25 : jump nat4_virbr2 }",
			"flush chain inet virbr forward",
			"flush table inet virbr",
			"flush ruleset",
		} {
			nft(t, damage, "-f", "-")
			for _, n := range nets {
				if err := netlink.Install(conn, n); err != nil {
					t.Fatalf("after %q: %v", damage, err)
				}
			}
			if diff := cmp.Diff(lines(want), lines(nft(t, "", "list", "ruleset"))); diff != "" {
				t.Errorf("after %q (-want +got):\n%s", damage, diff)
			}
		}
	})
}

// lines returns a ruleset without the order of its chains and elements.
func lines(rules string) map[string]int {
	list := map[string]int{}
	for _, line := range strings.FieldsFunc(rules, func(r rune) bool { return r == '\n' || r == ',' }) {
		line = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSpace(line), " }"), "elements = { ")
		list[line]++
	}
	return list
}

// TestNothingReadAgain: the rules of others are what they were while only we
// change ours, and not when somebody else changes anything.
func TestNothingReadAgain(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "iptables-nft")
	netnstest.Run(t, func(t *testing.T) {
		conn, nets := open(t), adjacent(t, 3)
		needTarget(t, conn)
		load(t, theirs)
		view, err := netlink.ReadSurvey(conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		again := func(when string, same bool) {
			t.Helper()
			next, err := netlink.ReadSurvey(conn, view)
			if err != nil || (next.Survey == view.Survey) != same {
				t.Errorf("%s: the survey is taken again: %t, want %t, %v", when, err == nil && next.Survey == view.Survey, same, err)
			}
			if now := generation(t, conn); err == nil && next.Generation != now {
				t.Errorf("%s: the survey is of generation %d, not %d", when, next.Generation, now)
			}
			view = next
		}
		for _, n := range nets {
			if err := netlink.Install(conn, n); err != nil {
				t.Fatal(err)
			}
			fill(t, conn, n.Bridge)
			again("a network more", true)
		}
		load(t, "add table ip other")
		again("a table of somebody", false)
		if err := netlink.Remove(conn, "virbr0"); err != nil {
			t.Fatal(err)
		}
		unfill(t, conn, "virbr0")
		again("a network less", true)
		load(t, "add rule inet mine input accept")
		fill(t, conn, "virbr0")
		again("a rule of somebody and one of ours", false)
		iptables(t, "-F", "VIRBR_DHCP")
		fill(t, conn, "virbr0", "virbr1")
		if got := iptables(t, "-S"); strings.Count(got, "--checksum-fill") != 2 {
			t.Errorf("filled after a flush:\n%s", got)
		}
		iptables(t, "-D", "VIRBR_DHCP", "1")
		unfill(t, conn, "virbr0", "virbr1")
		if got := iptables(t, "-S"); strings.Contains(got, "VIRBR") {
			t.Errorf("all taken back:\n%s", got)
		}
	})
}
