package coexist

import (
	"cmp"
	"iter"
	"slices"
)

// Passage is what one base chain does with a packet, and which rule decides.
type Passage struct {
	Hook     Hook
	Priority int32
	Owner    Owner
	Table    string // "ip filter"
	Chain    string // where it is decided
	Rule     string // that decides; "": the end of the chain
	Verdict  Verdict

	Obstacle *Obstacle  // where the packet is dropped
	Unsure   []Obstacle // rules on the way of which nobody can say what they do
}

// Passages returns what the base chains do that a packet meets at its hook, in the
// order in which the kernel calls them, up to one that drops it. What is done to the
// packet between two of them, the next one sees.
func (s *Survey) Passages(p *Packet) iter.Seq[Passage] {
	type call struct {
		t    *Table
		base int
	}
	var calls []call
	for i := range s.Tables {
		for _, base := range s.Tables[i].bases(*p) {
			calls = append(calls, call{&s.Tables[i], base})
		}
	}
	slices.SortStableFunc(calls, func(a, b call) int {
		return cmp.Compare(a.t.Chains[a.base].Priority, b.t.Chains[b.base].Priority)
	})
	return func(yield func(Passage) bool) {
		for _, c := range calls {
			r := c.t.follow(c.base, *p)
			passage := c.t.passage(c.base, *p, r)
			if r.drops {
				o := c.t.obstacle(c.base, *p, r, s.judge(Wish{}))
				passage.Obstacle, passage.Owner = &o, o.Owner
			}
			if !yield(passage) || r.drops {
				return
			}
		}
	}
}

func (t *Table) passage(base int, p Packet, r result) Passage {
	passage := Passage{
		Hook: t.Chains[base].Hook, Priority: t.Chains[base].Priority, Owner: t.owner(base), Table: t.String(), Chain: t.Chains[base].Name, Verdict: r.verdict,
	}
	for _, path := range r.unsure {
		passage.Unsure = append(passage.Unsure, t.unsure(base, p, path))
	}
	if len(r.path) == 0 {
		return passage
	}
	last := r.path[len(r.path)-1]
	chain := &t.Chains[last.Chain]
	passage.Chain = chain.Name
	if last.Rule < len(chain.Rules) {
		rule := &chain.Rules[last.Rule]
		passage.Owner, passage.Rule = t.ownerOf(base, r.path), rule.String()
	}
	return passage
}
