package coexist

import (
	"net/netip"
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

	spec string // of a Legacy table
}

// Insertion is a rule that accepts what Accept says, Hook and IPv6 aside.
type Insertion struct {
	Chain   string
	Before  uint64 // handle of a rule; 0: at the end
	Accept  Packet
	Comment string

	// For the chains of libvirt, see [Survey.Beside]:
	Kind    Kind
	Address netip.Prefix // of the guests: the destination with Accept.Out, else the source; invalid: any
}

// Plan returns the changes that let pass what wishes need, none where all of it
// passes already or no rule may help. Rules for their bridges that are not needed,
// or not where they belong, are removed. left are the obstacles that stay.
func (s *Survey) Plan(wishes ...Wish) (changes []Change, left []Obstacle) {
	judges := make([]judge, len(wishes))
	for i, w := range wishes {
		judges[i] = s.judge(w)
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		theirs, ours := t.apart()
		c := t.change()
		for k, w := range wishes {
			wanted, stay := theirs.wanted(Need(w), judges[k])
			left = append(left, stay...)
			have := ours[Mark(w.Bridge)]
			if sameRules(have, wanted) {
				continue
			}
			for _, r := range have {
				c.Delete = append(c.Delete, Reference{Chain: t.Chains[r.at.chain].Name, Handle: r.handle, spec: r.spec})
			}
			for _, want := range wanted {
				c.Insert = append(c.Insert, theirs.insertion(want, w.Bridge))
			}
		}
		if len(c.Delete)+len(c.Insert) > 0 {
			changes = append(changes, c)
		}
	}
	return changes, left
}

// Removal returns the changes that remove all rules of a bridge.
func (s *Survey) Removal(bridge string) []Change {
	var changes []Change
	for i := range s.Tables {
		t := &s.Tables[i]
		_, ours := t.apart()
		c := t.change()
		for _, r := range ours[Mark(bridge)] {
			c.Delete = append(c.Delete, Reference{Chain: t.Chains[r.at.chain].Name, Handle: r.handle, spec: r.spec})
		}
		if len(c.Delete) > 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

func (t *Table) change() Change {
	return Change{Family: t.Family, Table: t.Name, Iptables: t.Iptables()}
}

// accepting is one accept and its place among the rules of others.
type accepting struct {
	accept Packet
	at     place
	handle uint64 // of one that is there
	spec   string
}

// apart returns the table without our rules, and ours by their marks. Tables that
// we cannot change have none of ours.
func (t *Table) apart() (theirs *Table, ours map[string][]accepting) {
	theirs = &Table{Family: t.Family, Name: t.Name, Owned: t.Owned, Legacy: t.Legacy, Chains: make([]Chain, len(t.Chains))}
	if ours = map[string][]accepting{}; t.Owned {
		return t, ours
	}
	for i, c := range t.Chains {
		theirs.Chains[i] = c
		kept := make([]Rule, 0, len(c.Rules))
		for _, r := range c.Rules {
			switch {
			case chainOwner(r.Verdict.Chain) == Libvirt:
				continue // what libvirt accepts goes when it hands its networks over
			case !marked(r):
				kept = append(kept, r)
				continue
			}
			a := accepting{accept: r.asks(), at: place{chain: i, before: len(kept)}, handle: r.Handle, spec: r.spec}
			ours[r.Comment] = append(ours[r.Comment], a)
		}
		theirs.Chains[i].Rules = kept
	}
	return theirs, ours
}

// wanted returns the accepts that a table without ours needs, and the obstacles
// that none of them removes.
func (t *Table) wanted(need []Packet, j judge) (list []accepting, left []Obstacle) {
	for _, p := range need {
		for _, base := range t.bases(p) {
			r := t.follow(base, p)
			if !r.drops {
				continue
			}
			at, ok := t.place(base, p, r, j)
			if !ok {
				left = append(left, t.obstacle(base, p, r, j))
				continue
			}
			if a := (accepting{accept: p.accept(), at: at}); !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list, left
}

// sameRules reports whether what is there is what is wanted, in any order.
func sameRules(have, wanted []accepting) bool {
	if len(have) != len(wanted) {
		return false
	}
	for _, h := range have {
		h.handle, h.spec = 0, ""
		if !slices.Contains(wanted, h) {
			return false
		}
	}
	return true
}

// accept returns what the rule for a packet asks for.
func (p Packet) accept() Packet {
	p.Hook, p.IPv6, p.Cast = "", false, 0
	return p
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
		case State:
			p.Reply, p.Translated = v.Low == StateEstablished|StateRelated, v.Low == StateTranslated
			if !p.Reply && !p.Translated {
				return strange
			}
		case NFProto, Source, Dest, DestCast, BackAny, BackIn, PacketMark, Unknown:
			return strange
		}
	}
	return p
}

// insertion names the place by the rule that follows.
func (t *Table) insertion(a accepting, bridge string) Insertion {
	chain := &t.Chains[a.at.chain]
	in := Insertion{Chain: chain.Name, Accept: a.accept, Comment: Mark(bridge)}
	if a.at.before < len(chain.Rules) {
		in.Before = chain.Rules[a.at.before].Handle
	}
	return in
}
