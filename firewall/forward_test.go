package firewall_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// lab is where the guests of the test's forwards are.
func lab() firewall.Where {
	return firewall.Where{
		Guests: map[string][]netip.Addr{
			"web": {addr("192.168.122.5"), addr("2001:db8::5")}, "mail": {addr("192.168.122.6")},
			"elsewhere": {addr("10.0.0.9")}, "bridge": {addr("192.168.122.1")},
		},
		Devices: map[string][]netip.Addr{
			"eth0": {addr("203.0.113.1"), addr("203.0.113.2"), addr("2001:db8:1::1"), addr("fe80::1")},
		},
	}
}

func forward(proto, guest string, ranges ...xml.ForwardRange) xml.PortForward {
	return xml.PortForward{Proto: proto, Guest: guest, Ignore: guest == "", Ranges: ranges}
}

// elements are those of a network: by their keys, and those of maps with ranges.
type elements struct {
	exact  map[firewall.Datum]firewall.Datum
	ranges map[string][]firewall.Datum
}

// sought finds the element of a map with ranges that a packet is in.
func sought(data elements, m string, from, at netip.Addr, proto string, port uint16) (found []firewall.Datum) {
	for _, d := range data.ranges[m] {
		if d.Addr == at && d.Proto == proto && d.Port <= port && port <= d.PortEnd && (!d.From.IsValid() || !from.Less(d.From) && !d.Until.Less(from)) {
			found = append(found, d)
		}
	}
	return found
}

// decide looks a packet up as the kernel does: in the maps of elements, the exact
// address first, and what is for some sources before what is for all. It returns
// where the packet goes; "": it is left alone.
func decide(t *testing.T, data elements, from, to netip.Addr, proto string, port uint16) string {
	t.Helper()
	family := "6"
	if to.Is4() {
		family = "4"
	}
	find := func(name string, at netip.Addr) (firewall.Datum, bool) {
		for _, size := range []uint16{1, 16, 256, 4096} {
			m := name + family
			if size > 1 {
				m = fmt.Sprintf("%s_%d", m, size)
			}
			if d, ok := data.exact[firewall.Datum{Map: m, Addr: at, Proto: proto, Port: port &^ (size - 1)}]; ok {
				return d, true
			}
		}
		return firewall.Datum{}, false
	}
	limited := func(name string, at netip.Addr) (firewall.Datum, bool) {
		var found []firewall.Datum
		for _, kind := range []string{"", "to", "no"} {
			found = append(found, sought(data, name+kind+family, from, at, proto, port)...)
		}
		if len(found) > 1 {
			t.Fatalf("%s to %s %s port %d is %d elements: %v", from, to, proto, port, len(found), found)
		}
		if len(found) == 0 {
			return firewall.Datum{}, false
		}
		return found[0], true
	}
	d, ok := limited("from", to)
	if !ok {
		d, ok = find("listen", to)
	}
	if !ok {
		if _, except := find("except", to); except {
			return ""
		}
		d, ok = limited("fromany", netip.Addr{})
	}
	if !ok {
		d, ok = find("any", netip.Addr{})
	}
	switch {
	case !ok, !d.To.IsValid():
		return ""
	case d.ToPort == 0:
		return netip.AddrPortFrom(d.To, port).String()
	}
	return netip.AddrPortFrom(d.To, d.ToPort).String()
}

// expect is what a list of forwards says of a packet: the first that matches
// decides.
func expect(list []xml.PortForward, where firewall.Where, from, to netip.Addr, proto string, port uint16) string {
	want := xml.FamilyIPv6
	if to.Is4() {
		want = xml.FamilyIPv4
	}
	for _, f := range list {
		if f.Proto != proto || f.Family != xml.FamilyAll && f.Family != want {
			continue
		}
		if a := f.Address; a.IsValid() && (a.Is4() != to.Is4() || !a.IsUnspecified() && a != to) {
			continue
		}
		if f.Dev != "" && !slices.Contains(where.Devices[f.Dev], to) {
			continue
		}
		if len(f.From) > 0 && !slices.ContainsFunc(f.From, func(p netip.Prefix) bool { return p.Contains(from) }) {
			continue
		}
		guest, literal := netip.Addr{}, false
		if a, err := netip.ParseAddr(f.Guest); err == nil {
			if a.Is4() != to.Is4() {
				continue
			}
			guest, literal = a, true
		}
		for _, a := range where.Guests[f.Guest] {
			if a.Is4() == to.Is4() && !literal {
				guest = a
			}
		}
		at, ok := target(f.Ranges, port)
		switch {
		case !ok:
		case f.Ignore || !guest.IsValid():
			return ""
		default:
			return netip.AddrPortFrom(guest, at).String()
		}
	}
	return ""
}

// target returns the guest's port for one of the host's.
func target(ranges []xml.ForwardRange, port uint16) (uint16, bool) {
	to, hit, some := port, false, false
	for _, r := range ranges {
		inside := port >= r.Start && port <= max(r.Start, r.End)
		switch {
		case r.Exclude && inside:
			return 0, false
		case !r.Exclude:
			some = true
			if inside && !hit {
				hit = true
				if r.To != 0 {
					to = r.To + (port - r.Start)
				}
			}
		}
	}
	return to, hit || !some
}

// someForwards makes a random list, dense enough that its members get into each
// other's way.
func someForwards(r *rand.Rand) []xml.PortForward {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	port := func() uint16 { return uint16(4080 + r.IntN(40)) }
	var list []xml.PortForward
	for range 1 + r.IntN(7) {
		f := xml.PortForward{Proto: pick("tcp", "udp"), Guest: pick("web", "mail", "nobody", "192.168.122.9", "2001:db8::9"), Ignore: r.IntN(4) == 0}
		if f.Ignore {
			f.Guest = ""
		}
		switch a := pick("", "", "0.0.0.0", "::", "203.0.113.1", "203.0.113.7", "2001:db8:1::1", "dev", "ipv4", "ipv6", "127.0.0.1"); a {
		case "":
		case "dev":
			f.Dev = "eth0"
		case "ipv4":
			f.Family = xml.FamilyIPv4
		case "ipv6":
			f.Family = xml.FamilyIPv6
		default:
			f.Address = addr(a)
		}
		if r.IntN(3) == 0 {
			f.From, _ = xml.ParseSources(pick("198.51.100.0/24", "198.51.100.7", "0.0.0.0/0", "198.51.100.0/25,2001:db8:9::/48", "::/0,198.51.100.128/25", "127.0.0.1,2001:db8:9::7", "127.0.0.0/8 ::1 198.51.100.6/31"))
		}
		last := uint16(0)
		for range r.IntN(4) {
			start := max(port(), last+1)
			last = start + uint16(r.IntN(20))
			f.Ranges = append(f.Ranges, xml.ForwardRange{Start: start, End: last, To: uint16(r.IntN(2) * 5000)})
			if r.IntN(3) == 0 {
				f.Ranges = append(f.Ranges, xml.ForwardRange{Start: start + 1, Exclude: true})
			}
		}
		if r.IntN(9) == 0 {
			f.Ranges = append(f.Ranges, xml.ForwardRange{Start: 4096, End: 8191, Exclude: true})
		}
		if _, err := xml.ParsePortForward([]byte(f.XML())); err == nil { // as those of documents are
			list = append(list, f)
		}
	}
	return list
}

// TestForwardsModel holds the elements of random lists against the lists.
func TestForwardsModel(t *testing.T) {
	t.Parallel()
	where, forwarded := lab(), 0
	for seed := range uint64(300) {
		list := someForwards(rand.New(rand.NewPCG(seed, 5)))
		n, err := firewall.Compile(def(nil), &xml.Extensions{Forwards: list}, where)
		if err != nil {
			t.Fatalf("%d: %v\n%v", seed, err, list)
		}
		data := elements{map[firewall.Datum]firewall.Datum{}, map[string][]firewall.Datum{}}
		for _, d := range n.Data() {
			key := d
			key.To, key.ToPort, key.Owner = netip.Addr{}, 0, ""
			if _, ok := data.exact[key]; ok {
				t.Fatalf("%d: key %v twice", seed, key)
			}
			data.exact[key] = d
			if d.PortEnd != 0 {
				data.ranges[d.Map] = append(data.ranges[d.Map], d)
			}
		}
		for _, proto := range []string{"tcp", "udp"} {
			for _, to := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.7", "192.168.122.1", "2001:db8:1::1", "2001:db8:1::9"} {
				for _, port := range append([]uint16{1, 80, 4079, 8191, 8192, 65535}, ports(4080, 4140)...) {
					for _, from := range sourcesTo(addr(to)) {
						want := expect(list, where, from, addr(to), proto, port)
						if got := decide(t, data, from, addr(to), proto, port); got != want {
							t.Fatalf("%d: %s from %s to %s port %d: %q, want %q\n%v", seed, proto, from, to, port, got, want, list)
						}
						if want != "" {
							forwarded++
						}
					}
				}
			}
			for port := range uint16(200) {
				port += 4000
				own := addr("127.0.0.1")
				want := expect(list, where, own, own, proto, port)
				if got := decide(t, data, addr("192.0.0.8"), own, proto, port); want != got {
					t.Fatalf("%d: %s from what stands in for the host's loopback, port %d: %q, want %q\n%v", seed, proto, port, got, want, list)
				}
				if got := leaves(data, own, proto, port); got != (want != "") {
					t.Fatalf("%d: %s of the host's loopback, port %d, leaves: %v, want %q\n%v", seed, proto, port, got, want, list)
				}
			}
		}
	}
	if forwarded < 50_000 {
		t.Errorf("%d packets were forwarded: the lists are too thin", forwarded)
	}
}

// sourcesTo returns sources that some forwards are for, and some that none is.
func sourcesTo(to netip.Addr) []netip.Addr {
	if to.Is4() {
		return []netip.Addr{addr("198.51.100.7"), addr("198.51.100.6"), addr("198.51.100.200"), addr("198.51.101.1"), addr("127.0.0.1")}
	}
	return []netip.Addr{addr("2001:db8:9::7"), addr("2001:db8:9::8"), addr("2001:db8:a::"), addr("::1")}
}

// leaves reports whether a connection of the host to its loopback gets another source,
// as the kernel decides.
func leaves(data elements, own netip.Addr, proto string, port uint16) bool {
	has := func(set string, at netip.Addr) bool {
		for _, size := range []uint16{1, 16, 256, 4096} {
			m := set
			if size > 1 {
				m = fmt.Sprintf("%s_%d", m, size)
			}
			if _, ok := data.exact[firewall.Datum{Map: m, Addr: at, Proto: proto, Port: port &^ (size - 1)}]; ok {
				return true
			}
		}
		return false
	}
	switch {
	case len(sought(data, "fromno4", own, own, proto, port)) > 0:
		return false
	case has("loopat4", own):
		return true
	}
	return !has("except4", own) && len(sought(data, "fromanyno4", own, netip.Addr{}, proto, port)) == 0 && has("loopany4", netip.Addr{})
}

func ports(from, to uint16) (list []uint16) {
	for p := from; p <= to; p++ {
		list = append(list, p)
	}
	return list
}

// TestElements: a range of whatever length is few elements, and as many as
// there are ports where these change.
func TestElements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r    xml.ForwardRange
		most int
	}{
		{xml.ForwardRange{Start: 80}, 1},
		{xml.ForwardRange{Start: 80, To: 8080}, 1},
		{xml.ForwardRange{Start: 1, End: 65535}, 60},
		{xml.ForwardRange{Start: 10000, End: 20000}, 41},
		{xml.ForwardRange{Start: 4096, End: 8191}, 1},
		{xml.ForwardRange{Start: 17, End: 61438}, 105},
		{xml.ForwardRange{Start: 1000, End: 1999, To: 1}, 1000},
	} {
		f := forward("tcp", "mail", c.r)
		n, err := firewall.Compile(def(nil), &xml.Extensions{Forwards: []xml.PortForward{f}}, lab())
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, d := range n.Data() {
			if strings.HasPrefix(d.Map, "any4") {
				got++
			}
		}
		if got == 0 || got > c.most {
			t.Errorf("ports %v are %d elements of a map, want at most %d", c.r, got, c.most)
		}
	}
}

func TestUnknownGuests(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"web": 2, "mail": 1, "nobody": 0, "elsewhere": 0, "bridge": 0} {
		n, err := firewall.Compile(def(nil), &xml.Extensions{Forwards: []xml.PortForward{forward("tcp", name, xml.ForwardRange{Start: 80})}}, lab())
		if err != nil {
			t.Fatal(err)
		}
		if len(n.Entries) != want || (want == 0) != !strings.Contains(n.String(), "any4") {
			t.Errorf("guest %q: %v", name, n.Entries)
		}
	}
}

func TestRefusedExtensions(t *testing.T) {
	t.Parallel()
	public := func(list ...xml.PublicAddress) *xml.Extensions { return &xml.Extensions{Publics: list} }
	one := xml.PublicAddress{Public: addr("203.0.113.7"), Guest: "web"}
	stateless := xml.PublicAddress{Public: addr("203.0.113.8"), Guest: "web", Stateless: true}
	at7 := forward("tcp", "web", xml.ForwardRange{Start: 80})
	at7.Address = addr("203.0.113.7")
	var many []xml.PortForward
	for i := range 3 {
		f := forward("udp", "mail", xml.ForwardRange{Start: 1000, End: 65000, To: 1})
		f.Address = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		many = append(many, f)
	}
	for name, c := range map[string]struct {
		ext    *xml.Extensions
		change func(*xml.Network)
		want   string
	}{
		"foreign guest":    {&xml.Extensions{Forwards: []xml.PortForward{forward("tcp", "10.0.0.1", xml.ForwardRange{Start: 80})}}, nil, "10.0.0.1 is in no subnet"},
		"bridge":           {&xml.Extensions{Forwards: []xml.PortForward{forward("tcp", "192.168.122.1", xml.ForwardRange{Start: 80})}}, nil, "in no subnet"},
		"family":           {&xml.Extensions{Forwards: []xml.PortForward{forward("tcp", "2001:db8::5", xml.ForwardRange{Start: 80})}}, func(d *xml.Network) { d.IPs = d.IPs[:1] }, "in no subnet"},
		"too many":         {&xml.Extensions{Forwards: many}, nil, "more than 131072"},
		"port of a public": {&xml.Extensions{Forwards: []xml.PortForward{at7}, Publics: []xml.PublicAddress{one}}, nil, "203.0.113.7 is a public address"},
		"twice":            {public(one, one), nil, "given twice"},
		"two of one":       {public(one, stateless), nil, "no other"},
		"own subnet":       {public(xml.PublicAddress{Public: addr("192.168.122.7"), Guest: "web"}), nil, "subnet of the network itself"},
		"isolated":         {public(one), func(d *xml.Network) { d.Forward.Mode = xml.ForwardNone }, "isolated"},
		"no subnet":        {&xml.Extensions{Forwards: []xml.PortForward{forward("tcp", "web", xml.ForwardRange{Start: 80})}}, func(d *xml.Network) { d.IPs = nil }, "no subnet of its own"},
	} {
		if n, err := firewall.Compile(def(c.change), c.ext, lab()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q\n%s", name, err, c.want, n)
		}
	}
}

// TestOtherFilter: somebody else filters, so there are no chains that do.
func TestOtherFilter(t *testing.T) {
	t.Parallel()
	ext := &xml.Extensions{Forwards: []xml.PortForward{forward("tcp", "web", xml.ForwardRange{Start: 80})}}
	chains := func(n *firewall.Network, err error) string {
		if err != nil {
			return err.Error()
		}
		if n == nil {
			return ""
		}
		var names []string
		for _, c := range n.Chains {
			names = append(names, strings.TrimSuffix(c.Name, "_virbr0"))
		}
		return strings.Join(names, " ")
	}
	open := def(func(d *xml.Network) { d.Forward.Mode = xml.ForwardOpen })
	filtered := *ext
	filtered.Firewall = xml.Firewall{Filter: true, Mode: xml.ForwardNAT}
	for _, c := range []struct{ name, got, want string }{
		{"nothing", chains(firewall.CompileExtension(def(nil), &xml.Extensions{}, lab())), ""},
		{"no extensions", chains(firewall.CompileExtension(def(nil), nil, lab())), ""},
		{"forward", chains(firewall.CompileExtension(def(nil), ext, lab())), "hairpin vouch ingress"},
		{"nobody there", chains(firewall.CompileExtension(def(nil), ext, firewall.Where{})), "ingress"},
		{"open", chains(firewall.Compile(open, ext, lab())), "hairpin ingress"},
		{"open without", chains(firewall.Compile(open, nil, lab())), ""},
		{"open with rules", chains(firewall.Compile(open, &filtered, lab())), "leave enter nat4 hairpin ingress"},
		{"open with rules of the hook", chains(firewall.CompileExtension(open, &filtered, lab())), "leave enter nat4 hairpin ingress"},
		{"rules are for open", chains(firewall.CompileExtension(def(nil), &filtered, lab())), "hairpin vouch ingress"},
	} {
		if c.got != c.want {
			t.Errorf("%s: chains %q, want %q", c.name, c.got, c.want)
		}
	}
}

// TestLoopbackData: the ports at which the host's own loopback is forwarded are runs,
// and answers come home to an address of the bridge.
func TestLoopbackData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, guest, want string }{
		{"", "web", "loopany4_16 tcp . 80, loopany6_16 tcp . 80, home4 virbr0, home6 virbr0"},
		{"0.0.0.0", "web", "loopany4_16 tcp . 80, home4 virbr0"},
		{"::1", "web", "loopat6_16 ::1 . tcp . 80, home6 virbr0"},
		{"127.1.2.3", "mail", "loopat4_16 127.1.2.3 . tcp . 80, home4 virbr0"},
		{"203.0.113.1", "web", ""},
		{"", "nobody", ""},
	} {
		f := forward("tcp", c.guest, xml.ForwardRange{Start: 80, End: 84}, xml.ForwardRange{Start: 85, End: 95, To: 1})
		f.Address, _ = netip.ParseAddr(c.address)
		n, err := firewall.Compile(def(nil), &xml.Extensions{Forwards: []xml.PortForward{f}}, lab())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range n.Data() {
			if strings.HasPrefix(d.Map, "loop") || strings.HasPrefix(d.Map, "home") {
				key, _, _ := strings.Cut(d.String(), " comment")
				got = append(got, d.Map+" "+strings.Trim(key, `"`))
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%q to %q: %q, want %q", c.address, c.guest, strings.Join(got, ", "), c.want)
		}
	}
}

// TestDifference: what a change takes and brings makes the one of the other.
func TestDifference(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	some := func() *firewall.Network {
		n, err := firewall.Compile(def(nil), &xml.Extensions{Forwards: someForwards(r), Publics: []xml.PublicAddress{
			{Public: netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + r.IntN(3))}), Guest: "web", Stateless: r.IntN(2) == 0},
		}}, lab())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 500 {
		from, to := some(), some()
		gone, come := firewall.Difference(from, to)
		have := map[firewall.Datum]bool{}
		for _, d := range from.Data() {
			have[d] = true
		}
		for _, d := range gone {
			if !have[d] {
				t.Fatalf("%v goes, but was not there", d)
			}
			delete(have, d)
		}
		for _, d := range come {
			if have[d] {
				t.Fatalf("%v comes, but is there", d)
			}
			have[d] = true
		}
		want := map[firewall.Datum]bool{}
		for _, d := range to.Data() {
			want[d] = true
		}
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(have)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// reached is a network with some of everything.
func reached(t *testing.T) *firewall.Network {
	t.Helper()
	ignored := forward("tcp", "", xml.ForwardRange{Start: 8080})
	ignored.Address = addr("203.0.113.9")
	n, err := firewall.Compile(def(nil), &xml.Extensions{
		Forwards: []xml.PortForward{ignored, forward("tcp", "mail", xml.ForwardRange{Start: 8080, End: 8090, To: 80})},
		Publics: []xml.PublicAddress{
			{Public: addr("203.0.113.7"), Guest: "192.168.122.7"},
			{Public: addr("203.0.113.8"), Guest: "web", Stateless: true},
		},
	}, lab())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestValidateReached: undo records hold forwards, and files can be forged.
func TestValidateReached(t *testing.T) {
	t.Parallel()
	chain := func(n *firewall.Network, name string) *firewall.Chain {
		i := slices.IndexFunc(n.Chains, func(c firewall.Chain) bool { return c.Name == name+"_virbr0" })
		return &n.Chains[i]
	}
	act := func(name string, do firewall.Action) func(*firewall.Network) {
		return func(n *firewall.Network) { chain(n, name).Rules[0].Do = do }
	}
	entry := func(change func(*firewall.Entry)) func(*firewall.Network) {
		return func(n *firewall.Network) { change(&n.Entries[0]) }
	}
	public := func(change func(*firewall.Public)) func(*firewall.Network) {
		return func(n *firewall.Network) { change(&n.Publics[0]) }
	}
	for name, change := range map[string]func(*firewall.Network){
		"accept in leave":      act("leave", firewall.Action{Kind: firewall.Accept}),
		"accept in enter":      act("enter", firewall.Action{Kind: firewall.Accept}),
		"jump elsewhere":       act("inward", firewall.Action{Kind: firewall.Jump, Chain: "leave_virbr1"}),
		"jump out":             act("hairpin", firewall.Action{Kind: firewall.Jump, Chain: "translate"}),
		"no tracking":          act("enter", firewall.Action{Kind: firewall.NoTrack}),
		"translation by map":   act("hairpin", firewall.Action{Kind: firewall.SNAT, Map: "private4", AddrStart: addr("1.2.3.4"), AddrEnd: addr("1.2.3.4")}),
		"DNAT":                 act("hairpin", firewall.Action{Kind: firewall.DNAT, Map: "public4"}),
		"link":                 func(n *firewall.Network) { chain(n, "inward").Rules[0].Match[0].Word = "a\" accept" },
		"status":               func(n *firewall.Network) { chain(n, "enter").Rules[3].Match[0].Word = "snat" },
		"set":                  func(n *firewall.Network) { chain(n, "enter").Rules[3].Match[0].Field = firewall.Key },
		"protocol":             entry(func(e *firewall.Entry) { e.Proto = "tcp . 1 : 1.1.1.1 }" }),
		"no protocol":          entry(func(e *firewall.Entry) { e.Proto = "" }),
		"no port":              entry(func(e *firewall.Entry) { e.Start = 0 }),
		"backwards":            entry(func(e *firewall.Entry) { e.End = e.Start - 1 }),
		"past the last port":   entry(func(e *firewall.Entry) { e.To = 65530 }),
		"to no port":           entry(func(e *firewall.Entry) { e.To = 0 }),
		"no address":           entry(func(e *firewall.Entry) { e.Listen = netip.Addr{} }),
		"zone":                 entry(func(e *firewall.Entry) { e.Listen, e.Guest = addr("fe80::1%a }"), addr("fd00::1") }),
		"mapped":               entry(func(e *firewall.Entry) { e.Guest = addr("::ffff:10.0.0.1") }),
		"families":             entry(func(e *firewall.Entry) { e.Guest = addr("fd00::1") }),
		"to the host":          entry(func(e *firewall.Entry) { e.Guest = addr("127.0.0.1") }),
		"to many":              entry(func(e *firewall.Entry) { e.Guest = addr("224.0.0.1") }),
		"exception everywhere": entry(func(e *firewall.Entry) { e.Guest, e.To = netip.Addr{}, 0 }),
		"twice":                func(n *firewall.Network) { n.Entries = append(n.Entries, n.Entries[len(n.Entries)-1]) },
		"order":                func(n *firewall.Network) { slices.Reverse(n.Entries) },
		"public zone":          public(func(p *firewall.Public) { p.Address, p.Guest = addr("fe80::1%a"), addr("fd00::1") }),
		"public of itself":     public(func(p *firewall.Public) { p.Guest = p.Address }),
		"public families":      public(func(p *firewall.Public) { p.Guest = addr("fd00::1") }),
		"public loopback":      public(func(p *firewall.Public) { p.Guest = addr("127.0.0.1") }),
		"public twice":         func(n *firewall.Network) { n.Publics = append(n.Publics, n.Publics[0]) },
		"two of one guest":     public(func(p *firewall.Public) { p.Guest = addr("192.168.122.5") }),
		"too many":             func(n *firewall.Network) { n.Entries = tooMany() },
	} {
		n := reached(t)
		change(n)
		if n.Validate() == nil {
			t.Errorf("%s: valid:\n%s", name, n)
		}
	}
}

func tooMany() (list []firewall.Entry) {
	for i := range byte(3) {
		list = append(list, firewall.Entry{
			Listen: netip.AddrFrom4([4]byte{203, 0, 113, i}), Proto: "tcp", Start: 2, End: 65535, Guest: addr("192.168.122.5"), To: 1,
		})
	}
	return list
}

func TestReachedJSON(t *testing.T) {
	t.Parallel()
	n := reached(t)
	data, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back firewall.Network
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(n.String(), back.String()); diff != "" || back.Validate() != nil {
		t.Errorf("%v (-want +got):\n%s", back.Validate(), diff)
	}
	gone, come := firewall.Difference(n, &back)
	if len(gone)+len(come) > 0 {
		t.Errorf("after a round trip %v goes and %v comes", gone, come)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	at := func(address string, f xml.PortForward) xml.PortForward { f.Address = addr(address); return f }
	dev := forward("tcp", "web", xml.ForwardRange{Start: 443})
	dev.Dev = "eth0"
	port := func(p uint16) xml.ForwardRange { return xml.ForwardRange{Start: p} }
	claims := func(ext *xml.Extensions) []firewall.Claim {
		t.Helper()
		d := def(func(d *xml.Network) { d.Bridge.Name = "" }) // not chosen yet
		list, err := firewall.Claims(d, ext, lab())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	forwards := func(list ...xml.PortForward) []firewall.Claim { return claims(&xml.Extensions{Forwards: list}) }
	text := func(list []firewall.Claim) (out []string) {
		for _, c := range list {
			out = append(out, c.String())
		}
		return out
	}
	for _, c := range []struct {
		name string
		got  []firewall.Claim
		want []string
	}{
		{"none", claims(nil), nil},
		{"both families", forwards(forward("tcp", "unknown", port(80))), []string{"tcp port 80 at any IPv4 address", "tcp port 80 at any IPv6 address"}},
		{"a guest's family", forwards(forward("udp", "192.168.122.3", xml.ForwardRange{Start: 80, End: 90})), []string{"udp ports 80 to 90 at any IPv4 address"}},
		{"ignored", forwards(forward("tcp", "", port(80)), forward("tcp", "192.168.122.3", xml.ForwardRange{Start: 80, End: 81})), []string{"tcp port 81 at any IPv4 address"}},
		{"all", forwards(at("203.0.113.1", forward("sctp", "web"))), []string{"all sctp ports at 203.0.113.1"}},
		{"device", forwards(dev), []string{"tcp port 443 at 203.0.113.1", "tcp port 443 at 203.0.113.2", "tcp port 443 at 2001:db8:1::1"}},
		{"public", claims(&xml.Extensions{Publics: []xml.PublicAddress{{Public: addr("203.0.113.7"), Guest: "web"}}}), []string{"public address 203.0.113.7"}},
	} {
		if diff := cmp.Diff(c.want, text(c.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	public := func(a string) []firewall.Claim {
		return claims(&xml.Extensions{Publics: []xml.PublicAddress{{Public: addr(a), Guest: "192.168.122.3"}}})
	}
	tcp := func(a string, first, last uint16) []firewall.Claim {
		return forwards(at(a, forward("tcp", "unknown", xml.ForwardRange{Start: first, End: last})))
	}
	part := func(c firewall.Claim, list []firewall.Claim) bool {
		return slices.ContainsFunc(list, func(o firewall.Claim) bool {
			return o.Address == c.Address && o.Proto == c.Proto && o.Start <= c.Start && c.Start <= c.End && c.End <= o.End
		})
	}
	for _, c := range []struct {
		name string
		a, b []firewall.Claim
		want bool
	}{
		{"nothing", nil, tcp("0.0.0.0", 80, 90), false},
		{"same", tcp("0.0.0.0", 80, 80), tcp("0.0.0.0", 80, 80), true},
		{"overlap", tcp("0.0.0.0", 80, 90), tcp("0.0.0.0", 90, 99), true},
		{"inside", tcp("0.0.0.0", 1, 9000), tcp("0.0.0.0", 90, 99), true},
		{"beside", tcp("0.0.0.0", 80, 89), tcp("0.0.0.0", 90, 99), false},
		{"families", tcp("0.0.0.0", 80, 90), tcp("::", 80, 99), false},
		{"any and one", tcp("0.0.0.0", 80, 90), tcp("203.0.113.1", 90, 99), true},
		{"any and two", tcp("0.0.0.0", 95, 95), append(tcp("203.0.113.1", 90, 94), tcp("203.0.113.2", 1, 99)...), true},
		{"any and none", tcp("0.0.0.0", 95, 95), append(tcp("203.0.113.1", 90, 94), tcp("203.0.113.2", 96, 99)...), false},
		{"two", tcp("203.0.113.2", 80, 90), tcp("203.0.113.1", 80, 90), false},
		{"protocols", tcp("0.0.0.0", 80, 90), forwards(forward("udp", "192.168.122.3", port(80))), false},
		{"public and any", public("203.0.113.7"), tcp("0.0.0.0", 80, 90), false},
		{"public and port", public("203.0.113.7"), tcp("203.0.113.7", 80, 90), true},
		{"public twice", public("203.0.113.7"), public("203.0.113.7"), true},
		{"publics", public("203.0.113.7"), public("203.0.113.8"), false},
	} {
		for _, pair := range [][2][]firewall.Claim{{c.a, c.b}, {c.b, c.a}} {
			list := firewall.Clashes(pair[0], pair[1])
			if len(list) > 0 != c.want || c.want && (!part(list[0].Mine, pair[0]) || !slices.Contains(pair[1], list[0].Theirs)) {
				t.Errorf("%s: %v", c.name, list)
			}
		}
	}
}
