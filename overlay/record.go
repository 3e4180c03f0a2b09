package overlay

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// record is what was added to one network: the steps that were done, or were about
// to be when the record was written, with what takes each back.
type record struct {
	state.OverlayRecord
	files state.Table[state.OverlayRecord]
	text  []byte // as it is on disk
}

// keep makes the record tell how far a change has come, and saves it.
func (r *record) keep(p state.Progress) error {
	r.Progress = p
	text, err := json.Marshal(r.OverlayRecord)
	if err == nil && !bytes.Equal(text, r.text) {
		err = r.files.Write(r.UUID, &r.OverlayRecord)
	}
	if err != nil {
		return fmt.Errorf("network %q: %w", r.Network, err)
	}
	r.text = text
	return nil
}

// giveBack makes a record that another one could not replace that of the network again,
// with what could not be taken back; was is nil where there was none.
func (r *record) giveBack(was *record) error {
	if was == nil && len(r.Steps) == 0 {
		return r.files.Remove(r.UUID)
	}
	if was == nil {
		return nil
	}
	was.text = nil // whatever is on disk
	return was.keep(r.Progress)
}

// readRecord returns the record of a network, or nil if nothing was added to it.
func (e *Engine) readRecord(uuid xml.UUID) (*record, error) {
	files := e.files.Records()
	row, err := files.Read(uuid)
	if row == nil || err != nil {
		return nil, err
	}
	r := revived(row)
	r.files = files
	if r.UUID != uuid {
		return nil, fmt.Errorf("reading the undo record %q: it is another network's", files.Path(uuid))
	}
	r.text, err = json.Marshal(row)
	return r, err
}

// revived returns a record that was read. Extensions that this version refuses claim
// nothing, but can be taken back.
func revived(row *state.OverlayRecord) *record {
	r := &record{OverlayRecord: *row}
	def, err := xml.ParseNetwork([]byte(r.Made))
	if r.Resolution == nil || r.Resolution.Ext == nil || err != nil {
		r.Resolution = nil
		return r
	}
	r.Resolution = r.Resolution.Revived(def)
	return r
}
