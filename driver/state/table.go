package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Table is a directory with one JSON file for each network that has something of a
// kind, by the network's UUID.
type Table[T any] struct {
	dir  string
	what string // "undo record": for errors
}

func (d Dirs) records() string { return filepath.Join(d.Own, "networks") }

// Records are what was done on the host for networks.
func (d Dirs) Records() Table[Record] { return Table[Record]{d.records(), "undo record"} }

// Learned are the addresses that were found out about guests of running networks.
func (d Dirs) Learned() Table[plan.Memory] {
	return Table[plan.Memory]{filepath.Join(d.Own, "guests"), "learned addresses"}
}

// Detached are the guests of networks that were stopped.
func (d Dirs) Detached() Table[Detached] {
	return Table[Detached]{filepath.Join(d.Own, "detached"), "guests of a stopped network"}
}

// Applying are the changes of several networks at once that are under way, by one of them.
func (d Dirs) Applying() Table[Applying] {
	return Table[Applying]{filepath.Join(d.Lib, "applying"), "way back of a change"}
}

// Applying is what networks were before they are changed together. A daemon that
// finds one undoes what was done, unless that is all done and may be confirmed until
// a time.
type Applying struct {
	Networks []Applied `json:"networks"`
	Until    time.Time `json:"until,omitzero"` // zero: it is under way
}

// Applied is what a network was. Empty texts: it had no such definition.
type Applied struct {
	Network string   `json:"network"`
	UUID    xml.UUID `json:"uuid"`
	Config  string   `json:"config,omitempty"` // what its file held
	Status  string   `json:"status,omitempty"` // so, of a network that ran
}

// Failures are starts that failed which no client asked for, for doctor.
func (d Dirs) Failures() Table[Failure] {
	return Table[Failure]{filepath.Join(d.Own, "failed"), "failed start"}
}

// Failure is why a network did not start. It goes when the network starts, and with the
// next boot.
type Failure struct {
	Time  int64  `json:"time"` // in seconds since the epoch
	Error string `json:"error"`
}

// Detached is what was plugged into a network that was stopped: the links on its bridge
// and the ports of the guests behind them. A network that is started again, or in its
// place, gets them back. It is on disk before the network stops, and gone with the next
// boot, as the guests are.
type Detached struct {
	Network string        `json:"network"`
	UUID    xml.UUID      `json:"uuid"`
	Bridge  string        `json:"bridge"`
	MAC     xml.MAC       `json:"mac"`   // the bridge's: guests know their gateway by it
	Since   int64         `json:"since"` // in seconds since the epoch
	Members []step.Member `json:"members"`
	Ports   []string      `json:"ports,omitempty"` // their documents
}

// Has reports whether a guest of some MAC address was behind one of the links.
func (l *Detached) Has(guest xml.MAC) bool {
	return slices.ContainsFunc(l.Members, func(m step.Member) bool { return slices.Contains(m.Guests, guest) })
}

// maxRow is how many bytes a row may have: with what is compiled from a document, it may be
// some documents large.
const maxRow = 64 << 20

// Path is where a network's file is, or would be.
func (t Table[T]) Path(uuid xml.UUID) string { return filepath.Join(t.dir, uuid.String()+".json") }

// List returns the networks that have a file.
func (t Table[T]) List() ([]xml.UUID, error) {
	names, err := disk.Stems(t.dir, ".json")
	if err != nil {
		return nil, fmt.Errorf("listing each %s: %w", t.what, err)
	}
	var list []xml.UUID
	for _, name := range names {
		if uuid, ok := xml.ParseUUID(name); ok && uuid.String() == name {
			list = append(list, uuid)
		}
	}
	return list, nil
}

// Paths returns the files that there are.
func (t Table[T]) Paths() ([]string, error) {
	list, err := t.List()
	var paths []string
	for _, uuid := range list {
		paths = append(paths, t.Path(uuid))
	}
	return paths, err
}

// Has reports whether a network has a file.
func (t Table[T]) Has(uuid xml.UUID) bool { return exists(t.Path(uuid)) }

// Read returns what a network's file holds; nil: it has none.
func (t Table[T]) Read(uuid xml.UUID) (*T, error) {
	data, err := disk.Read(t.Path(uuid), maxRow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var row T
	if err == nil {
		err = json.Unmarshal(data, &row)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s %q: %w", t.what, t.Path(uuid), err)
	}
	return &row, nil
}

// Write replaces a network's file.
func (t Table[T]) Write(uuid xml.UUID, row *T) error {
	data, err := json.Marshal(row)
	if err == nil {
		err = disk.MkdirAll(t.dir, 0o700)
	}
	if err == nil {
		err = write(t.Path(uuid), string(data)+"\n")
	}
	if err != nil {
		return fmt.Errorf("writing the %s: %w", t.what, err)
	}
	return nil
}

// Remove removes a network's file, if it has one.
func (t Table[T]) Remove(uuid xml.UUID) error { return remove(t.Path(uuid)) }
