package plan

import "net/netip"

// flow is where connections to some port lead.
type flow struct {
	proto  string
	listen netip.Addr // unspecified: any of its family
	guest  netip.Addr
}

// span is a run of ports.
type span struct{ first, last uint16 }

// Ended returns what ends the connections that one reach led to guests and
// another does not: of forwards that are gone or changed, and of guests that
// moved. Public addresses without connection tracking have none.
func Ended(before, after *Reach) []EndConnections {
	had, has := before.flows(), after.flows()
	var list []EndConnections
	for f, spans := range had {
		for _, s := range cut(spans, has[f]) {
			op := EndConnections{Proto: f.proto, Listen: f.listen, Start: s.first, End: s.last, Guest: f.guest}
			if op.Listen.IsUnspecified() {
				op.Listen = netip.Addr{}
			}
			list = append(list, op)
		}
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
