package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/xml"
)

// maxDefinition is how much of a network's file is read, in bytes: as the driver.
const maxDefinition = 10 << 20

// networks reads what there is of networks, running and defined.
func (c *collector) networks() {
	running, err := disk.Stems(c.places.State, ".xml")
	c.missed(c.places.State, err)
	defined, err := disk.Stems(c.places.Config, ".xml")
	c.missed(c.places.Config, err)
	names := append(slices.Clone(running), defined...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		n := doctor.Network{Name: name, Active: slices.Contains(running, name)}
		n.Def, n.Unread = c.definition(name, n.Active)
		_, err := os.Lstat(filepath.Join(c.places.Config, "autostart", name+".xml"))
		n.Autostart = err == nil
		if n.Def != nil && n.Active {
			c.started(&n)
			c.extension(&n)
		}
		c.facts.Networks = append(c.facts.Networks, n)
	}
}

// definition reads a network's file; a running one's is its status file.
func (c *collector) definition(name string, active bool) (*xml.Network, string) {
	dir := c.places.Config
	if active {
		dir = c.places.State
	}
	file := filepath.Join(dir, name+".xml")
	data, err := disk.Read(file, maxDefinition)
	if err != nil {
		return nil, err.Error()
	}
	def := &xml.Network{}
	if active {
		var status *xml.Status
		if status, err = xml.ParseStatus(data); err == nil {
			def = status.Network
		}
	} else {
		def, err = xml.LoadNetwork(data)
	}
	switch {
	case err != nil:
		return nil, fmt.Sprintf("%s: %v", file, err)
	case def.Name != name:
		return nil, fmt.Sprintf("%s is about network %q", file, def.Name)
	}
	return def, ""
}

// started looks who started a running network.
func (c *collector) started(n *doctor.Network) {
	n.Started = doctor.KeeperLibvirt
	if _, err := os.Lstat(filepath.Join(c.places.Own, "networks", n.Def.UUID.String()+".json")); err == nil {
		n.Started = doctor.KeeperVirbrd
	}
}
