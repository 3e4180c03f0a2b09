package coexist

import (
	"fmt"
	"slices"
	"sync"
)

// Obstacle is a chain that drops packets of guests or for them.
type Obstacle struct {
	Packet Packet
	Owner  Owner
	Table  string // "ip filter"
	Chain  string // where they are dropped
	Rule   string // what drops them, as text; "": the policy of the chain
	Handle uint64 // of the rule

	// Mendable says that a [Survey.Plan] accepts the packets. It does not where
	// somebody drops them on purpose, by the bridge's name or some other
	// condition or by a kill switch, nor in tables that only their owner may change.
	Mendable bool

	// Meant says that what drops them is a rule about such packets in particular.
	Meant bool

	Why  string // for people: who drops what, and where
	Mend string // the command that lets the packets pass
}

// Settle looks for what sets marks, once all tables are in the survey. Before, nothing is
// known of a packet's mark.
func (s *Survey) Settle() {
	s.settled, s.marking, s.framed = true, nil, false
	for i := range s.Tables {
		t := &s.Tables[i]
		for j := range t.Chains {
			for k := range t.Chains[j].Rules {
				r := &t.Chains[j].Rules[k]
				if frames := t.Family == Bridge || t.Family == Netdev; r.Marks && frames {
					s.framed = true
				} else if r.Marks {
					s.marking = append(s.marking, r)
				}
			}
		}
	}
}

// unmarked reports whether no rule sets the mark of a packet, at whatever hook.
func (s *Survey) unmarked(p Packet) bool {
	return s.settled && !s.framed && !slices.ContainsFunc(s.marking, func(r *Rule) bool { return p.meets(r.Match) != no })
}

// Trace returns the obstacles of a packet in the tables of others, one for each
// base chain that drops it, and the rules of which nobody can say whether they do:
// their conditions are not understood. The rules of a Plan count.
func (s *Survey) Trace(p Packet) (list, unsure []Obstacle) {
	p.Unmarked = s.unmarked(p)
	judge := sync.OnceValue(func() judge { return s.judge(Wish{}) }) // it looks at all tables, and mostly nothing drops
	for i := range s.Tables {
		t := &s.Tables[i]
		for _, base := range t.bases(p) {
			r := t.follow(base, p)
			if r.drops {
				list = append(list, t.obstacle(base, p, r, judge()))
			}
			for _, path := range r.unsure {
				unsure = append(unsure, t.unsure(base, p, path))
			}
		}
	}
	return list, unsure
}

// unsure returns a rule that may drop a packet.
func (t *Table) unsure(base int, p Packet, path []Step) Obstacle {
	last := path[len(path)-1]
	rule := &t.Chains[last.Chain].Rules[last.Rule]
	o := Obstacle{Packet: p, Table: t.String(), Chain: t.Chains[last.Chain].Name, Owner: t.ownerOf(base, path), Rule: rule.String(), Handle: rule.Handle}
	o.Why = fmt.Sprintf("%s: chain %s of table %s, rule `%s` (handle %d)", o.Owner, o.Chain, o.Table, o.Rule, o.Handle)
	return o
}

// ownerOf returns the owner of the chain that a way ends in, or else of those before.
func (t *Table) ownerOf(base int, path []Step) Owner {
	for i := len(path) - 1; i >= 0; i-- {
		if o := t.owner(path[i].Chain); o != Iptables && o != Nftables {
			return o
		}
	}
	return t.owner(base)
}

// bases returns the base chains that see a packet, in the order in which the
// kernel calls them.
func (t *Table) bases(p Packet) []int {
	var list []int
	if !t.sees(p) {
		return nil
	}
	for i := range t.Chains {
		c := &t.Chains[i]
		if c.Hook == p.Hook && (len(c.Devices) == 0 || slices.Contains(c.Devices, p.link())) {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int { return int(int64(t.Chains[a].Priority) - int64(t.Chains[b].Priority)) })
	return list
}

func (t *Table) obstacle(base int, p Packet, r result, j judge) Obstacle {
	last := r.path[len(r.path)-1]
	chain := &t.Chains[last.Chain]
	o := Obstacle{Packet: p, Table: t.String(), Chain: chain.Name, Owner: t.ownerOf(base, r.path)}
	what := "its policy is drop"
	if last.Rule < len(chain.Rules) {
		rule := chain.Rules[last.Rule]
		if vpn := vpnOwner(rule.Comment); vpn != "" {
			o.Owner = vpn
		}
		o.Rule, o.Handle = rule.String(), rule.Handle
		what = fmt.Sprintf("rule `%s` (handle %d)", o.Rule, o.Handle)
		if t.Legacy {
			what = fmt.Sprintf("rule `%s` (number %d)", o.Rule, o.Handle)
		}
	}
	if accepts := p.Layer == "" && (p.Hook == Input || p.Hook == Forward || p.Hook == Output); accepts {
		_, o.Mendable = t.place(base, p, r, j)
	}
	o.Meant = len(r.met) > 0 && !o.Mendable
	o.Why = fmt.Sprintf("%s: chain %s of table %s drops %s: %s", o.Owner, chain.Name, o.Table, p, what)
	at, placed := t.place(base, p, r, judge{all: true})
	o.Mend = t.mend(o, at, placed)
	return o
}
