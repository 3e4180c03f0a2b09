package driver

import "github.com/virbr/virbr/xml"

// newStatus is that of a network that has just been started. Classes 0 to 2
// are the network's own.
func newStatus() xml.Status { return xml.Status{ClassIDs: []uint16{0, 1, 2}} }

// saveStatus writes the status file of a running network. The network is
// active, for this daemon and the next one, from then on. A file of which not all
// could be read stays as it is.
func (d *Driver) saveStatus(v *view) error {
	if v.partial() {
		return nil
	}
	return d.dirs.SaveStatus(v.statusFile())
}

// statusFile is what a running network's status file holds.
func (v *view) statusFile() *xml.Status {
	file := v.status
	file.Network = v.live
	return &file
}

// partial reports whether not all of the running definition could be read.
func (v *view) partial() bool { return v.live.Fault != nil && v.live.Fault.Partial }
