package plan

import (
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
