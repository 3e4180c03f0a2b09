package plan

import (
	"reflect"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
)

// Turn is one step on the way from what runs to what shall run.
type Turn struct {
	step.Step         // to be applied; its Undo belongs to the record
	Back      step.Op // what takes it back; nil: nothing does
}

// Difference returns what leads from steps that were applied to others, in order:
// what is new or differs, then what is no longer wanted, which is undone. What a
// step replaces has the same key. Rules are changed where they differ only.
func Difference(before, after []step.Step) []Turn {
	had := make(map[string]int, len(before))
	for i := range before {
		if before[i].Undo != nil {
			had[step.Key(before[i].Do)] = i
		}
	}
	wanted := make(map[string]bool, len(after))
	var list []Turn
	for _, s := range after {
		key := step.Key(s.Do)
		wanted[key] = true
		i, there := had[key]
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
		if s := &before[i]; s.Undo != nil && !wanted[step.Key(s.Do)] {
			list = append(list, Turn{Step: step.Step{Do: s.Undo}, Back: s.Do})
		}
	}
	return list
}

// same reports whether two ops do the same.
func same(a, b step.Op) bool {
	x, rules := a.(step.AddRules)
	y, both := b.(step.AddRules)
	if rules && both {
		return x.Rules == y.Rules || reflect.DeepEqual(x.Rules, y.Rules)
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
	return to
}

// Rules returns the rules that steps install; nil: none.
func Rules(steps []step.Step) *firewall.Network {
	for _, s := range steps {
		if op, ok := s.Do.(step.AddRules); ok {
			return op.Rules
		}
	}
	return nil
}
