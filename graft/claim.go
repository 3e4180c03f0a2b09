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
	mine, err := t.reach.Claims()
	if err != nil {
		return err
	}
	if was != nil && was.Reach != nil {
		if had, err := was.Reach.Claims(); err == nil {
			mine = plan.MissingClaims(mine, had)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	if c, s, taken := plan.ServedClaim(t.made, mine); taken {
		return fmt.Errorf("network '%s' cannot have %s: its own dnsmasq serves its guests on %s port %d; forward from one address of the host only", t.def.Name, c, s.Proto, s.Port)
	}
	list, err := e.sys.Listeners(ctx)
	if err != nil {
		return fmt.Errorf("looking who listens on the ports of network %q: %w", t.def.Name, err)
	}
	for _, l := range list {
		if c, taken := plan.HeardClaim(mine, l); taken {
			holder := e.sys.Holder(ctx, l)
			if holder == "" {
				holder = "a program"
			}
			return fmt.Errorf("network '%s' cannot have %s: %s listens on %s port %d", t.def.Name, c, holder, l.Proto, l.Port)
		}
	}
	return e.checkOthers(t, mine)
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
		if m, o, clash := firewall.Clash(mine, theirs); clash {
			return fmt.Errorf("network '%s' cannot have %s: network '%s' has %s", t.def.Name, m, r.Network, o)
		}
	}
	return nil
}
