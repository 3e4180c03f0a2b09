package state

import (
	"encoding/json"

	"github.com/virbr/virbr/driver/step"
)

// Record is what was done on the host for a network that runs, or is being started,
// stopped or undefined. It is on disk before anything is done, so that another
// process, also a newer one, can undo all of it or go on, whenever this one dies.
//
// A network that does not run has none. Where there is one, a daemon died half way.
type Record struct {
	Network string `json:"network"`
	Bridge  string `json:"bridge,omitempty"` // "": it has none
	Progress
}

// Progress is how far a change of a network has come.
type Progress struct {
	// Steps are in force, or may be, in the order in which they are done. Of one
	// without Do only the undo is known.
	Steps step.Steps `json:"steps"`

	// Pending are the keys of what was being changed: it may be as it was before,
	// as it is to be, or something in between.
	Pending []string `json:"pending,omitempty"`

	// Files are about to be replaced; see [FinishReplace].
	Files []Staged `json:"files,omitempty"`
}

// UnmarshalJSON reads a record, also one of a former version, which had nothing but undo
// ops, in the order in which they are to run.
func (r *Record) UnmarshalJSON(data []byte) error {
	type record Record
	var file struct {
		record
		Undo json.RawMessage `json:"undo"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	*r = Record(file.record)
	if file.Undo == nil {
		return nil
	}
	undo, err := step.UnmarshalOps(file.Undo)
	if err != nil {
		return err
	}
	r.Steps = step.UndoSteps(undo)
	for _, op := range undo {
		if link, ok := op.(step.DelLink); ok && r.Bridge == "" {
			r.Bridge = link.Name
		}
	}
	return nil
}
