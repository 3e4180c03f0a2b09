package plan

import (
	"net/netip"
	"reflect"

	"github.com/virbr/virbr/firewall"
)

// Turn is one step on the way from what runs to what shall run.
type Turn struct {
	Step    // to be applied; its Undo belongs to the record
	Back Op // what takes it back; nil: nothing does
}

// Difference returns what leads from steps that were applied to others, in order:
// what is new or differs, then what is no longer wanted, which is undone. What a
// step replaces has the same Undo. Rules are changed where they differ only.
func Difference(before, after []Step) []Turn {
	had := make(map[Op]int, len(before))
	for i := range before {
		if undo := before[i].Undo; undo != nil {
			had[undo] = i
		}
	}
	wanted := make(map[Op]bool, len(after))
	var list []Turn
	for _, s := range after {
		wanted[s.Undo] = true
		i, there := had[s.Undo]
		if there && same(before[i].Do, s.Do) {
			continue
		}
		t := Turn{Step: s, Back: s.Undo}
		if there {
			t.Back = before[i].Do
			t.Do, t.Back = change(before[i].Do, s.Do), change(s.Do, before[i].Do)
		}
		list = append(list, t)
	}
	for i := range before {
		if s := &before[i]; s.Undo != nil && !wanted[s.Undo] {
			list = append(list, Turn{Step: Step{Do: s.Undo}, Back: s.Do})
		}
	}
	return list
}

// same reports whether two ops do the same.
func same(a, b Op) bool {
	x, rules := a.(AddRules)
	y, both := b.(AddRules)
	if rules && both {
		return x.Rules == y.Rules || reflect.DeepEqual(x.Rules, y.Rules)
	}
	return reflect.DeepEqual(a, b)
}

// change returns the op that makes of what one op did what another does.
func change(from, to Op) Op {
	x, rules := from.(AddRules)
	y, both := to.(AddRules)
	if rules && both {
		return ReplaceRules{From: x.Rules, To: y.Rules}
	}
	return to
}

// Rules returns the rules that steps install; nil: none.
func Rules(steps []Step) *firewall.Network {
	for _, s := range steps {
		if op, ok := s.Do.(AddRules); ok {
			return op.Rules
		}
	}
	return nil
}

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

// Claims returns what the extensions take for the network. They must not be
// changed.
func (r *Reach) Claims() ([]firewall.Claim, error) {
	if r == nil || r.def == nil || len(r.Ext.Forwards)+len(r.Ext.Publics) == 0 {
		return nil, nil
	}
	t := r.taken
	if t == nil {
		return firewall.Claims(r.def, r.Ext, r.Where)
	}
	t.once.Do(func() { t.claims, t.err = firewall.Claims(r.def, r.Ext, r.Where) })
	return t.claims, t.err
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
