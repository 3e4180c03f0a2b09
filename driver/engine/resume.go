package engine

import (
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
)

// Resume returns the change that goes on where another process ended, perhaps half
// way: from what a record says is in force to steps that are wanted, with those done again
// that can be repeated or whose results are gone. The record may be of more than
// these steps: of that only what about says is undone.
func Resume(record state.Progress, wanted []step.Step, about func(step.Op) bool) Change {
	return Change{From: left(record, wanted, about), To: wanted, Refresh: true}
}

// left returns what is in force by a record.
func left(record state.Progress, wanted []step.Step, about func(step.Op) bool) (from []step.Step) {
	known, pending, keys := map[string]step.Step{}, map[string]bool{}, map[string]bool{}
	for _, s := range record.Steps {
		known[s.Key()] = s
	}
	for _, key := range record.Pending {
		pending[key] = true
	}
	for _, s := range wanted {
		key := s.Key()
		keys[key] = true
		was, recorded := known[key]
		switch {
		case pending[key] && was.Undo != nil:
			from = append(from, step.Step{Undo: was.Undo})
		case pending[key]: // it is done again
		case recorded && was.Do != nil:
			from = append(from, was)
		case recorded || s.Undo == nil || !step.Lasting(s.Undo):
			from = append(from, s) // of which records do not say more
		}
	}
	for _, s := range record.Steps {
		key := s.Key()
		if keys[key] || s.Undo == nil || !about(s.Undo) || !pending[key] && step.ScopeOf(s.Undo) != step.ScopeGuests {
			continue
		}
		from = append(from, step.Step{Undo: s.Undo})
	}
	return from
}
