package netlink_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// stages are the rules of one bridge at different times: without extensions, with
// forwards, with addresses, with some of each.
func stages(t *testing.T, bridge string, n byte) []*firewall.Network {
	t.Helper()
	in := func(host byte) string { return netip.AddrFrom4([4]byte{10, n, 0, host}).String() }
	public := func(host byte, stateless bool) xml.PublicAddress {
		return xml.PublicAddress{Public: netip.AddrFrom4([4]byte{203, 0, n, host}), Guest: in(host), Stateless: stateless}
	}
	port := func(p uint16) uint16 { return p + 5000*uint16(n) }
	some := []xml.PortForward{forward("tcp", in(5), port(80), 0, 8080), forward("udp", in(5), port(1000), port(1500), 0)}
	more := append(slices.Clone(some), at("192.0.2.9", ignored(forward("tcp", "", port(80), 0, 0))))
	more = append([]xml.PortForward{more[2]}, more[:2]...)
	var out []*firewall.Network
	for _, ext := range []*xml.Extensions{
		nil,
		{Forwards: some},
		{Forwards: []xml.PortForward{forward("tcp", in(6), port(80), 0, 8080), forward("udp", in(5), port(1100), port(1200), 0)}},
		{Forwards: more},
		{Publics: []xml.PublicAddress{public(7, false)}},
		{Forwards: some, Publics: []xml.PublicAddress{public(7, true), public(8, false)}},
		{Forwards: []xml.PortForward{at("192.0.2.9", some[0])}, Publics: []xml.PublicAddress{public(7, true)}},
		{Firewall: xml.Firewall{Services: true}},
		{Forwards: append([]xml.PortForward{from(forward("tcp", in(6), port(80), 0, 8080), "203.0.113.0/24", "198.51.100.7"), from(at("192.0.2.9", forward("udp", in(5), port(900), port(1100), 0)), "203.0.113.0/25")}, some...)},
		{Firewall: xml.Firewall{Services: true}, Forwards: some},
	} {
		network, err := firewall.Compile(natDef(bridge, fmt.Sprintf("10.%d.0.1/24", n), fmt.Sprintf("fd00:%d::1/64", n)), ext, firewall.Where{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, network)
	}
	return out
}

// TestStages goes from every stage to every other, by Change and by Install,
// alone and beside another network: the result is as if the new one had come
// first. In the end nothing is left.
func TestStages(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		own, others := stages(t, "virbr1", 1), stages(t, "virbr2", 2)
		for _, beside := range []*firewall.Network{nil, others[5]} {
			var want [][]string
			for _, n := range own {
				want = append(want, fresh(t, n, beside))
			}
			for i, from := range own {
				for j, to := range own {
					for how, change := range map[string]func() error{
						"changed":   func() error { return netlink.Change(conn, from, to) },
						"installed": func() error { return netlink.Install(conn, to) },
						"wrong":     func() error { return netlink.Change(conn, own[(i+1)%len(own)], to) },
					} {
						if err := netlink.Install(conn, from, beside); err != nil {
							t.Fatal(err)
						}
						if err := change(); err != nil {
							t.Errorf("%d to %d, %s: %v", i, j, how, err)
							continue
						}
						if how == "wrong" { // what is in nobody's way stays until somebody looks
							if err := netlink.Install(conn, to); err != nil {
								t.Error(err)
							}
						}
						if diff := cmp.Diff(want[j], table(t)); diff != "" {
							t.Errorf("%d to %d, %s (-fresh +got):\n%s", i, j, how, diff)
						}
					}
				}
			}
			if err := netlink.Change(conn, own[len(own)-1], nil); err != nil {
				t.Error(err)
			}
			if beside != nil {
				if diff := cmp.Diff(fresh(t, beside), func() []string { install(t, own[5], beside); remove(t, "virbr1"); return table(t) }()); diff != "" {
					t.Errorf("removing one leaves (-fresh +got):\n%s", diff)
				}
				remove(t, "virbr2")
			}
			if got := table(t); got != nil {
				t.Errorf("left: %q", got)
			}
		}
	})
}

// damage is what others may do to the parts that forwards need.
var damage = map[string]string{
	"no forward":           "delete element inet virbr any4 { tcp . 5080 }",
	"another's forward":    "add element inet virbr any4 { tcp . 99 comment \"virbr1\" : 10.1.0.9 . 9 }",
	"forward changed":      "delete element inet virbr any4 { tcp . 5080 }; add element inet virbr any4 { tcp . 5080 comment \"virbr1\" : 10.9.9.9 . 9 }",
	"no forwards":          "flush map inet virbr any4; flush map inet virbr any4_16",
	"no publics":           "flush map inet virbr public4; flush map inet virbr private4; flush map inet virbr inward4",
	"no prerouting":        "delete chain inet virbr prerouting",
	"no rule":              "flush chain inet virbr prerouting",
	"a rule more":          "insert rule inet virbr output accept",
	"helper flushed":       "flush chain inet virbr any4",
	"hairpin flushed":      "flush chain inet virbr hairpin_virbr1",
	"hairpin away":         "delete element inet virbr hairpin { \"virbr1\" }; delete chain inet virbr hairpin_virbr1",
	"inward away":          "flush map inet virbr inward4; delete chain inet virbr inward_virbr1",
	"loopback away":        "flush set inet virbr loopany4; flush map inet virbr home4",
	"a loopback port more": "add element inet virbr loopany4 { tcp . 99 comment \"virbr1\" }",
	"loopback set away":    "flush chain inet virbr loopback4; delete set inet virbr loopany4",
	"nothing is reached":   "flush set inet virbr reachany4; flush set inet virbr owner4",
	"anything is reached":  "add rule inet virbr reached4 accept",
	"flush ruleset":        "flush ruleset",
	"flush table":          "flush table inet virbr",
	"nothing":              "",
	"of an earlier version": "flush chain inet virbr hairpin; add chain inet virbr local_virbr1; " +
		"add map inet virbr local { type ifname : verdict; }; add element inet virbr local { \"virbr1\" : jump local_virbr1 }; " +
		"add chain inet virbr local { type filter hook prerouting priority -300; }; add rule inet virbr local iifname vmap @local",
	"a forward's map away": "flush chain inet virbr any4; delete map inet virbr any4",
}

// TestDamage: whatever others did, Install makes forwards and addresses whole,
// elements, too; Change does not fail; and Remove leaves nothing behind.
func TestDamage(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		own, other := stages(t, "virbr1", 1), stages(t, "virbr2", 2)[5]
		from, to := own[5], own[2]
		for _, name := range slices.Sorted(maps.Keys(damage)) {
			harm := func(beside ...*firewall.Network) {
				nft(t, "", "flush", "ruleset")
				install(t, append(beside, from)...)
				nft(t, strings.ReplaceAll(damage[name], "; ", "\n"), "-f", "-")
			}
			for what, n := range map[string]*firewall.Network{"same": from, "changed": to} {
				want := fresh(t, n)
				harm()
				if err := netlink.Install(conn, n); err != nil {
					t.Errorf("%s, installing %s: %v", name, what, err)
				}
				if diff := cmp.Diff(want, table(t)); diff != "" {
					t.Errorf("%s, installed %s (-want +got):\n%s", name, what, diff)
				}
			}
			harm()
			if err := netlink.Change(conn, from, own[3]); err != nil {
				t.Errorf("%s, changing: %v", name, err)
			}
			harm()
			remove(t, "virbr1")
			if got := table(t); got != nil {
				t.Errorf("%s: removing left %q", name, got)
			}
			want := fresh(t, other)
			harm(other)
			if err := netlink.Install(conn, other); err != nil {
				t.Errorf("%s, installing the other: %v", name, err)
			}
			remove(t, "virbr1")
			if err := netlink.Install(conn, other); err != nil {
				t.Errorf("%s, installing the other again: %v", name, err)
			}
			if diff := cmp.Diff(want, table(t)); diff != "" {
				t.Errorf("%s: removed beside another (-want +got):\n%s", name, diff)
			}
		}
	})
}

// TestListed: networks are listed whatever chains they have.
func TestListed(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		conn := open(t)
		def := natDef("opened", "10.3.0.1/24")
		def.Forward = xml.Forward{Mode: xml.ForwardOpen}
		n, err := firewall.Compile(def, &xml.Extensions{Forwards: []xml.PortForward{forward("tcp", "10.3.0.2", 80, 0, 0)}}, firewall.Where{})
		if err != nil {
			t.Fatal(err)
		}
		install(t, stages(t, "virbr1", 1)[5], n)
		got, err := netlink.List(conn)
		if diff := cmp.Diff([]string{"opened", "virbr1"}, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if _, err := netlink.RemoveAll(conn); err != nil {
			t.Error(err)
		}
		if got := table(t); got != nil {
			t.Errorf("left: %q", got)
		}
	})
}
