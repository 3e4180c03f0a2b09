package overlay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// record is what was added to one network: the steps that were done, or were about
// to be when the record was written, with what takes each back.
type record struct {
	path    string
	text    []byte // as it is on disk
	Network string
	UUID    xml.UUID
	Bridge  string
	Index   int    // of the bridge: another one is another bridge
	From    Source // of the extensions
	Def     string // the definition with its extensions, as it was last applied
	Made    string // the same with what was added to it and chosen
	Reach   *plan.Reach
	state.Progress
}

// recordFile is a record as JSON.
type recordFile struct {
	Network    string      `json:"network"`
	UUID       string      `json:"uuid"`
	Bridge     string      `json:"bridge"`
	Index      int         `json:"index"`
	From       Source      `json:"from"`
	Definition string      `json:"definition"`
	Made       string      `json:"made"`
	Reach      *plan.Reach `json:"reach,omitempty"`
	state.Progress
}

// keep makes the record tell how far a change has come, and saves it.
func (r *record) keep(p state.Progress) error {
	r.Progress = p
	return r.save()
}

// giveBack makes a record that another one could not replace that of the network again,
// with what could not be taken back; was is nil where there was none.
func (r *record) giveBack(was *record) error {
	if was == nil && len(r.Steps) == 0 {
		return disk.Remove(r.path)
	}
	if was == nil {
		return nil
	}
	was.text = nil // whatever is on disk
	return was.keep(r.Progress)
}

// save writes the record.
func (r *record) save() error {
	const doing = "writing the undo record of network %q: %w"
	file := recordFile{
		Network: r.Network, UUID: r.UUID.String(), Bridge: r.Bridge, Index: r.Index, From: r.From,
		Definition: r.Def, Made: r.Made, Reach: r.Reach, Progress: r.Progress,
	}
	data, err := json.Marshal(file)
	if err == nil && !bytes.Equal(data, r.text) {
		err = writeFile(r.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf(doing, r.Network, err)
	}
	r.text = data
	return nil
}

// readRecord returns the record of a network, or nil if nothing was added to it.
func (d Dirs) readRecord(uuid xml.UUID) (*record, error) {
	path := d.record(uuid)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(data)
	if err == nil && r.UUID != uuid {
		err = errors.New("it is another network's")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the undo record %q: %w", path, err)
	}
	r.path, r.text = path, data
	return r, nil
}

func parseRecord(data []byte) (*record, error) {
	var file recordFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	uuid, ok := xml.ParseUUID(file.UUID)
	if !ok {
		return nil, fmt.Errorf("%.50q is no UUID", file.UUID)
	}
	r := &record{Network: file.Network, UUID: uuid, Bridge: file.Bridge, Index: file.Index, From: file.From, Def: file.Definition, Made: file.Made, Progress: file.Progress}
	if file.Reach != nil && file.Reach.Ext != nil {
		// One that this version refuses claims nothing, but can be taken back.
		if def, err := xml.ParseNetwork([]byte(file.Made)); err == nil {
			r.Reach = file.Reach.Revived(def)
		}
	}
	return r, nil
}

// list returns the networks that have a record.
func (d Dirs) list() ([]xml.UUID, error) {
	names, err := disk.Stems(d.records(), ".json")
	if err != nil {
		return nil, fmt.Errorf("listing undo records: %w", err)
	}
	var list []xml.UUID
	for _, name := range names {
		if uuid, ok := xml.ParseUUID(name); ok && uuid.String() == name {
			list = append(list, uuid)
		}
	}
	return list, nil
}
