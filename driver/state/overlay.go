package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// Overlay is the files of the hook mode, which adds to networks of libvirt's own daemon.
type Overlay struct{ dirs Dirs }

// Overlay returns the files of the hook mode.
func (d Dirs) Overlay() Overlay { return Overlay{d} }

// Own is the directory of records, reports and locks, and of the pid files of dnsmasq
// processes of our own.
func (o Overlay) Own() string { return filepath.Join(o.dirs.Own, "hook") }

// Served returns the directories of dnsmasq processes of our own.
func (o Overlay) Served() dnsmasq.Dirs {
	return dnsmasq.Dirs{Run: o.Own(), Dnsmasq: filepath.Join(o.dirs.Lib, "dnsmasq")}
}

// Lock is the lock under which one process at a time adds and takes back.
func (o Overlay) Lock() string { return filepath.Join(o.Own(), "lock") }

// AgentLock is the pid file that the agent locks.
func (o Overlay) AgentLock() string { return filepath.Join(o.Own(), "agent.pid") }

// Extensions is the file with the extensions of a network whose libvirt keeps no metadata.
func (o Overlay) Extensions(network string) string {
	return filepath.Join(o.dirs.Added, network+".xml")
}

// Notify is the file by which hooks tell the agent of a network.
func (o Overlay) Notify(network string) string {
	return filepath.Join(o.Own(), "calls", network+".xml")
}

// Watched returns the directories in which files tell the agent of changes, but for those
// of leases.
func (o Overlay) Watched() []string {
	return []string{o.dirs.State, o.dirs.Added, o.dirs.Dnsmasq, o.Served().Dnsmasq, o.Records().dir, filepath.Dir(o.Notify(""))}
}

// Make makes the directories that are written to. Others may read reports.
func (o Overlay) Make() error {
	err := makeDirs(0o755, o.Own(), o.ReportDir(), o.Served().Dnsmasq)
	if err == nil {
		err = makeDirs(0o700, o.Records().dir, filepath.Dir(o.Notify("")))
	}
	return err
}

// RemoveTemporary removes what processes left that were killed while they wrote a file.
func (o Overlay) RemoveTemporary() error {
	return errors.Join(removeTemporary(o.Records().dir), removeTemporary(o.ReportDir()))
}

// OverlayRecord is what was added to one network.
type OverlayRecord struct {
	Network    string           `json:"network"`
	UUID       xml.UUID         `json:"uuid"`
	Bridge     string           `json:"bridge"`
	Index      int              `json:"index"` // of the bridge: another one is another bridge
	From       plan.Source      `json:"from"`
	Definition string           `json:"definition"` // with its extensions, as it was last applied
	Made       string           `json:"made"`       // the same with what was added to it and chosen
	Resolution *plan.Resolution `json:"reach,omitempty"`
	Progress
}

// Records are what was added to networks.
func (o Overlay) Records() Table[OverlayRecord] {
	return Table[OverlayRecord]{filepath.Join(o.Own(), "undo"), "undo record"}
}

// Idle reports whether nothing is added to any network.
func (o Overlay) Idle() bool {
	left, err := o.Records().List()
	return err == nil && len(left) == 0
}

// ReportDir is the directory of reports.
func (o Overlay) ReportDir() string { return filepath.Join(o.Own(), "networks") }

// ReportFile is where the report of a network is, for as long as that runs; anybody may
// read it.
func (o Overlay) ReportFile(network string) string {
	return filepath.Join(o.ReportDir(), network+".json")
}

// Report reads the report of a network; nil: there is none.
func (o Overlay) Report(network string) (*plan.Report, error) {
	return ReadReport(o.ReportFile(network))
}

// ReadReport reads a report from its file; nil: there is none.
func ReadReport(path string) (*plan.Report, error) {
	data, err := disk.Read(path, maxRow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := &plan.Report{}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the hook's report %q: %w", path, err)
	}
	return r, nil
}

// Reports returns the reports of all networks to which something was added, or was to be.
func (o Overlay) Reports() (list []*plan.Report, err error) {
	names, err := disk.Stems(o.ReportDir(), ".json")
	if err != nil {
		return nil, fmt.Errorf("listing reports: %w", err)
	}
	for _, name := range names {
		r, err := o.Report(name)
		if err != nil {
			return nil, err
		}
		if r != nil { // not stopped meanwhile
			list = append(list, r)
		}
	}
	return list, nil
}

// SaveReport writes a report.
func (o Overlay) SaveReport(r *plan.Report) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = disk.Write(o.ReportFile(r.Network), append(data, '\n'), 0o644)
	}
	return err
}

// Remove removes the files about a network to which nothing is added any more.
func (o Overlay) Remove(network string, uuid xml.UUID) error {
	return errors.Join(o.Records().Remove(uuid), remove(o.ReportFile(network), o.Notify(network)))
}
