package coexist

// The limits of a walk. The kernel has 16 jumps at most and no loops; what comes
// as text from elsewhere is not bound by that.
const (
	maxDepth = 16
	maxSteps = 1 << 20
)

// Step is one rule on a packet's way.
type Step struct {
	Chain int // position in the table
	Rule  int // position in the chain; len(Rules): its end
}

// Verdict of a base chain about a packet, and how it came about.
type result struct {
	drops bool
	path  []Step // where it dropped: from the base chain to the rule, or to the base chain's end (its policy)

	visited []Step // the starts of all chains that it came through, in order, with the rules that led there
	met     []Match
}

// walk follows one packet through one base chain.
type walk struct {
	table *Table
	p     Packet
	left  int
	at    []Step
	met   []Match // conditions of the rules on the way in
	res   result
}

// follow returns what a base chain does with a packet. A rule of which it is not
// known whether it holds is passed over: what counts is the way of an
// ordinary packet.
func (t *Table) follow(base int, p Packet) result {
	w := &walk{table: t, p: p, left: maxSteps}
	w.chain(base)
	return w.res
}

// end is how the walk of a chain ended.
type end uint8

const (
	fell    end = iota // off its end, or returned
	decided            // accepted, dropped, or lost
)

func (w *walk) chain(n int) end {
	c := &w.table.Chains[n]
	w.at = append(w.at, Step{Chain: n})
	defer func() { w.at = w.at[:len(w.at)-1] }()
	here := &w.at[len(w.at)-1]
	w.res.visited = append(w.res.visited, *here)
	for i := range c.Rules {
		here.Rule = i
		if w.left--; w.left < 0 || len(w.at) > maxDepth {
			return decided
		}
		r := &c.Rules[i]
		if w.p.meets(r.Match) != yes {
			continue
		}
		verdict, met := r.decide(w.p)
		kept := len(w.met)
		w.met = append(w.met, met...)
		switch verdict.Kind {
		case Continue:
		case Accept, Other:
			return decided
		case Drop, Reject:
			return w.drop()
		case Return:
			if len(w.at) == 1 {
				return w.policy(c, here)
			}
			w.met = w.met[:kept]
			return fell
		case Jump, Goto:
			next := w.table.chain(verdict.Chain)
			if next < 0 {
				return decided // not known
			}
			if w.chain(next) == decided {
				return decided
			}
			here = &w.at[len(w.at)-1]
			if verdict.Kind == Goto {
				w.met = w.met[:kept]
				if len(w.at) == 1 {
					return w.policy(c, here)
				}
				return fell
			}
		}
		w.met = w.met[:kept]
	}
	if len(w.at) == 1 {
		return w.policy(c, here)
	}
	return fell
}

func (w *walk) policy(c *Chain, here *Step) end {
	here.Rule = len(c.Rules)
	if c.Drop {
		return w.drop()
	}
	return decided
}

func (w *walk) drop() end {
	w.res.drops = true
	w.res.path = append([]Step(nil), w.at...)
	w.res.met = append([]Match(nil), w.met...)
	return decided
}

// decide returns the verdict of a rule whose conditions hold, and all those
// conditions.
func (r *Rule) decide(p Packet) (Verdict, []Match) {
	for _, e := range r.Map {
		key := Match{Field: r.Key, Values: []Value{e.Value}}
		if p.meetsOne(key) == yes {
			return e.Verdict, append(append([]Match(nil), r.Match...), key)
		}
	}
	return r.Verdict, r.Match
}
