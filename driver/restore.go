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
			want.ClassIDs = append(want.ClassIDs, uint16(class))
			want.FloorSum += floorOf(p.Bandwidth)
		}
	}
	slices.Sort(want.ClassIDs)
	if inbound(v.live) == nil || slices.Equal(want.ClassIDs, v.status.ClassIDs) && want.FloorSum == v.status.FloorSum {
		return nil
	}
	d.log.Info("shares of the bandwidth are not those of the ports, restoring them", "network", n.ref.Name)
	for _, class := range v.status.ClassIDs {
		if class >= firstClass && !slices.Contains(want.ClassIDs, class) {
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
	v.status.ClassIDs, v.status.FloorSum = want.ClassIDs, want.FloorSum
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
