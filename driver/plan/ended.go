package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// flow is where connections to some port lead.
type flow struct {
	proto  string
	listen netip.Addr // unspecified: any of its family
	guest  netip.Addr
}

// span is a run of ports.
type span struct{ first, last uint16 }

// order sorts flows.
func (f flow) order(o flow) int {
	return cmp.Or(cmp.Compare(f.proto, o.proto), f.listen.Compare(o.listen), f.guest.Compare(o.guest))
}

// Ended returns what ends the connections that one reach led to guests and
// another does not: of forwards that are gone or changed, and of guests that
// moved; and those to what another leads to guests and the one did not. Public
// addresses without connection tracking have none.
func Ended(before, after *Reach) []Op {
	had, has := before.flows(), after.flows()
	var list []Op
	for _, f := range slices.SortedFunc(maps.Keys(had), flow.order) {
		for _, s := range cut(had[f], has[f]) {
			op := EndConnections{Proto: f.proto, Listen: f.listen, Start: s.first, End: s.last, Guest: f.guest}
			if op.Listen.IsUnspecified() {
				op.Listen = netip.Addr{}
			}
			list = append(list, op)
		}
	}
	var taken []Taken
	for _, f := range slices.SortedFunc(maps.Keys(has), flow.order) {
		for _, s := range cut(has[f], had[f]) {
			taken = append(taken, Taken{Proto: f.proto, Listen: f.listen, Start: s.first, End: s.last})
		}
	}
	if len(taken) > 0 {
		list = append(list, EndUntranslated{Taken: taken})
	}
	return list
}

// flows returns where a reach leads connections, with ports that are apart for
// each.
func (r *Reach) flows() map[flow][]span {
	list := map[flow][]span{}
	claims, err := r.Claims()
	if err != nil {
		return list // of definitions that are no longer accepted
	}
	if r != nil {
		claims = Except(claims, r.Memory.Withheld)
	}
	for _, c := range claims {
		guest, stateless := "", false
		if c.Proto == "" {
			guest, stateless = r.Ext.Publics[c.Forward].Guest, r.Ext.Publics[c.Forward].Stateless
		} else {
			guest = r.Ext.Forwards[c.Forward].Guest
		}
		for _, a := range r.Where.Guests[guest] {
			if a.Is4() == c.Address.Is4() && !stateless {
				f := flow{c.Proto, c.Address, a}
				list[f] = append(list[f], span{c.Start, c.End})
			}
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
