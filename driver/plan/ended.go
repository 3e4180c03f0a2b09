package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
)

// flow is where connections to some port lead.
type flow struct {
	proto  string
	listen netip.Addr // unspecified: any of its family
	guest  netip.Addr
	from   netip.Addr // invalid: everybody; else the first source, and the last one
	until  netip.Addr
}

// span is a run of ports.
type span struct{ first, last uint16 }

// order sorts flows.
func (f flow) order(o flow) int {
	return cmp.Or(cmp.Compare(f.proto, o.proto), f.listen.Compare(o.listen), f.guest.Compare(o.guest), f.from.Compare(o.from))
}

// Ended returns what ends the connections that one resolution led to guests and
// another does not: of forwards that are gone or changed, and of guests that
// moved; and those to what another leads to guests and the one did not. Public
// addresses without connection tracking have none.
func Ended(before, after *Resolution) []step.Op {
	hadEntries, hadPublics := before.led()
	hasEntries, hasPublics := after.led()
	hadEntries, hasEntries = firewall.Apart(hadEntries, hasEntries)
	had, has := flows(hadEntries, hadPublics), flows(hasEntries, hasPublics)
	var list []step.Op
	for _, f := range slices.SortedFunc(maps.Keys(had), flow.order) {
		for _, s := range cut(had[f], has[f]) {
			op := step.EndConnections{Proto: f.proto, Listen: f.listen, Start: s.first, End: s.last, Guest: f.guest, From: f.from, Until: f.until}
			if op.Listen.IsUnspecified() {
				op.Listen = netip.Addr{}
			}
			list = append(list, op)
		}
	}
	var taken []step.Taken
	for _, f := range slices.SortedFunc(maps.Keys(has), flow.order) {
		for _, s := range cut(has[f], had[f]) {
			taken = append(taken, step.Taken{Proto: f.proto, Listen: f.listen, Start: s.first, End: s.last})
		}
	}
	if len(taken) > 0 {
		list = append(list, step.EndUntranslated{Taken: taken})
	}
	return list
}

// led returns where a resolution leads connections. Definitions that are no longer accepted
// lead nowhere.
func (r *Resolution) led() ([]firewall.Entry, []firewall.Public) {
	if r == nil || r.def == nil {
		return nil, nil
	}
	find := func() (entries []firewall.Entry, publics []firewall.Public) {
		entries, publics, err := firewall.Leads(r.def, r.Ext, r.Where)
		if err != nil {
			return nil, nil
		}
		return entries, publics
	}
	l := r.leads
	if l == nil {
		return find()
	}
	l.once.Do(func() { l.entries, l.publics = find() })
	return l.entries, l.publics
}

// flows returns what leads to guests, with ports that are apart for each.
func flows(entries []firewall.Entry, publics []firewall.Public) map[flow][]span {
	list := map[flow][]span{}
	for _, e := range entries {
		if e.Guest.IsValid() {
			f := flow{e.Proto, e.Listen, e.Guest, e.From, e.Until}
			list[f] = append(list[f], span{e.Start, e.End})
		}
	}
	for _, p := range publics {
		if !p.Stateless {
			list[flow{listen: p.Address, guest: p.Guest}] = []span{{}}
		}
	}
	return list
}

// cut returns the ports of some runs that are in none of others.
func cut(list, others []span) []span {
	if len(others) == 0 {
		return list
	}
	gone := make(map[span]bool, len(others))
	for _, o := range others {
		gone[o] = true
	}
	var left []span
	for _, s := range list {
		if !gone[s] {
			left = append(left, s)
		}
	}
	for _, o := range others {
		if len(left) == 0 {
			return nil
		}
		var next []span
		for _, s := range left {
			next = append(next, s.without(o)...)
		}
		left = next
	}
	return left
}

func (s span) without(o span) []span {
	if o.last < s.first || o.first > s.last {
		return []span{s}
	}
	var list []span
	if s.first < o.first {
		list = append(list, span{s.first, o.first - 1})
	}
	if s.last > o.last {
		list = append(list, span{o.last + 1, s.last})
	}
	return list
}
