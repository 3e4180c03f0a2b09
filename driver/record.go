package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// record is the undo record of a network that runs, or is being started, stopped
// or undefined: the ops that take back what was done so far, in the order in
// which they are to run. Each is on disk before its step is begun, so a stop by
// another process, also a newer one, finds all of it, whenever this one dies.
//
// A network that does not run has none. Where there is one, a daemon died half
// way, and the next one finishes what it was at (sweep).
type record struct {
	path    string
	network string
	bridge  string // "": it has none
	ops     []step.Op
	change  *alteration // a change that is under way; nil: none
}

// recordFile is a record as JSON.
type recordFile struct {
	Network string          `json:"network"`
	Bridge  string          `json:"bridge,omitempty"`
	Undo    json.RawMessage `json:"undo"` // by step.MarshalOps
	Change  *alteration     `json:"change,omitempty"`
}

func (d *Driver) newRecord(n *network, bridge string) *record {
	return &record{path: d.dirs.undo(n.ref.UUID), network: n.ref.Name, bridge: bridge}
}

// ahead adds what takes back a step that is about to be done, to run first, and
// saves the record. It is kept in memory even where saving fails.
func (r *record) ahead(s step.Step) error {
	r.ops = slices.Insert(r.ops, 0, s.Ahead())
	return r.save()
}

// done notes that the step was done, for the next time that the record is saved.
func (r *record) done(s step.Step) { r.ops[0] = s.Undo }

// refused notes that nothing came of the step.
func (r *record) refused() { r.ops = r.ops[1:] }

// save writes the record.
func (r *record) save() error {
	ops, err := step.MarshalOps(r.ops)
	if err != nil {
		return fmt.Errorf("writing the undo record: %w", err)
	}
	data, err := json.Marshal(recordFile{Network: r.network, Bridge: r.bridge, Undo: ops, Change: r.change})
	if err != nil {
		return fmt.Errorf("writing the undo record: %w", err)
	}
	if err := writeFile(r.path, append(data, '\n')); err != nil {
		return fmt.Errorf("writing the undo record: %w", err)
	}
	return nil
}

// readRecord returns the undo record of a network; ok is false where there is
// none, as for a network that libvirt's daemon started.
func (d *Driver) readRecord(uuid xml.UUID) (r *record, ok bool, err error) {
	r, err = loadRecord(d.dirs.undo(uuid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return r, err == nil, err
}

// loadRecord reads a record's file.
func loadRecord(path string) (*record, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var file recordFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("reading the undo record %q: %w", path, err)
	}
	ops, err := step.UnmarshalOps(file.Undo)
	if err != nil {
		return nil, fmt.Errorf("reading the undo record %q: %w", path, err)
	}
	r := &record{path: path, network: file.Network, bridge: file.Bridge, ops: ops, change: file.Change}
	if r.bridge == "" { // of an older version
		r.bridge = bridgeOf(ops)
	}
	return r, nil
}
