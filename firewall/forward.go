package firewall

import (
	"cmp"
	"fmt"
	"maps"
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
	sources            // invalid: everybody
	guest   netip.Addr // invalid: they are left alone, or nobody is known to take them
}

// resolved is forwards with what they refer to by name.
type resolved struct {
	sockets  map[socket][]run          // of forwards for everybody
	bySource map[socket][]run          // of those for some sources
	guests   map[bool][]netip.Addr     // by family (IPv4: true) and forward
	from     map[bool][][]netip.Prefix // the same: who may use it
}

// forwards resolves a list of forwards. The result is flat: first matches have
// won. What an address has of its own comes without that which it would have as
// one of all addresses. For claims it does not matter who may use a forward.
func (c *compiler) forwards(list []xml.PortForward, where Where) ([]taken, error) {
	r := &resolved{map[socket][]run{}, map[socket][]run{}, map[bool][]netip.Addr{}, map[bool][][]netip.Prefix{}}
	for _, v4 := range []bool{true, false} {
		r.guests[v4], r.from[v4] = make([]netip.Addr, len(list)), make([][]netip.Prefix, len(list))
	}
	for i := range list {
		if err := c.add(r, i, &list[i], where); err != nil {
			return nil, err
		}
	}
	all := r.open(where.Withheld)
	for _, s := range r.all() {
		all = append(all, r.limited(s, where.Withheld)...)
	}
	slices.SortFunc(all, func(a, b taken) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.proto, b.proto), a.from.Compare(b.from), cmp.Compare(a.first, b.first))
	})
	if len(all) > maxData {
		return nil, fmt.Errorf("its forwards are more than %d runs of ports and sources", maxData)
	}
	return all, nil
}

// add resolves one forward of the list.
func (c *compiler) add(r *resolved, i int, f *xml.PortForward, where Where) error {
	if f.Address.IsValid() && !f.Address.IsUnspecified() && slices.ContainsFunc(c.publics, func(p xml.PublicAddress) bool { return p.Public == f.Address }) {
		return fmt.Errorf("%s is a public address of a guest: its ports cannot be forwarded", f.Address)
	}
	into := r.sockets
	if len(f.From) > 0 && !c.claims {
		into = r.bySource
	}
	spans := f.Spans()
	for _, v4 := range f.Families().Versions() {
		guest, listens, err := c.resolve(f, v4, where)
		if err != nil {
			return err
		}
		r.guests[v4][i], r.from[v4][i] = guest, sourcesOf(f, v4)
		for _, a := range listens {
			key := socket{addr: a, proto: f.Proto}
			runs := into[key]
			for _, s := range spans {
				runs = append(runs, run{first: s.First, last: s.Last, rank: i, to: s.To})
			}
			into[key] = runs
		}
	}
	return nil
}

// withhold appends a run in parts, of which those that somebody else has are left
// alone.
func withhold(parts []taken, t taken, list []Claim, at ...netip.Addr) []taken {
	var held []run
	for _, c := range list {
		if slices.Contains(at, c.Address) && c.Proto == t.proto {
			held = append(held, run{first: c.Start, last: c.End})
		}
	}
	if len(held) == 0 {
		return append(parts, t)
	}
	held = flatten(held)
	add := func(r run, guest netip.Addr) {
		parts = append(parts, taken{socket: t.socket, run: r, guest: guest, sources: t.sources})
	}
	for _, r := range before([]run{t.run}, held) { // rank 0, or a higher one
		add(r, t.guest)
	}
	for _, o := range overlapping(held, t.run) {
		add(t.part(max(o.first, t.first), min(o.last, t.last)), netip.Addr{})
	}
	return parts
}

// sourcesOf returns who may use a forward in a family. Where the host's own loopback
// is, so is what stands in for it.
func sourcesOf(f *xml.PortForward, v4 bool) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range f.From {
		if p.Addr().Is4() != v4 {
			continue
		}
		list = append(list, p)
		for i := range families {
			if own, standIn := families[i].own, families[i].standIn; p.Contains(own) && !p.Contains(standIn) {
				list = append(list, netip.PrefixFrom(standIn, standIn.BitLen()))
			}
		}
	}
	return list
}

// open returns what is forwarded for everybody.
func (r *resolved) open(withheld []Claim) []taken {
	flat := make(map[socket][]run, len(r.sockets))
	for s, runs := range r.sockets {
		flat[s] = flatten(runs)
	}
	var all []taken
	for _, s := range r.all() {
		runs := flat[s]
		all = slices.Grow(all, len(runs))
		if !s.addr.IsUnspecified() {
			runs = before(runs, flat[socket{addr: unspecified(s.addr.Is4()), proto: s.proto}])
		}
		for _, one := range runs {
			all = withhold(all, taken{socket: s, run: one, guest: r.guests[s.addr.Is4()][one.rank]}, withheld, s.addr)
		}
	}
	return all
}

// all returns where something listens, in the order of what is taken.
func (r *resolved) all() []socket {
	list := slices.AppendSeq(slices.Collect(maps.Keys(r.sockets)), maps.Keys(r.bySource))
	slices.SortFunc(list, func(a, b socket) int { return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.proto, b.proto)) })
	return slices.Compact(list)
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
// where an address of its own leaves alone what is forwarded at all, and where some
// sources are left alone.
func entries(all []taken) []Entry {
	var out []Entry
	everywhere := map[socket][]run{} // what is forwarded at all addresses
	for _, t := range all {
		if t.addr.IsUnspecified() && t.guest.IsValid() {
			everywhere[t.socket] = append(everywhere[t.socket], run{first: t.first, last: t.last, to: t.first})
		}
	}
	for s, runs := range everywhere {
		everywhere[s] = flatten(runs) // those of some sources are at the same ports
	}
	for _, t := range all {
		e := Entry{Listen: t.addr, Proto: t.proto, Start: t.first, End: t.last, From: t.from, Until: t.until}
		switch {
		case t.guest.IsValid():
			e.Guest, e.To = t.guest, t.to
			out = append(out, e)
		case t.from.IsValid():
			out = append(out, e)
		case !t.addr.IsUnspecified():
			for _, o := range overlapping(everywhere[socket{unspecified(t.addr.Is4()), t.proto}], t.run) {
				e.Start, e.End = max(o.first, t.first), min(o.last, t.last)
				out = append(out, e)
			}
		}
	}
	return out
}
