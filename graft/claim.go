package graft

import (
	"context"
	"fmt"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
)

// admissible refuses ports and addresses that others have: the network's own DHCP
// and DNS servers, programs that listen on the host, other networks. Of a network
// that has some already only what is new is looked at.
func (e *Engine) admissible(ctx context.Context, was *record, t *target) error {
	var before *plan.Reach
	if was != nil {
		before = was.Reach
	}
	_, fresh, err := plan.FreshClaims(before, t.reach)
	if err != nil {
		return err
	}
	if err := plan.CheckServed(t.made, fresh); err != nil {
		return err
	}
	if plan.WantListeners(fresh) {
		list, err := e.sys.Listeners(ctx)
		if err != nil {
			return fmt.Errorf("looking who listens on the ports of network %q: %w", t.def.Name, err)
		}
		err = plan.CheckHeard(t.def.Name, fresh, list, func(l plan.Listener) string { return e.sys.Holder(ctx, l) })
		if err != nil {
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return e.checkOthers(t, fresh)
}

// checkOthers refuses what another network has that we added to.
func (e *Engine) checkOthers(t *target, mine []firewall.Claim) error {
	uuids, err := e.dirs.list()
	if err != nil {
		return err
	}
	for _, uuid := range uuids {
		if uuid == t.def.UUID {
			continue
		}
		r, err := e.dirs.readRecord(uuid)
		if err != nil {
			return err
		}
		if r == nil || r.Reach == nil {
			continue
		}
		theirs, err := r.Reach.Claims()
		if err != nil {
			continue // of an older version, which has what it has
		}
		if err := plan.CheckClaimed(t.def.Name, mine, r.Network, theirs); err != nil {
			return err
		}
	}
	return nil
}
