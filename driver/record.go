package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/virbr/virbr/driver/engine"
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
	text    []byte      // as it is on disk; nil: it is not
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

// keep makes the record one of some steps, and saves it. It is kept in memory even
// where saving fails.
func (r *record) keep(steps []step.Step) error {
	r.ops = step.StopOrder(undos(steps))
	if len(r.ops) == 0 && r.text == nil {
		return nil
	}
	return r.save()
}

// undos returns what undoes steps. Addresses and attributes go with the bridge.
func undos(steps []step.Step) []step.Op {
	return slices.DeleteFunc(engine.Undos(steps), func(op step.Op) bool {
		scope := step.ScopeOf(op)
		return scope == step.ScopeAddress || scope == step.ScopeLink && step.PhaseOf(op) == step.PhaseFirst
	})
}

// without returns the ops of a list that are about other things than those of another.
func without(list, other []step.Op) []step.Op {
	gone := make(map[string]bool, len(other))
	for _, op := range other {
		gone[step.Key(op)] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(op step.Op) bool { return gone[step.Key(op)] })
}

// recorder returns what writes down which steps of a running network may be in force,
// on the way from some to others. A network that libvirt's daemon started has no
// record and needs none.
func (d *Driver) recorder(n *network, from, to []step.Step) (save func([]step.Step) error, err error) {
	r, ok, err := d.readRecord(n.ref.UUID)
	if err != nil || !ok {
		return func([]step.Step) error { return nil }, err
	}
	rest := without(r.ops, append(undos(from), undos(to)...))
	return func(steps []step.Step) error {
		r.ops = step.StopOrder(slices.Concat(rest, undos(steps)))
		return r.save()
	}, nil
}

// converge leads a running network from some steps to others.
func (d *Driver) converge(ctx context.Context, n *network, c engine.Change) (done *engine.Done, err error) {
	c.Network = n.ref.Name
	if c.Save, err = d.recorder(n, c.From, c.To); err != nil {
		return nil, err
	}
	return d.engine.Converge(ctx, c)
}

// save writes the record, if it is another than that on disk.
func (r *record) save() error {
	ops, err := step.MarshalOps(r.ops)
	if err != nil {
		return fmt.Errorf("writing the undo record: %w", err)
	}
	file := recordFile{Network: r.network, Bridge: r.bridge, Undo: ops, Change: r.change}
	text, err := json.Marshal(file)
	if err == nil && !bytes.Equal(text, r.text) {
		err = r.files.Write(r.uuid, &file)
	}
	if err == nil {
		r.text = text
	}
	return err
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
	if r.text, err = json.Marshal(file); err != nil {
		return nil, err
	}
	if r.bridge == "" { // of an older version
		r.bridge = bridgeOf(ops)
	}
	return r, nil
}
