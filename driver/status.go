package driver

import (
	"strings"

	"github.com/virbr/virbr/xml"
)

// status is what a running network's status file holds beside the definition.
type status struct {
	classes []uint16             // ids of traffic classes in use, ascending
	floor   uint64               // sum of the ports' floors, kilobytes per second
	tainted bool                 // a hook script ran for it
	removal *xml.FirewallRemoval // how libvirt's daemon would remove its rules, if it started the network
}

// newStatus is that of a network that has just been started. Classes 0 to 2
// are the network's own.
func newStatus() status { return status{classes: []uint16{0, 1, 2}} }

func takeStatus(s *xml.Status) status {
	return status{classes: s.ClassIDs, floor: s.FloorSum, tainted: s.HookScript, removal: s.Removal}
}

// saveStatus writes the status file of a running network. The network is
// active, for this daemon and the next one, from then on. A file of which not all
// could be read stays as it is.
func (d *Driver) saveStatus(v *view) error {
	if v.live.Fault != nil && v.live.Fault.Partial {
		return nil
	}
	path := d.dirs.status(v.live.Name)
	if err := writeFile(path, []byte(statusText(v))); err != nil {
		return systemError(err, "cannot write status file '%s'", path)
	}
	return nil
}

// statusText is what a running network's status file holds.
func statusText(v *view) string {
	file := xml.Status{
		ClassIDs:   v.status.classes,
		FloorSum:   v.status.floor,
		HookScript: v.status.tainted,
		Removal:    v.status.removal,
		Network:    v.live,
	}
	return header(v.live) + file.Format()
}

// saveConfig writes a persistent definition.
func (d *Driver) saveConfig(def *xml.Network) error {
	path := d.dirs.config(def.Name)
	if err := writeFile(path, []byte(configText(def))); err != nil {
		return systemError(err, "cannot write config file '%s'", path)
	}
	return nil
}

// configText is what a persistent definition's file holds.
func configText(def *xml.Network) string { return header(def) + def.Format(xml.Inactive) }

// header is the comment at the top of a network's files, with an empty line
// after it. As libvirt's, it names the network in a way that can be pasted into
// a shell, or its UUID, and never ends the comment early.
func header(def *xml.Network) string {
	name := def.Name
	if !pastable(name) {
		name = def.UUID.String()
	}
	return `<!--
The network driver keeps this file and will overwrite what is changed here.
To change the network, use:
  virsh net-edit ` + name + `
or another program that talks to the driver.
-->

`
}

func pastable(name string) bool {
	return name != "" && name[0] != '-' && !strings.Contains(name, "--") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:@/") == ""
}
