package engine

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/virbr/virbr/driver/step"
)

// Transition is one step on the way from what is in force to what is to be.
type Transition struct {
	step.Step         // of something that goes Do is what undoes it
	Was       step.Op // what is in force of the same key; nil: nothing, or it is not known
	Same      bool    // it is in force already
	Gone      bool    // it is no longer wanted
}

// Op returns what is done. Rules are changed where they differ only.
func (t Transition) Op() step.Op {
	if t.Gone || t.Same || t.Was == nil {
		return t.Do
	}
	return change(t.Was, t.Do)
}

// Back returns what undoes it; nil: nothing does, or nothing was done.
func (t Transition) Back() step.Op {
	switch {
	case t.Same:
		return nil
	case t.Gone:
		return t.Was
	case t.Was != nil:
		return change(t.Do, t.Was)
	}
	return t.Undo
}

// Difference returns what leads from some steps to others, in order: what is wanted,
// in its order, then what no longer is: what serves guests first, the rest in the order
// of a stop. What switches off something that goes comes last.
func Difference(from, to []step.Step) []Transition {
	had, wanted := make(map[string]step.Op, len(from)), make(map[string]bool, len(to))
	for _, s := range from {
		had[s.Key()] = s.Do
	}
	var list, last []Transition
	for _, s := range to {
		key := s.Key()
		if wanted[key] {
			continue
		}
		wanted[key] = true
		was := had[key]
		t := Transition{Step: s, Was: was, Same: was != nil && same(was, s.Do)}
		if was != nil && !t.Same && step.SwitchesOff(s.Do) {
			last = append(last, t)
			continue
		}
		list = append(list, t)
	}
	var gone []Transition
	for _, s := range slices.Backward(from) {
		if s.Undo != nil && !wanted[s.Key()] {
			gone = append(gone, Transition{Step: step.Step{Do: s.Undo}, Was: s.Do, Gone: true})
		}
	}
	rank := func(t Transition) step.Phase {
		if step.ScopeOf(t.Do) == step.ScopeService {
			return step.PhaseFirst
		}
		return step.PhaseOf(t.Do) + 1
	}
	slices.SortStableFunc(gone, func(a, b Transition) int { return cmp.Compare(rank(a), rank(b)) })
	return slices.Concat(list, gone, last)
}

// same reports whether two ops do the same.
func same(a, b step.Op) bool {
	x, rules := a.(step.AddRules)
	y, both := b.(step.AddRules)
	if rules && both && x.Rules == y.Rules {
		return true
	}
	return reflect.DeepEqual(a, b)
}

// change returns the op that makes of what one op did what another does.
func change(from, to step.Op) step.Op {
	x, rules := from.(step.AddRules)
	y, both := to.(step.AddRules)
	if rules && both {
		return step.ReplaceRules{From: x.Rules, To: y.Rules}
	}
	was, route := from.(step.AddRoute)
	is, both := to.(step.AddRoute)
	if route && both {
		is.Instead = was.Gateway
		return is
	}
	return to
}
