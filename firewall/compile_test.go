package firewall_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// The rules themselves are goldens: tests/corpus/fw-*.txtar.

func def(change func(*xml.Network)) *xml.Network {
	d := &xml.Network{
		Name:    "default",
		Bridge:  xml.Bridge{Name: "virbr0"},
		Forward: xml.Forward{Mode: xml.ForwardNAT},
		IPs: []xml.IP{
			{Address: netip.MustParseAddr("192.168.122.1"), Prefix: 24},
			{Address: netip.MustParseAddr("2001:db8::1"), Prefix: 64},
		},
	}
	if change != nil {
		change(d)
	}
	return d
}

func compile(t testing.TB, d *xml.Network) *firewall.Network {
	t.Helper()
	n, err := firewall.Compile(d, nil, firewall.Where{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestModesWithoutRules(t *testing.T) {
	t.Parallel()
	for _, mode := range []xml.ForwardMode{
		xml.ForwardOpen, xml.ForwardBridge, xml.ForwardPrivate, xml.ForwardVEPA, xml.ForwardPassthrough, xml.ForwardHostdev,
	} {
		n := compile(t, def(func(d *xml.Network) { d.Forward.Mode, d.Bridge.Name = mode, "" }))
		if n != nil || n.String() != "" {
			t.Errorf("mode %d has rules: %s", mode, n)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	device := func(name string) func(*xml.Network) {
		return func(d *xml.Network) { d.Forward.Interfaces = []xml.ForwardInterface{{Dev: name}} }
	}
	bridge := func(name string) func(*xml.Network) {
		return func(d *xml.Network) { d.Bridge.Name = name }
	}
	addresses := func(start, end string) func(*xml.Network) {
		return func(d *xml.Network) {
			d.Forward.NAT.AddressStart, _ = netip.ParseAddr(start)
			d.Forward.NAT.AddressEnd, _ = netip.ParseAddr(end)
		}
	}
	ip := func(ip xml.IP) func(*xml.Network) {
		return func(d *xml.Network) { d.IPs = append(d.IPs, ip) }
	}
	for name, change := range map[string]func(*xml.Network){
		"no bridge":            bridge(""),
		"pattern":              bridge("virbr*"),
		"quote":                bridge(`a" drop #`),
		"newline":              bridge("a\naccept"),
		"blank":                bridge("a b"),
		"path":                 bridge("a/b"),
		"sixteen":              bridge("0123456789abcdef"),
		"dots":                 bridge(".."),
		"NUL":                  bridge("a\x00"),
		"unfilled pattern":     bridge("virbr%d"),
		"device pattern":       device("eth+*"),
		"device newline":       device("eth0\n"),
		"device quote":         device(`"`),
		"one end":              addresses("203.0.113.1", ""),
		"backwards":            addresses("203.0.113.2", "203.0.113.1"),
		"IPv6 range":           addresses("2001:db8::1", "2001:db8::2"),
		"mapped range":         addresses("::ffff:203.0.113.1", "::ffff:203.0.113.2"),
		"address to be chosen": ip(xml.IP{Auto: true}),
		"everything":           ip(xml.IP{Address: netip.MustParseAddr("10.0.0.1"), Netmask: netip.MustParseAddr("0.0.0.0")}),
		"holes":                ip(xml.IP{Address: netip.MustParseAddr("10.0.0.1"), Netmask: netip.MustParseAddr("255.0.255.0")}),
		"class D":              ip(xml.IP{Address: netip.MustParseAddr("224.0.0.1")}),
		"too long":             ip(xml.IP{Address: netip.MustParseAddr("10.0.0.1"), Prefix: 33}),
		"mapped":               ip(xml.IP{Address: netip.MustParseAddr("::ffff:10.0.0.1"), Prefix: 120}),
		"unknown mode":         func(d *xml.Network) { d.Forward.Mode = 99 },
		"port":                 func(d *xml.Network) { d.Forward.NAT.PortStart, d.Forward.NAT.PortEnd = 1024, 65536 },
	} {
		if n, err := firewall.Compile(def(change), nil, firewall.Where{}); err == nil {
			t.Errorf("%s: compiled to\n%s", name, n)
		}
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		start, end uint32
		want       string // "": refused
	}{
		{0, 0, "masquerade to :1024-65535"},
		{1, 65535, "masquerade to :1-65535"},
		{5060, 5060, "masquerade to :5060\n"},
		{2000, 1999, ""},
		{0, 10, "masquerade to :1-10"},
		{10, 0, ""},
	} {
		n, err := firewall.Compile(def(func(d *xml.Network) { d.Forward.NAT.PortStart, d.Forward.NAT.PortEnd = c.start, c.end }), nil, firewall.Where{})
		var refused *xml.Error
		switch {
		case c.want != "" && (err != nil || strings.Count(n.String(), c.want) != 2):
			t.Errorf("%d-%d: %v\n%s", c.start, c.end, err, n)
		case c.want == "" && (!errors.As(err, &refused) || refused.Kind != xml.KindInternal):
			t.Errorf("%d-%d: %v", c.start, c.end, err)
		}
	}
	_, err := firewall.Compile(def(func(d *xml.Network) { d.Forward.NAT.PortStart, d.Forward.NAT.PortEnd = 2000, 1999 }), nil, firewall.Where{})
	if want := "internal error: Invalid port range '2000-1999'."; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestJSON: plans and undo records hold networks.
func TestJSON(t *testing.T) {
	t.Parallel()
	n := compile(t, def(func(d *xml.Network) {
		d.Forward.NAT.AddressStart = netip.MustParseAddr("203.0.113.1")
		d.Forward.NAT.AddressEnd = netip.MustParseAddr("203.0.113.9")
		d.Forward.NAT.IPv6 = xml.Yes
		d.Forward.Interfaces = []xml.ForwardInterface{{Dev: "eth0"}}
	}))
	data, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back firewall.Network
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*n, back) {
		t.Errorf("after a round trip (-want +got):\n%s", cmp.Diff(n.String(), back.String()))
	}
	if err := back.Validate(); err != nil {
		t.Error(err)
	}
}

// TestValidate: what was read from a file cannot smuggle anything into a rule.
func TestValidate(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*firewall.Network){
		"bridge":          func(n *firewall.Network) { n.Bridge = "other" },
		"base chain":      func(n *firewall.Network) { n.Chains[0].Name = "forward" },
		"another's chain": func(n *firewall.Network) { n.Chains[0].Name = "leave_virbr1" },
		"hook":            func(n *firewall.Network) { n.Chains[0].Hook = &firewall.Hook{} },
		"device":          func(n *firewall.Network) { n.Chains[0].Rules[0].Match[0].Word = "x\" accept" },
		"field":           func(n *firewall.Network) { n.Chains[0].Rules[0].Match[0].Field = "accept" },
		"protocol": func(n *firewall.Network) {
			n.Chains[2].Rules[3].Match[0] = firewall.Match{Field: firewall.Protocol, Word: "tcp accept"}
		},
		"state": func(n *firewall.Network) {
			n.Chains[2].Rules[3].Match[0] = firewall.Match{Field: firewall.State, Word: "new"}
		},
		"family":    func(n *firewall.Network) { n.Chains[0].Rules[1].Match[0].Prefix = netip.MustParsePrefix("fd00::/8") },
		"host bits": func(n *firewall.Network) { n.Chains[0].Rules[1].Match[0].Prefix = netip.MustParsePrefix("10.0.0.1/8") },
		"no prefix": func(n *firewall.Network) { n.Chains[0].Rules[1].Match[0].Prefix = netip.Prefix{} },
		"action":    func(n *firewall.Network) { n.Chains[0].Rules[0].Do.Kind = "accept" },
		"lookup":    func(n *firewall.Network) { n.Chains[0].Rules[0].Do.Kind = firewall.Lookup },
		"source":    func(n *firewall.Network) { n.Chains[2].Rules[3].Do.Kind = firewall.SNAT },
		"ports": func(n *firewall.Network) {
			n.Chains[2].Rules[3].Do = firewall.Action{Kind: firewall.Masquerade, PortStart: 2, PortEnd: 1}
		},
		"another's device":  func(n *firewall.Network) { n.Elements[0].Name = "eth0" },
		"element's chain":   func(n *firewall.Network) { n.Elements[0].Chain = "leave_virbr1" },
		"element's map":     func(n *firewall.Network) { n.Elements[0].Map = "other" },
		"element's family":  func(n *firewall.Network) { n.Elements[2].Prefix = netip.MustParsePrefix("fd00::/8") },
		"element of nobody": func(n *firewall.Network) { n.Elements[2].Prefix = netip.Prefix{} },
	} {
		n := compile(t, def(nil))
		if err := n.Validate(); err != nil {
			t.Fatal(err)
		}
		change(n)
		if n.Validate() == nil {
			t.Errorf("%s: valid:\n%s", name, n)
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	network := func(bridge string, mode xml.ForwardMode, nat6 xml.Tristate, subnets ...string) *firewall.Network {
		return compile(t, def(func(d *xml.Network) {
			d.Bridge.Name, d.Forward.Mode, d.Forward.NAT.IPv6, d.IPs = bridge, mode, nat6, nil
			for _, s := range subnets {
				p := netip.MustParsePrefix(s)
				d.IPs = append(d.IPs, xml.IP{Address: p.Addr(), Prefix: uint32(p.Bits())})
			}
		}))
	}
	a := network("a", xml.ForwardNAT, xml.Yes, "10.0.0.1/8", "192.168.1.1/24", "fd00::1/48")
	for _, c := range []struct {
		name string
		b    *firewall.Network
		want string // "": none
	}{
		{"itself", a, ""},
		{"nil", nil, ""},
		{"same bridge", network("a", xml.ForwardNAT, xml.Yes, "10.0.0.1/8"), ""},
		{"apart", network("b", xml.ForwardNAT, xml.Yes, "192.168.2.1/24", "fd00:1::1/48"), ""},
		{"equal", network("b", xml.ForwardNAT, xml.Yes, "192.168.1.7/24"), "192.168.1.0/24"},
		{"inside", network("b", xml.ForwardNAT, xml.Yes, "10.9.0.1/16"), "10.9.0.0/16"},
		{"around", network("b", xml.ForwardNAT, xml.Yes, "192.168.0.1/16"), "192.168.1.0/24"},
		{"IPv6", network("b", xml.ForwardNAT, xml.Yes, "fd00:0:0:1::1/64"), "fd00:0:0:1::/64"},
		{"IPv6 routed", network("b", xml.ForwardNAT, xml.No, "fd00:0:0:1::1/64"), ""},
		{"routed", network("b", xml.ForwardRoute, xml.Unset, "10.9.0.1/16"), ""},
	} {
		for _, pair := range [][2]*firewall.Network{{a, c.b}, {c.b, a}} {
			got, ok := firewall.Conflicts(pair[0], pair[1])
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("%s: %v, %v; want %q", c.name, got, ok, c.want)
			}
		}
	}
}

// TestNarrower: of a subnet in which others have some, the rest is translated.
func TestNarrower(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ narrower, want string }{
		{"", "10.0.0.0/8"},
		{"192.168.0.0/16", "10.0.0.0/8"},
		{"10.0.0.0/8", ""},
		{"10.128.0.0/9", "10.0.0.0/9"},
		{"10.64.0.0/10 10.0.0.0/10", "10.128.0.0/9"},
		{"10.255.255.254/31 10.0.0.0/9 10.128.0.0/10 10.192.0.0/11 10.224.0.0/12 10.240.0.0/13 10.248.0.0/14 10.252.0.0/15 10.254.0.0/16 10.255.0.0/17 10.255.128.0/18 10.255.192.0/19 10.255.224.0/20 10.255.240.0/21 10.255.248.0/22 10.255.252.0/23 10.255.254.0/24 10.255.255.0/25 10.255.255.128/26 10.255.255.192/27 10.255.255.224/28 10.255.255.240/29 10.255.255.248/30", "10.255.255.252/31"},
	} {
		var where firewall.Where
		for _, text := range strings.Fields(c.narrower) {
			where.Narrower = append(where.Narrower, netip.MustParsePrefix(text))
		}
		n, err := firewall.Compile(def(func(d *xml.Network) { d.IPs = []xml.IP{{Address: netip.MustParseAddr("10.0.0.1"), Prefix: 8}} }), nil, where)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range n.Elements {
			if e.Map == firewall.NAT4Map {
				got = append(got, e.Prefix.String())
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("without %s: %s, want %s", c.narrower, got, c.want)
		}
	}
}
