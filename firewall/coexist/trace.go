package coexist

import "slices"

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
	drops   bool
	verdict Verdict // Accept, Drop, Reject or Other
	path    []Step  // to what decided: from the base chain to the rule, or to the base chain's end (its policy)

	// unsure are the ways to rules that may end the packet's: they hold conditions of which
	// nothing is known, or hand packets to a program.
	unsure [][]Step

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
	p.Untracked = p.Untracked || t.Chains[base].Priority <= priorityRaw
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
		switch w.p.meets(r.Match) {
		case no:
			continue
		case maybe:
			if w.p.obscure(r.Match) && w.table.ends(r) {
				w.res.unsure = append(w.res.unsure, append([]Step(nil), w.at...))
			}
			continue
		case yes:
		}
		verdict, met := r.decide(w.p)
		kept := len(w.met)
		w.met = append(w.met, met...)
		switch verdict.Kind {
		case Continue:
		case Other:
			w.res.unsure = append(w.res.unsure, append([]Step(nil), w.at...))
			return w.end(verdict)
		case Accept:
			return w.end(verdict)
		case Drop, Reject:
			return w.drop(verdict)
		case Return:
			if len(w.at) == 1 {
				return w.policy(c, here)
			}
			w.met = w.met[:kept]
			return fell
		case Jump, Goto:
			next := w.table.chain(verdict.Chain)
			if next < 0 {
				return w.end(Verdict{Kind: Other}) // not known
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
		return w.drop(Verdict{Kind: Drop})
	}
	return w.end(Verdict{Kind: Accept})
}

func (w *walk) drop(v Verdict) end {
	w.res.drops = true
	w.res.met = append([]Match(nil), w.met...)
	return w.end(v)
}

func (w *walk) end(v Verdict) end {
	w.res.verdict = v
	w.res.path = append([]Step(nil), w.at...)
	return decided
}

// obscure reports whether conditions are not understood. Those that only leave open
// which packets of a kind they are about, as a port does, say what somebody wants.
func (p Packet) obscure(all []Match) bool {
	unknown := false
	for _, m := range all {
		if p.meetsOne(m) != maybe {
			continue
		}
		if m.Field != Unknown && m.Field != PacketMark && len(m.Values) > 0 {
			return false
		}
		unknown = unknown || !occasional[m.Text]
	}
	return unknown
}

// occasional are conditions that hold now and then: rules with them hold packets back
// that are too many, or log them.
var occasional = map[string]bool{
	"limit": true, "quota": true, "connlimit": true, "hashlimit": true, "recent": true, "dynset": true, "statistic": true, "numgen": true, "tcp": true,
	"rt": true, "frag": true, "fragment": true, "exthdr": true, "length": true, "string": true, "u32": true, "bpf": true,
}

// ends reports whether a rule, or a chain that it leads to, may drop packets or hand
// them to a program.
func (t *Table) ends(r *Rule) bool {
	for _, v := range r.verdicts() {
		switch v.Kind {
		case Drop, Reject, Other:
			return true
		case Jump, Goto:
			next := t.chain(v.Chain)
			if next >= 0 && slices.ContainsFunc(t.reachable(next), t.drops) {
				return true
			}
		case Continue, Accept, Return:
		}
	}
	return false
}

// drops reports whether a rule of a chain drops something.
func (t *Table) drops(chain int) bool {
	return slices.ContainsFunc(t.Chains[chain].Rules, func(r Rule) bool {
		return slices.ContainsFunc(r.verdicts(), func(v Verdict) bool { return v.Kind == Drop || v.Kind == Reject || v.Kind == Other })
	})
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
