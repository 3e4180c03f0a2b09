package netlink_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// guardNet returns a network whose ports alone are guarded: so many, kept from all.
func guardNet(bridge string, ports int) *firewall.Network {
	g := &firewall.Guard{Owner: bridge}
	for i := range ports {
		g.Ports = append(g.Ports, firewall.GuardPort{
			Link: fmt.Sprintf("%s-%04d", bridge, i), Stops: firewall.Causes()[1:], MACs: []xml.MAC{{0x52, 0x54, 0, 0, byte(i >> 8), byte(i)}},
			Addrs: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), netip.MustParsePrefix("10.9.0.0/16"),
				netip.MustParsePrefix(fmt.Sprintf("fe80::%x/128", i+2)), netip.MustParsePrefix("2001:db8:9::/48"),
			},
			Asks: []netip.Addr{netip.MustParseAddr("10.0.255.1"), netip.MustParseAddr("fe80::1")},
		})
	}
	return &firewall.Network{Bridge: bridge, Guard: g}
}

// guardTable returns what nft lists of the table of guards, without what only netlink
// can say; "": there is none.
func guardTable(t *testing.T) string {
	t.Helper()
	if !strings.Contains(nft(t, "", "list", "tables"), "table bridge virbr") {
		return ""
	}
	var kept []string
	for line := range strings.Lines(nft(t, "", "-n", "-s", "list", "table", "bridge", "virbr")) {
		if !strings.Contains(line, "@th,64,128") && !strings.Contains(line, "icmpv6 taddr") && !strings.Contains(line, "@th,208,48") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// elements sorts the elements of sets, which nft lists in no order.
var setElements = regexp.MustCompile(`(?s)elements = \{[^}]*\}`)

func sortedElements(text string) string {
	return setElements.ReplaceAllStringFunc(text, func(s string) string {
		words := strings.Fields(strings.NewReplacer(",", " , ").Replace(s))
		count := map[string]int{}
		for _, w := range words {
			count[w]++
		}
		return fmt.Sprint(count)
	})
}

// TestGuardFormsAgree loads guards as text and as values: nft lists the same table. A
// change, the repair of damage and the removal of one bridge of two come to the same.
func TestGuardFormsAgree(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		want := func(n *firewall.Network) string {
			t.Helper()
			nft(t, n.String(), "-f", "-")
			text := guardTable(t)
			nft(t, "", "delete", "table", "bridge", "virbr")
			return sortedElements(text)
		}
		check := func(what, want string) {
			t.Helper()
			if diff := cmp.Diff(want, sortedElements(guardTable(t))); diff != "" {
				t.Fatalf("%s (-text +values):\n%s", what, diff)
			}
		}
		one, two, other := guardNet("one", 1), guardNet("one", 2), guardNet("two", 1)
		text1, text2 := want(one), want(two)
		conn := open(t)
		install(t, one)
		check("installed", text1)
		install(t, one)
		check("installed twice", text1)
		if err := netlink.Change(conn, one, two); err != nil {
			t.Fatal(err)
		}
		check("changed", text2)
		nft(t, "", "flush", "chain", "bridge", "virbr", "frames")
		nft(t, "", "delete", "element", "bridge", "virbr", "guarded", `{ "one-0000" }`)
		nft(t, "", "add", "element", "bridge", "virbr", "guarded", `{ "one-0009" comment "one" }`)
		install(t, two)
		check("repaired", text2)
		install(t, other)
		remove(t, "two")
		check("of two bridges one", text2)
		nft(t, "", "delete", "table", "bridge", "virbr")
		if err := netlink.Change(conn, two, one); err != nil {
			t.Fatal(err)
		}
		check("changed where somebody deleted all", text1)
		remove(t, "one")
		check("removed", "")
	})
}
