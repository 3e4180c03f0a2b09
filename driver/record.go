package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// record is the undo record of a network that runs or is being started: the
// ops that take back what was done so far, in the order in which they are to
// run. It is on disk after every step, so a stop by another process, also a
// newer one, finds all of it.
type record struct {
	path    string
	network string
	ops     []plan.Op
}

// recordFile is a record as JSON.
type recordFile struct {
	Network string          `json:"network"`
	Undo    json.RawMessage `json:"undo"` // by plan.MarshalOps
}

func (d *Driver) newRecord(n *network) *record {
	return &record{path: d.dirs.undo(n.ref.UUID), network: n.ref.Name}
}

// push adds the op that is to run first and saves the record. The op is kept in
// memory even where saving fails.
func (r *record) push(op plan.Op) error {
	r.ops = slices.Insert(r.ops, 0, op)
	return r.save()
}

// save writes the record.
func (r *record) save() error {
	ops, err := plan.MarshalOps(r.ops)
	if err != nil {
		return fmt.Errorf("writing the undo record: %w", err)
	}
	data, err := json.Marshal(recordFile{Network: r.network, Undo: ops})
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
	ops, err := plan.UnmarshalOps(file.Undo)
	if err != nil {
		return nil, fmt.Errorf("reading the undo record %q: %w", path, err)
	}
	return &record{path: path, network: file.Network, ops: ops}, nil
}
