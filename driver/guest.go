package driver

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// readGuests reads the guest file of a network that has one, once. A file that
// makes no sense is logged and left alone: guests run without it, only
// libvirt's NSS module for their names does not find them.
func (d *Driver) readGuests(n *network, v *view) {
	if v.guests != nil || !v.live.OwnsBridge() || len(v.live.Subnets()) == 0 {
		return
	}
	path := d.dirs.Served().MACs(v.live.Bridge.Name)
	data, err := state.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		v.guests = dnsmasq.Guests{}
		return
	}
	if err == nil {
		v.guests, err = dnsmasq.ParseGuests(path, data)
	}
	d.warn("leaving the guest file alone", n.ref, err)
}

// addGuest writes a port's guest to the guest file, if the network has one.
func (d *Driver) addGuest(ctx context.Context, next *view, p *xml.Port) error {
	if next.guests == nil {
		return nil
	}
	next.guests = next.guests.Add(p.OwnerName, p.MAC)
	return d.saveGuests(ctx, next)
}

// removeGuest takes a deleted port's guest out of the guest file, unless another
// port is the same guest's with the same address.
func (d *Driver) removeGuest(ctx context.Context, next *view, p *xml.Port) error {
	twin := slices.ContainsFunc(next.ports, func(o *xml.Port) bool { return o.OwnerName == p.OwnerName && o.MAC == p.MAC })
	if next.guests == nil || twin {
		return nil
	}
	next.guests = next.guests.Remove(p.OwnerName, p.MAC)
	return d.saveGuests(ctx, next)
}

func (d *Driver) saveGuests(ctx context.Context, v *view) error {
	path := d.dirs.Served().MACs(v.live.Bridge.Name)
	return d.run(ctx, step.WriteFile{Path: path, Mode: 0o644, Data: string(dnsmasq.FormatGuests(v.guests))})
}
