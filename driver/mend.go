package driver

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// mend puts back what others took from the bridge of a running network: its addresses,
// its routes, that it is up, and that the host forwards. The first time it does so at
// once, and then at longer and longer intervals while it is taken away again.
func (d *Driver) mend(ctx context.Context, n *network) {
	missing := d.missing(ctx, n)
	if len(missing) == 0 {
		return
	}
	wait := n.losses.wait(time.Now())
	if wait > 0 {
		d.log.Warn("state of a network removed again, waiting before it is restored", "network", n.ref.Name,
			"missing", opTexts(missing), "in", wait.String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
	d.withRunning(ctx, n, "putting back what was taken away from", func(v *view) {
		began := time.Now()
		missing, err := d.missingOf(ctx, v)
		if err != nil || len(missing) == 0 {
			d.warn("looking for what was taken away", n.ref, err)
			return
		}
		n.losses.started = began
		gone := slices.ContainsFunc(missing, func(op step.Op) bool { _, bridge := op.(step.AddBridge); return bridge })
		if gone {
			if !n.bridgeless {
				d.log.Error("the bridge of a running network was deleted: stop the network and start it again, and plug in its guests", "network", n.ref.Name, "bridge", v.live.Bridge.Name)
				d.emit(Event{Kind: EventRestored, Network: n.ref, Reason: "bridge " + v.live.Bridge.Name + " is gone"})
			}
			n.bridgeless = true
			return
		}
		n.bridgeless = false
		if err := d.restoreRest(ctx, n, v, nil); err != nil {
			d.warn("putting back what was taken away", n.ref, err)
			return
		}
		d.log.Warn("state of a network removed by another program, restored", "network", n.ref.Name, "missing", opTexts(missing), "took", time.Since(began).String())
		d.emit(Event{Kind: EventRestored, Network: n.ref, Networks: len(missing), Reason: opTexts(missing), Took: time.Since(began)})
	})
}

// missing returns what a running network lacks.
func (d *Driver) missing(ctx context.Context, n *network) (missing []step.Op) {
	d.withRunning(ctx, n, "looking after the bridge of", func(v *view) {
		var err error
		missing, err = d.missingOf(ctx, v)
		d.warn("looking for what was taken away", n.ref, err)
	})
	return missing
}

func (d *Driver) missingOf(ctx context.Context, v *view) ([]step.Op, error) {
	steps, err := plan.Kept(v.live, v.reach, nil, plan.Dirs(d.dirs.Served()))
	if err != nil {
		return nil, err
	}
	ops := []step.Op{step.AddBridge{Name: v.live.Bridge.Name, MAC: v.live.MAC}}
	for _, s := range steps {
		if !step.SwitchesOff(s.Do) { // who switched it on needs it
			ops = append(ops, s.Do)
		}
	}
	return d.cfg.Watcher.Missing(ctx, ops)
}

func opTexts(ops []step.Op) string {
	var list []string
	for _, op := range ops {
		list = append(list, op.String())
	}
	return strings.Join(list, "; ")
}
