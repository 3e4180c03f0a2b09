package plan

import (
	"net/netip"
	"time"
)

// Source says where a network's extensions come from.
type Source string

// The sources.
const (
	Nowhere  Source = ""
	Metadata Source = "metadata" // of the network itself
	File     Source = "file"     // of our own, for a libvirt that keeps no metadata
)

// Report is the result of a network's extensions where the hook adds them, for people and
// their tools.
type Report struct {
	Network string    `json:"network"`
	UUID    string    `json:"uuid"`
	Bridge  string    `json:"bridge,omitzero"`
	From    Source    `json:"from"`
	File    string    `json:"file,omitzero"`  // which, for "file"
	Time    time.Time `json:"time"`           // of the last attempt
	Error   string    `json:"error,omitzero"` // why it failed; what was there before is still in force
	Notes   []string  `json:"notes,omitempty"`
	Waiting []string  `json:"waiting,omitempty"` // guests whose address is not known
	Steps   []string  `json:"steps"`             // what is in force
	Changes []string  `json:"-"`                 // what would become different, of a check: "+", "-" or "~" and what is done

	Forwards []Resolved       `json:"forwards,omitempty"` // in order
	Publics  []Resolved       `json:"publics,omitempty"`
	Uplinks  []ResolvedUplink `json:"uplinks,omitempty"`
}

// Resolved is what a forward or a public address resolves to.
type Resolved struct {
	XML       string       `json:"xml"` // <virbr:portForward>, <virbr:address>
	Active    bool         `json:"active"`
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the guest
	Reason    string       `json:"reason,omitzero"`     // why it is not active, or not all of it
}

// ResolvedUplink is what an uplink resolves to in one family.
type ResolvedUplink struct {
	XML     string     `json:"xml"` // <virbr:uplink>
	IPv6    bool       `json:"ipv6"`
	Used    bool       `json:"used"`           // guests leave by it
	Since   int64      `json:"since,omitzero"` // seconds since the epoch, where they do
	Gateway netip.Addr `json:"gateway,omitzero"`
	Reason  string     `json:"reason,omitzero"` // why it cannot carry the family
}

// Describe fills in what extensions resolve to.
func (r *Report) Describe(resolution *Resolution) {
	if resolution == nil {
		return
	}
	ext := resolution.Ext
	for _, guest := range Guests(ext) {
		if len(resolution.Where.Guests[guest]) == 0 {
			r.Waiting = append(r.Waiting, guest)
		}
	}
	for i := range ext.Forwards {
		s := resolution.ForwardState(i)
		r.Forwards = append(r.Forwards, Resolved{ext.Forwards[i].XML(), s.Active, s.Addresses, s.Reason})
	}
	for i := range ext.Publics {
		s := resolution.PublicState(i)
		r.Publics = append(r.Publics, Resolved{ext.Publics[i].XML(), s.Active, s.Addresses, s.Reason})
	}
	for i := range ext.Uplinks {
		for _, s := range resolution.UplinkStates(i) {
			r.Uplinks = append(r.Uplinks, ResolvedUplink{ext.Uplinks[i].XML(), s.IPv6, s.Used, s.Since, s.Gateway, s.Reason})
		}
	}
}
