package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// socket is where forwards listen, but for the port.
type socket struct {
	addr  netip.Addr // 0.0.0.0 and ::: all of the host's of the family
	proto string
}

// taken is some ports of a socket, and what becomes of them.
type taken struct {
	socket
	run
	guest netip.Addr // invalid: they are left alone, or nobody is known to take them
}

// forwards resolves a list of forwards. The result is flat: first matches have
// won. What an address has of its own comes without that which it would have as
// one of all addresses.
func (c *compiler) forwards(list []xml.PortForward, where Where) ([]taken, error) {
	sockets := map[socket][]run{}
	guests := map[bool][]netip.Addr{} // by family (IPv4: true) and forward
	for i := range list {
		f := &list[i]
		if f.Address.IsValid() && !f.Address.IsUnspecified() && slices.ContainsFunc(c.publics, func(p xml.PublicAddress) bool { return p.Public == f.Address }) {
			return nil, fmt.Errorf("%s is a public address of a guest: its ports cannot be forwarded", f.Address)
		}
		for _, v4 := range []bool{true, false} {
			guest, listens, err := c.resolve(f, v4, where)
			if err != nil {
				return nil, err
			}
			guests[v4] = append(guests[v4], guest)
			for _, a := range listens {
				key := socket{addr: a, proto: f.Proto}
				for _, s := range f.Spans() {
					sockets[key] = append(sockets[key], run{first: s.First, last: s.Last, rank: i, to: s.To})
				}
			}
		}
	}
	for s, runs := range sockets {
		sockets[s] = flatten(runs)
	}
	var all []taken
	for s, runs := range sockets {
		if !s.addr.IsUnspecified() {
			runs = before(runs, sockets[socket{addr: unspecified(s.addr.Is4()), proto: s.proto}])
		}
		for _, r := range runs {
			guest := guests[s.addr.Is4()][r.rank]
			all = append(all, withhold(taken{socket: s, run: r, guest: guest}, where.Withheld)...)
		}
	}
	slices.SortFunc(all, func(a, b taken) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.proto, b.proto), cmp.Compare(a.first, b.first))
	})
	return all, nil
}

// withhold returns a run in parts, of which those that somebody else has are left
// alone.
func withhold(t taken, list []Claim) []taken {
	var held []run
	for _, c := range list {
		if c.Address == t.addr && c.Proto == t.proto {
			held = append(held, run{first: c.Start, last: c.End})
		}
	}
	if len(held) == 0 {
		return []taken{t}
	}
	slices.SortFunc(held, func(a, b run) int { return int(a.first) - int(b.first) })
	var parts []taken
	add := func(r run, guest netip.Addr) { parts = append(parts, taken{socket: t.socket, run: r, guest: guest}) }
	for _, r := range before([]run{t.run}, held) { // rank 0, or a higher one
		add(r, t.guest)
	}
	for _, o := range overlapping(held, t.run) {
		add(t.part(max(o.first, t.first), min(o.last, t.last)), netip.Addr{})
	}
	return parts
}

func unspecified(v4 bool) netip.Addr {
	if v4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// resolve says where a forward listens in a family, and who is its guest there.
// A guest whose address is not known is none, and what is for him is left alone.
func (c *compiler) resolve(f *xml.PortForward, v4 bool, where Where) (guest netip.Addr, listens []netip.Addr, err error) {
	want := xml.FamilyIPv6
	if v4 {
		want = xml.FamilyIPv4
	}
	if fam := f.Families(); fam != xml.FamilyAll && fam != want {
		return netip.Addr{}, nil, nil
	}
	if !f.Ignore {
		if guest, err = c.guest(f.Guest, v4, where); err != nil {
			return netip.Addr{}, nil, err
		}
		if !c.has(v4) {
			return netip.Addr{}, nil, nil
		}
	}
	switch {
	case f.Address.IsValid() && !f.Address.IsUnspecified():
		return guest, []netip.Addr{f.Address}, nil
	case f.Dev == "":
		return guest, []netip.Addr{unspecified(v4)}, nil
	}
	for _, a := range where.Devices[f.Dev] {
		own := slices.ContainsFunc(c.publics, func(p xml.PublicAddress) bool { return p.Public == a })
		if a = a.Unmap(); a.Is4() == v4 && plainAddr(a) && (v4 || !a.IsLinkLocalUnicast()) && !own && !slices.Contains(listens, a) {
			listens = append(listens, a)
		}
	}
	return guest, listens, nil
}

// has reports whether the network has guests of a family, or may get some.
func (c *compiler) has(v4 bool) bool {
	if v4 {
		return c.open4 || len(c.subnets4) > 0
	}
	return c.open6 || len(c.subnets6) > 0
}

// subnets returns the network's subnets of a family.
func (c *compiler) subnets(v4 bool) []netip.Prefix {
	if v4 {
		return c.subnets4
	}
	return c.subnets6
}

// guest returns the address of a guest in a family; invalid: none is known. One
// that is no guest of the network is never forwarded to.
func (c *compiler) guest(name string, v4 bool, where Where) (netip.Addr, error) {
	fits := func(a netip.Addr) bool {
		return a.Is4() == v4 && plainAddr(a) && !slices.Contains(c.own, a) &&
			slices.ContainsFunc(c.subnets(v4), func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if a, err := netip.ParseAddr(name); err == nil {
		switch {
		case a.Is4() != v4, c.claims:
			return netip.Addr{}, nil
		case !fits(a):
			return netip.Addr{}, fmt.Errorf("guest address %s is in no subnet of the network", a)
		}
		return a, nil
	}
	for _, a := range where.Guests[name] {
		if fits(a) {
			return a, nil
		}
	}
	return netip.Addr{}, nil
}

// entries returns what is forwarded, and the exceptions that need to be said:
// where an address of its own leaves alone what is forwarded at all.
func entries(all []taken) []Entry {
	var out []Entry
	everywhere := map[socket][]run{} // what is forwarded at all addresses
	for _, t := range all {
		if t.addr.IsUnspecified() && t.guest.IsValid() {
			everywhere[t.socket] = append(everywhere[t.socket], t.run)
		}
	}
	for _, t := range all {
		switch {
		case t.guest.IsValid():
			out = append(out, Entry{Listen: t.addr, Proto: t.proto, Start: t.first, End: t.last, Guest: t.guest, To: t.to})
		case !t.addr.IsUnspecified():
			for _, o := range overlapping(everywhere[socket{unspecified(t.addr.Is4()), t.proto}], t.run) {
				out = append(out, Entry{Listen: t.addr, Proto: t.proto, Start: max(o.first, t.first), End: min(o.last, t.last)})
			}
		}
	}
	return out
}
