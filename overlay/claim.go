package overlay

import (
	"context"
	"fmt"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// admit takes out of a target what others have: programs that listen on the host, and
// other networks. Of a network that has some already only what is new is looked at,
// and what was taken earlier. It refuses what the network's own DNS and DHCP servers
// have.
func (e *Engine) admit(ctx context.Context, was *record, t *target) error {
	var before *plan.Resolution
	if was != nil {
		before = was.Resolution
	}
	mine, fresh, err := plan.FreshClaims(before, t.resolution)
	if err != nil {
		return err
	}
	if err := plan.CheckServed(t.made, fresh); err != nil {
		return err
	}
	contested := plan.Contested(mine, fresh, before)
	var taken []plan.Withheld
	if plan.WantListeners(contested) {
		list, err := e.sys.Listeners(ctx)
		if err != nil {
			return fmt.Errorf("looking who listens on the ports of network %q: %w", t.def.Name, err)
		}
		taken = append(taken, plan.TakenByListeners(contested, list, func(l step.Listener) string { return e.sys.Holder(ctx, l) })...)
	}
	others, err := e.takenByOthers(t, contested)
	if err != nil {
		return err
	}
	taken = append(taken, others...)
	if w := plan.FirstFresh(taken, before); w != nil {
		e.log.Warn("a forward waits for a port that is taken", "network", t.def.Name, "port", w.Claim.String(), "by", w.By)
	}
	t.resolution = t.resolution.Withhold(taken)
	return nil
}

// others returns the records of the other networks that we added to.
func (e *Engine) others(t *target) ([]*record, error) {
	uuids, err := e.files.Records().List()
	if err != nil {
		return nil, err
	}
	var list []*record
	for _, uuid := range uuids {
		if uuid == t.def.UUID {
			continue
		}
		r, err := e.readRecord(uuid)
		if err != nil {
			return nil, err
		}
		if r != nil {
			list = append(list, r)
		}
	}
	return list, nil
}

// checkPrefix refuses an advertised prefix that another network has. One that the
// network has had all along is not looked at.
func (e *Engine) checkPrefix(was *record, t *target) error {
	if t.made.Advertise == nil {
		return nil
	}
	if was != nil {
		before, err := xml.LoadNetwork([]byte(was.Made))
		if err == nil && before.Advertise != nil && before.Advertise.Prefix == t.made.Advertise.Prefix {
			return nil
		}
	}
	records, err := e.others(t)
	if err != nil {
		return err
	}
	var others []*xml.Network
	for _, r := range records {
		if def, err := xml.LoadNetwork([]byte(r.Made)); err == nil {
			others = append(others, def)
		}
	}
	return plan.CheckPrefix(t.made, others)
}

// takenByOthers returns what another network has that we added to.
func (e *Engine) takenByOthers(t *target, contested []firewall.Claim) (taken []plan.Withheld, err error) {
	if len(contested) == 0 {
		return nil, nil
	}
	records, err := e.others(t)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.Resolution == nil {
			continue
		}
		theirs, err := r.Resolution.Claims()
		if err != nil {
			continue // of an older version, which has what it has
		}
		taken = append(taken, plan.TakenByNetwork(contested, r.Network, plan.Except(theirs, r.Resolution.Memory.Withheld))...)
	}
	return taken, nil
}
