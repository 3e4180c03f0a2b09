package driver

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

func (d Dirs) port(network string, uuid xml.UUID) string {
	return filepath.Join(d.ports(network), uuid.String()+".xml")
}

// savePort writes a port's file.
func (d *Driver) savePort(network string, p *xml.Port) error {
	path := d.dirs.port(network, p.UUID)
	if err := disk.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return systemError(err, "cannot create directory '%s'", filepath.Dir(path))
	}
	if err := writeFile(path, []byte(portHeader(p.UUID)+p.Format())); err != nil {
		return systemError(err, "cannot write port file '%s'", path)
	}
	return nil
}

// portHeader is the comment at the top of a port's file.
func portHeader(uuid xml.UUID) string {
	return `<!--
The network driver keeps this file and will overwrite what is changed here.
To make a port, use:
  virsh net-port-create ` + uuid.String() + `
or another program that talks to the driver.
-->

`
}

// loadPorts adds to a network that ran when the last daemon ended the ports that
// it had. Files that cannot be read are logged and left out.
func (d *Driver) loadPorts(network string, v *view) {
	names, err := disk.Stems(d.dirs.ports(network), ".xml")
	if err != nil {
		d.log.Error("listing ports", "network", network, "err", err)
	}
	list := make(ports, 0, len(names))
	for _, name := range names { // in the order of UUIDs, as their text sorts like they do
		p, err := d.loadPort(network, name)
		if err != nil {
			d.log.Error("leaving out a port's file", "network", network, "port", name, "err", err)
			continue
		}
		v.ports = list
		v.disown(p)
		list = append(list, p)
	}
	v.ports = list
	v.live = count(v.live, list)
}

func (d *Driver) loadPort(network, name string) (*xml.Port, error) {
	data, err := readFile(filepath.Join(d.dirs.ports(network), name+".xml"))
	if err != nil {
		return nil, err
	}
	p, err := xml.ParsePort(data)
	if err != nil {
		return nil, err
	}
	if p.UUID.String() != name {
		return nil, &Error{Kind: KindInternal, Msg: fmt.Sprintf(
			"Network port filename '%s.xml' does not match port uuid '%s'", name, p.UUID)}
	}
	return p, nil
}

// reclaimPorts tells the hooks of every port that outlived the last daemon. What
// fails is logged: the guests are plugged in already. Clients are served meanwhile,
// for scripts may take their time.
func (d *Driver) reclaimPorts(ctx context.Context) {
	each(ctx, d.networks(), func(ctx context.Context, n *network) {
		v := n.view.Load()
		if v == nil || !v.active() || len(v.ports) == 0 {
			return
		}
		if err := d.begin(ctx, n, "reclaiming ports of"); err != nil {
			d.warn("reclaiming ports", n.ref, err)
			return
		}
		defer n.end()
		next := *n.view.Load()
		if live, err := d.expand(ctx, next.live); err != nil {
			d.warn("reclaiming ports", n.ref, err)
		} else {
			next.live = count(live, next.ports)
		}
		for i, p := range next.ports {
			err := reclaim(next.live, next.ports[:i].used(), p)
			if err == nil {
				err = d.portHook(ctx, n, hooks.OpPortCreated, &next, p)
			}
			d.warn("reclaiming port "+p.UUID.String(), n.ref, err)
		}
		n.view.Store(&next)
	})
}
