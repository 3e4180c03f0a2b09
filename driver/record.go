package driver

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/virbr/virbr/driver/state"
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
	files   state.Table[recordFile]
	uuid    xml.UUID
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

func (d *Driver) records() state.Table[recordFile] { return state.Records[recordFile](d.dirs) }

func (d *Driver) newRecord(n *network, bridge string) *record {
	return &record{files: d.records(), uuid: n.ref.UUID, network: n.ref.Name, bridge: bridge}
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
	return r.files.Write(r.uuid, &recordFile{Network: r.network, Bridge: r.bridge, Undo: ops, Change: r.change})
}

// readRecord returns the undo record of a network; ok is false where there is
// none, as for a network that libvirt's daemon started.
func (d *Driver) readRecord(uuid xml.UUID) (r *record, ok bool, err error) {
	r, err = loadRecord(d.records(), uuid)
	return r, r != nil, err
}

// loadRecord reads a record's file; nil: there is none.
func loadRecord(files state.Table[recordFile], uuid xml.UUID) (*record, error) {
	file, err := files.Read(uuid)
	if file == nil || err != nil {
		return nil, err
	}
	ops, err := step.UnmarshalOps(file.Undo)
	if err != nil {
		return nil, fmt.Errorf("reading the undo record %q: %w", files.Path(uuid), err)
	}
	r := &record{files: files, uuid: uuid, network: file.Network, bridge: file.Bridge, ops: ops, change: file.Change}
	if r.bridge == "" { // of an older version
		r.bridge = bridgeOf(ops)
	}
	return r, nil
}
