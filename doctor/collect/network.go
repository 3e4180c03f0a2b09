package collect

import (
	"fmt"
	"slices"
	"time"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/xml"
)

// networks reads what there is of networks, running and defined.
func (c *collector) networks() {
	running, err := c.dirs.Running()
	c.missed(c.dirs.State, err)
	defined, err := c.dirs.Definitions()
	c.missed(c.dirs.Config, err)
	names := append(slices.Clone(running), defined...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		n := doctor.Network{Name: name, Active: slices.Contains(running, name)}
		n.Def, n.Unread = c.definition(name, n.Active)
		n.Autostart = c.dirs.Autostart(name)
		if n.Def != nil && n.Active {
			c.started(&n)
			c.extension(&n)
		}
		if n.Def != nil && !n.Active {
			c.failed(&n)
		}
		c.facts.Networks = append(c.facts.Networks, n)
	}
}

// failed reads why a network did not start when virbrd last tried.
func (c *collector) failed(n *doctor.Network) {
	f, err := c.dirs.Failures().Read(n.Def.UUID)
	c.missed("the last start of "+n.Name, err)
	if f != nil {
		n.Failed = fmt.Sprintf("virbrd's last try, %s: %s", time.Unix(f.Time, 0).Format(time.DateTime), f.Error)
	}
}

// definition reads a network's file; a running one's is its status file.
func (c *collector) definition(name string, active bool) (*xml.Network, string) {
	file := c.dirs.DefinitionFile(name)
	def, err := c.dirs.Definition(name)
	if active {
		file = c.dirs.StatusFile(name)
		var status *xml.Status
		if status, err = c.dirs.Status(name); err == nil {
			def = status.Network
		}
	}
	switch {
	case err != nil:
		return nil, err.Error()
	case def.Name != name:
		return nil, fmt.Sprintf("%s is about network %q", file, def.Name)
	}
	return def, ""
}

// started looks who started a running network.
func (c *collector) started(n *doctor.Network) {
	n.Started = doctor.KeeperLibvirt
	if c.dirs.Records().Has(n.Def.UUID) {
		n.Started = doctor.KeeperVirbrd
	}
}
