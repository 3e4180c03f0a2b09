package driver

import (
	"context"
	"fmt"
	"slices"
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

// claimPorts takes what a resolution claims for a network, in the place of what it had,
// and returns what gives that back, and the resolution without what another network
// has, or a program that listens on a port. With strict set it refuses that
// instead, where it is new: somebody asks for it now.
func (d *Driver) claimPorts(ctx context.Context, n *network, live *xml.Network, before, after *plan.Resolution, strict bool) (made *plan.Resolution, back func(), err error) {
	mine, fresh, err := plan.FreshClaims(before, after)
	if err != nil {
		return nil, nil, err
	}
	contested := plan.Contested(mine, fresh, before)
	taken := plan.TakenByOwn(live, contested)
	heard, err := d.listeners(ctx, live, contested)
	if err != nil {
		return nil, nil, err
	}
	taken = append(taken, heard...)
	c := d.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(contested) > 0 {
		for o, theirs := range c.held {
			if o != n {
				taken = append(taken, plan.TakenByNetwork(contested, o.ref.Name, theirs)...)
			}
		}
	}
	if t := plan.FirstFresh(taken, before); t != nil && strict {
		return nil, nil, t.Refusal(n.ref.Name)
	}
	was := c.held[n]
	c.set(n, plan.Except(mine, taken))
	return after.Withhold(taken), func() {
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
func (d *Driver) holdClaims(n *network, resolution *plan.Resolution) {
	mine, err := resolution.Claims()
	if resolution != nil {
		mine = plan.Except(mine, resolution.Memory.Withheld)
	}
	d.warn("the network's forwards are not protected from those of others", n.ref, err)
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	d.claims.set(n, mine)
}

// listeners returns the claims of ports on which somebody listens.
func (d *Driver) listeners(ctx context.Context, live *xml.Network, contested []firewall.Claim) ([]plan.Withheld, error) {
	w := d.cfg.Watcher
	if w == nil || !plan.WantListeners(contested) {
		return nil, nil
	}
	list, err := w.Listeners(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking who listens on the ports of network %q: %w", live.Name, err)
	}
	return plan.TakenByListeners(contested, list, func(l Listener) string { return w.Holder(ctx, l) }), nil
}

// warnWithheld logs what a network goes without from now on, and what it has again.
func (d *Driver) warnWithheld(n *network, before, after *plan.Resolution) {
	had := func(list []plan.Withheld, c firewall.Claim) bool {
		return slices.ContainsFunc(list, func(t plan.Withheld) bool { return t.Claim == c })
	}
	var was []plan.Withheld
	if before != nil {
		was = before.Memory.Withheld
	}
	for _, t := range after.Memory.Withheld {
		if !had(was, t.Claim) {
			d.log.Warn("a forward waits for a port that is taken", "network", n.ref.Name, "port", t.Claim.String(), "by", t.By)
		}
	}
	for _, t := range was {
		if !had(after.Memory.Withheld, t.Claim) {
			d.log.Info("a forward no longer waits for a port", "network", n.ref.Name, "port", t.Claim.String(), "by", t.By)
		}
	}
}
