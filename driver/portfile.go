package driver

import (
	"context"

	"github.com/virbr/virbr/hooks"
)

// loadPorts adds to a network that ran when the last daemon ended the ports that
// it had. Files that cannot be read are logged and left out.
func (d *Driver) loadPorts(network string, v *view) {
	found, errs := d.dirs.Ports(network)
	for _, err := range errs {
		d.log.Error("leaving out a port's file", "network", network, "err", err)
	}
	list := make(ports, 0, len(found))
	for _, p := range found {
		v.ports = list
		v.disown(p)
		list = append(list, p)
	}
	v.ports = list
	v.live = count(v.live, list)
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
