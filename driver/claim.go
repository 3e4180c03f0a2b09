package driver

import (
	"context"
	"fmt"
	"sync"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// claims is what the networks that run, or are about to, take of the host's
// addresses and ports.
type claims struct {
	mu   sync.Mutex
	held map[*network][]firewall.Claim
}

func newClaims() *claims { return &claims{held: make(map[*network][]firewall.Claim)} }

// claimPorts takes what a reach claims for a network, in the place of what it had,
// and returns what gives that back. It refuses what another network has, or a
// program that listens on a port: only what is new is looked at.
func (d *Driver) claimPorts(ctx context.Context, n *network, live *xml.Network, before, after *plan.Reach) (back func(), err error) {
	mine, fresh, err := plan.FreshClaims(before, after)
	if err != nil {
		return nil, err
	}
	if err := plan.CheckServed(live, fresh); err != nil {
		return nil, err
	}
	if err := d.checkListeners(ctx, live, fresh); err != nil {
		return nil, err
	}
	c := d.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(fresh) > 0 {
		for o, theirs := range c.held {
			if o == n {
				continue
			}
			if err := plan.CheckClaimed(n.ref.Name, fresh, o.ref.Name, theirs); err != nil {
				return nil, err
			}
		}
	}
	was := c.held[n]
	c.set(n, mine)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.set(n, was)
	}, nil
}

// set is to be called with mu held.
func (c *claims) set(n *network, list []firewall.Claim) {
	if len(list) == 0 {
		delete(c.held, n)
		return
	}
	c.held[n] = list
}

// unclaim gives back all that a network has.
func (d *Driver) unclaim(n *network) {
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	d.claims.set(n, nil)
}

// holdClaims takes for a network what it has already.
func (d *Driver) holdClaims(n *network, reach *plan.Reach) {
	mine, err := reach.Claims()
	d.warn("the network's forwards are not protected from those of others", n.ref, err)
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	d.claims.set(n, mine)
}

// checkListeners refuses to forward ports on which somebody listens.
func (d *Driver) checkListeners(ctx context.Context, live *xml.Network, fresh []firewall.Claim) error {
	w := d.cfg.Watcher
	if w == nil || !plan.WantListeners(fresh) {
		return nil
	}
	list, err := w.Listeners(ctx)
	if err != nil {
		return fmt.Errorf("looking who listens on the ports of network %q: %w", live.Name, err)
	}
	return plan.CheckHeard(live.Name, fresh, list, func(l Listener) string { return w.Holder(ctx, l) })
}
