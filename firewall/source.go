package firewall

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// limited returns the elements of an entry for some sources: ranges of compound
// keys, which the kernel finds in a time that hardly depends on how many there are
// (Linux 5.6). Where ports change each is an element.
func (e Entry) limited(owner string) []Datum {
	name, listen := "from", e.Listen
	if listen.IsUnspecified() {
		name, listen = "fromany", netip.Addr{}
	}
	s := suffix(e.Listen)
	d := Datum{Owner: owner, From: e.From, Until: e.Until, Addr: listen, Proto: e.Proto, Port: e.Start, PortEnd: e.End, To: e.Guest}
	switch {
	case !e.Guest.IsValid():
		d.Map = name + "no" + s
		return []Datum{d}
	case e.To == e.Start:
		d.Map = name + s
		return append([]Datum{d}, e.limitedReach(d))
	}
	var all []Datum
	for port := uint32(e.Start); port <= uint32(e.End); port++ {
		d.Map, d.Port, d.PortEnd, d.ToPort = name+"to"+s, uint16(port), uint16(port), e.To+(uint16(port)-e.Start)
		all = append(all, d, e.limitedReach(d))
	}
	return all
}

// limitedReach returns what says of a connection of such a source that the entry led
// it to the guest. With an address that is listened at, a key has no room for the
// guest's port: what the sources may reach is told by the port that they ask for.
func (e Entry) limitedReach(d Datum) Datum {
	r := Datum{Map: "fromreach" + suffix(e.Listen), Owner: d.Owner, From: d.From, Until: d.Until, Addr: d.Addr, Proto: d.Proto, Port: d.Port, PortEnd: d.PortEnd, Guest: e.Guest}
	if d.Addr.IsValid() {
		return r
	}
	r.Map = "fromreachany" + suffix(e.Listen)
	r.GuestPort, r.GuestEnd = d.Port, d.PortEnd
	if d.ToPort != 0 {
		r.GuestPort, r.GuestEnd = d.ToPort, d.ToPort
	}
	return r
}

// count returns how many elements of a map an entry is.
func (e Entry) count() int {
	switch {
	case !e.From.IsValid():
		n := 0
		for range e.blocks() {
			n++
		}
		return n
	case e.Guest.IsValid() && e.To != e.Start:
		return int(e.End-e.Start) + 1
	}
	return 1
}

// overlaps reports whether an entry has ports and sources in common with the one
// before it, in order.
func (e Entry) overlaps(before Entry) bool {
	switch {
	case e.Listen != before.Listen || e.Proto != before.Proto:
		return false
	case e.From == before.From:
		return e.Until != before.Until || e.Start <= before.End
	}
	return before.From.IsValid() && !before.Until.Less(e.From)
}

// addresses prints a range of addresses.
func addresses(first, last netip.Addr) string {
	if first == last {
		return first.String()
	}
	return first.String() + "-" + last.String()
}

// sources is a range of addresses.
type sources struct{ from, until netip.Addr }

// split returns ranges that are apart and that together are some prefixes: each is
// in a prefix as a whole, or not at all.
func split(prefixes []netip.Prefix) []sources {
	var cuts []netip.Addr // where something begins, or has just ended
	for _, p := range prefixes {
		cuts = append(cuts, p.Addr())
		if next := LastOf(p).Next(); next.IsValid() {
			cuts = append(cuts, next)
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	var list []sources
	for i, from := range cuts {
		if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(from) }) {
			continue
		}
		s := sources{from: from}
		if i+1 < len(cuts) {
			s.until = cuts[i+1].Prev()
		} else {
			for _, p := range prefixes {
				if p.Contains(from) {
					s.until = LastOf(p)
				}
			}
		}
		list = append(list, s)
	}
	return list
}

// LastOf returns the last address of a prefix.
func LastOf(p netip.Prefix) netip.Addr { return xml.LastOf(p) }

// limited is forwards of some sources, resolved: what is forwarded, and left alone,
// for each range of sources before what is for everybody is looked at.
func (r *resolved) limited(s socket, withheld []Claim) []taken {
	every := socket{addr: unspecified(s.addr.Is4()), proto: s.proto}
	own := r.bySource[s]
	if s != every {
		own = append(slices.Clone(own), r.bySource[every]...)
	}
	if len(own) == 0 {
		return nil
	}
	open := flatten(r.sockets[s])
	if s != every {
		open = flatten(append(slices.Clone(r.sockets[s]), r.sockets[every]...))
	}
	var prefixes []netip.Prefix
	for _, f := range own {
		prefixes = append(prefixes, r.from[s.addr.Is4()][f.rank]...)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var all []taken
	for _, src := range split(slices.Compact(prefixes)) {
		var runs []run
		for _, f := range own {
			if slices.ContainsFunc(r.from[s.addr.Is4()][f.rank], func(p netip.Prefix) bool { return p.Contains(src.from) }) {
				runs = append(runs, f)
			}
		}
		for _, one := range before(flatten(runs), open) {
			at := []netip.Addr{s.addr}
			if !slices.ContainsFunc(r.bySource[s], func(f run) bool { return f.rank == one.rank }) {
				at = append(at, every.addr)
			}
			all = withhold(all, taken{socket: s, run: one, guest: r.guests[s.addr.Is4()][one.rank], sources: src}, withheld, at...)
		}
	}
	return all
}
