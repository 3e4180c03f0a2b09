package driver

import (
	"context"
	"fmt"
	"slices"

	"github.com/virbr/virbr/dnsmasq"
)

// restorePorts makes shares of the bandwidth and guest files those of the ports
// that there are, where a daemon died while a port came, changed or went.
func (d *Driver) restorePorts(ctx context.Context) {
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || !v.live.OwnsBridge() {
			continue
		}
		if err := d.begin(ctx, n, "restoring ports of"); err != nil {
			d.warn("restoring ports", n.ref, err)
			continue
		}
		next := *n.view.Load()
		d.warn("restoring shares of the bandwidth", n.ref, d.restoreShares(ctx, n, &next))
		d.warn("restoring the guest file", n.ref, d.restoreGuests(ctx, n, &next))
		n.view.Store(&next)
		n.end()
	}
}

// restoreShares compares the status file with the ports.
func (d *Driver) restoreShares(ctx context.Context, n *network, v *view) error {
	want := newStatus()
	for _, p := range v.ports {
		if class := classOf(p.Bandwidth); class != 0 {
			want.classes = append(want.classes, uint16(class))
			want.floor += floorOf(p.Bandwidth)
		}
	}
	slices.Sort(want.classes)
	if inbound(v.live) == nil || slices.Equal(want.classes, v.status.classes) && want.floor == v.status.floor {
		return nil
	}
	d.log.Info("shares of the bandwidth are not those of the ports, restoring them", "network", n.ref.Name)
	for _, class := range v.status.classes {
		if class >= firstClass && !slices.Contains(want.classes, class) {
			d.unshape(ctx, n, v, uint32(class))
		}
	}
	for _, p := range v.ports {
		if class := classOf(p.Bandwidth); class != 0 {
			if err := d.step(ctx, n, shape(v.live, p, class)); err != nil {
				return fmt.Errorf("setting the floor of %s: %w", p.MAC, err)
			}
		}
	}
	v.status.classes, v.status.floor = want.classes, want.floor
	d.share(ctx, n, v)
	return d.saveStatus(v)
}

// restoreGuests takes guests without a port out of the guest file.
func (d *Driver) restoreGuests(ctx context.Context, n *network, v *view) error {
	d.readGuests(n, v)
	type card struct{ owner, mac string }
	plugged := map[card]bool{}
	for _, p := range v.ports {
		plugged[card{p.OwnerName, p.MAC.String()}] = true
	}
	guests := v.guests.Only(func(domain, mac string) bool { return plugged[card{domain, mac}] })
	same := func(a, b dnsmasq.Guest) bool { return len(a.MACs) == len(b.MACs) }
	if slices.EqualFunc(guests, v.guests, same) {
		return nil
	}
	v.guests = guests
	return d.saveGuests(ctx, v)
}
