package coexist

import (
	"slices"
	"strings"
)

// markPrefix begins the comments of our rules.
const markPrefix = "virbr: "

// Mark is the comment of a bridge's rules in the tables of others.
func Mark(bridge string) string { return markPrefix + bridge }

// marked reports whether a rule is one of ours, of whichever bridge.
func marked(r Rule) bool { return strings.HasPrefix(r.Comment, markPrefix) }

// Change is what is to be done to one table, all at once.
type Change struct {
	Family, Table string
	Iptables      bool // the rules must be what iptables-nft can read
	Delete        []Reference
	Insert        []Insertion
}

// Reference names a rule of the kernel.
type Reference struct {
	Chain  string
	Handle uint64
}

// Insertion is a rule that accepts what Accept says, Hook and IPv6 aside.
type Insertion struct {
	Chain   string
	Before  uint64 // handle of a rule; 0: at the end
	Accept  Packet
	Comment string
}

// Plan returns the changes that let pass what a wish needs, none where all of it
// passes already or no rule can help, and removes rules for the bridge that are
// not needed, or not there where they help. left are the obstacles that stay.
func (s *Survey) Plan(w Wish) (changes []Change, left []Obstacle) {
	need := Need(w)
	for i := range s.Tables {
		t := &s.Tables[i]
		wanted, stay := t.wanted(w.Bridge, need)
		left = append(left, stay...)
		if t.fulfils(w.Bridge, wanted) {
			continue
		}
		c := t.removal(w.Bridge)
		for _, want := range wanted {
			c.Insert = append(c.Insert, t.insertion(want, w.Bridge))
		}
		changes = append(changes, c)
	}
	return changes, left
}

// Removal returns the changes that remove all rules of a bridge.
func (s *Survey) Removal(bridge string) []Change {
	var changes []Change
	for i := range s.Tables {
		if c := s.Tables[i].removal(bridge); len(c.Delete) > 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

// want is one accept and its place.
type want struct {
	accept Packet
	at     place
	hooks  []Packet // the packets that it is for, as they come
}

// wanted returns the accepts that a table without ours needs, and the obstacles
// that none of them removes.
func (t *Table) wanted(bridge string, need []Packet) (list []want, left []Obstacle) {
	ours := func(r Rule) bool { return r.Comment == Mark(bridge) }
	for _, p := range need {
		for _, base := range t.bases(p) {
			r := t.follow(base, p, ours)
			if !r.drops {
				continue
			}
			at, ok := t.place(base, p, r)
			if !ok {
				left = append(left, t.obstacle(base, p, r))
				continue
			}
			accept := p.accept()
			same := func(w want) bool { return w.accept == accept && w.at == at }
			if i := slices.IndexFunc(list, same); i >= 0 {
				list[i].hooks = append(list[i].hooks, p)
				continue
			}
			list = append(list, want{accept: accept, at: at, hooks: []Packet{p}})
		}
	}
	return list, left
}

// accept returns what the rule for a packet asks for.
func (p Packet) accept() Packet {
	p.Hook, p.IPv6 = "", false
	return p
}

// fulfils reports whether the table has exactly the wanted rules, and they help.
func (t *Table) fulfils(bridge string, wanted []want) bool {
	type key struct {
		chain  int
		accept Packet
	}
	have := map[key]int{}
	n := 0
	for i := range t.Chains {
		for _, r := range t.Chains[i].Rules {
			if r.Comment == Mark(bridge) {
				have[key{i, r.asks()}]++
				n++
			}
		}
	}
	if n != len(wanted) {
		return false
	}
	for _, w := range wanted {
		k := key{w.at.chain, w.accept}
		if have[k]--; have[k] < 0 {
			return false
		}
		for _, p := range w.hooks {
			for _, base := range t.bases(p) {
				if r := t.follow(base, p, nil); r.drops && !names(r.met, bridge) {
					return false
				}
			}
		}
	}
	return true
}

// asks returns what an accepting rule asks for, if it could be one of ours.
func (r *Rule) asks() Packet {
	strange := Packet{Hook: "none of ours"}
	if r.Verdict.Kind != Accept {
		return strange
	}
	var p Packet
	for _, m := range r.Match {
		if m.Not || len(m.Values) != 1 || m.Values[0].Low != m.Values[0].High || m.Values[0].Wild {
			return strange
		}
		v := m.Values[0]
		switch m.Field {
		case InName:
			p.In = v.Name
		case OutName:
			p.Out = v.Name
		case L4Proto:
			for name, n := range protocols {
				if n == v.Low {
					p.Proto = name
				}
			}
		case DestPort:
			p.Port = uint16(v.Low)
		case FromPort:
			p.FromPort = uint16(v.Low)
		case ICMPType:
			p.Type = uint8(v.Low)
		case NFProto, State, Source, Dest, Unknown:
			return strange
		}
	}
	return p
}

// removal returns the change that deletes a bridge's rules.
func (t *Table) removal(bridge string) Change {
	c := Change{Family: t.Family, Table: t.Name, Iptables: t.Iptables()}
	if t.Owned || t.Legacy {
		return c
	}
	for i := range t.Chains {
		for _, r := range t.Chains[i].Rules {
			if r.Comment == Mark(bridge) {
				c.Delete = append(c.Delete, Reference{Chain: t.Chains[i].Name, Handle: r.Handle})
			}
		}
	}
	return c
}

// insertion names the place by the rule that follows: the first one from there
// that is none of ours, because those come and go.
func (t *Table) insertion(w want, bridge string) Insertion {
	chain := &t.Chains[w.at.chain]
	in := Insertion{Chain: chain.Name, Accept: w.accept, Comment: Mark(bridge)}
	for _, r := range chain.Rules[w.at.before:] {
		if !marked(r) {
			in.Before = r.Handle
			break
		}
	}
	return in
}
