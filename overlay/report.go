package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/virbr/virbr/disk"
)

// Report is what came of a network's extensions, for people and their tools. It is
// in Dirs.Own, "networks/NAME.json", for as long as the network runs; anybody may
// read it.
type Report struct {
	Network string    `json:"network"`
	UUID    string    `json:"uuid"`
	Bridge  string    `json:"bridge,omitzero"`
	From    Source    `json:"from"`           // "metadata" or "file"
	File    string    `json:"file,omitzero"`  // which, for "file"
	Time    time.Time `json:"time"`           // of the last attempt
	Error   string    `json:"error,omitzero"` // why it failed; what was there before is still in force
	Notes   []string  `json:"notes,omitempty"`
	Waiting []string  `json:"waiting,omitempty"` // guests whose address is not known
	Steps   []string  `json:"steps"`             // what is in force

	Forwards []Resolved `json:"forwards,omitempty"` // in order
	Publics  []Resolved `json:"publics,omitempty"`
	Uplinks  []Uplink   `json:"uplinks,omitempty"`
}

// Uplink is what an uplink comes to in one family.
type Uplink struct {
	XML     string     `json:"xml"` // <virbr:uplink>
	IPv6    bool       `json:"ipv6"`
	Used    bool       `json:"used"`           // guests leave by it
	Since   int64      `json:"since,omitzero"` // seconds since the epoch, where they do
	Gateway netip.Addr `json:"gateway,omitzero"`
	Reason  string     `json:"reason,omitzero"` // why it cannot carry the family
}

// Resolved is what a forward or a public address comes to.
type Resolved struct {
	XML       string       `json:"xml"` // <virbr:portForward>, <virbr:address>
	Active    bool         `json:"active"`
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the guest
	Reason    string       `json:"reason,omitzero"`     // why it is not active, or not all of it
}

// Reports returns the reports of all networks to which something was added, or was
// to be.
func (d Dirs) Reports() ([]Report, error) {
	names, err := disk.Stems(d.reports(), ".json")
	if err != nil {
		return nil, fmt.Errorf("listing reports: %w", err)
	}
	var list []Report
	for _, name := range names {
		data, err := readFile(d.report(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // stopped meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading a report: %w", err)
		}
		r, err := parseReport(d.report(name), data)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func parseReport(path string, data []byte) (r Report, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("reading the report %q: %w", path, err)
	}
	return r, nil
}

// tell writes a report. That it cannot is logged: it is for people, and no network
// depends on it.
func (e *Engine) tell(r Report) {
	r.Time = time.Now().UTC().Truncate(time.Second)
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = writeFile(e.dirs.report(r.Network), append(data, '\n'), 0o644)
	}
	if err != nil {
		e.log.Warn("writing a report", "network", r.Network, "err", err)
	}
}
