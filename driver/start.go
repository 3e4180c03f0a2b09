package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// Start starts an inactive network. A start that fails leaves the host as it
// was.
func (d *Driver) Start(ctx context.Context, net Ref) error {
	n, v, err := d.change(ctx, net, "starting")
	if err != nil {
		return err
	}
	defer n.end()
	if v.active() {
		return &Error{Kind: KindOperationInvalid, Msg: "network is already active"}
	}
	next := *v
	if err := d.bringUp(ctx, n, v.config, &next); err != nil {
		return err
	}
	n.view.Store(&next)
	d.tell(EventStarted, n)
	return nil
}

// bringUp starts a network with a definition and fills in the running part of
// next. The frame is libvirt's: hook start, the work, hook started, status
// file. On an error everything is taken back and the hook stopped runs, as
// libvirt does it.
func (d *Driver) bringUp(ctx context.Context, n *network, def *xml.Network, next *view) error {
	if err := usable(def); err != nil {
		return err
	}
	next.live, next.status = def, newStatus()
	if err := d.finish(ctx, n.ref); err != nil {
		return err
	}
	d.warn("removing ports of an earlier run", n.ref, d.dirs.RemovePorts(n.ref.Name))
	undo := d.newRecord(n, def.Bridge.Name)
	began := time.Now()
	err := d.attempt(ctx, n, next, undo)
	took := time.Since(began)
	d.starts.observe(took, err)
	if err == nil {
		d.warn("forgetting why the network did not start", n.ref, d.dirs.Failures().Remove(n.ref.UUID))
		n.counters.started.Store(int64(took))
		d.attach(ctx, n, next)
		d.endConnections(ctx, n, nil, next.resolution)
		d.recheck(n, next.resolution)
		d.log.Info("network started", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "bridge", next.live.Bridge.Name)
		return nil
	}
	d.log.Debug("undoing a failed start", "network", n.ref.Name, "err", err)
	return errors.Join(err, d.takeDown(context.WithoutCancel(ctx), n, &view{live: next.live, config: next.config}, undo))
}

// usable refuses a definition in which something is wrong.
func usable(def *xml.Network) error {
	if def == nil || def.Fault == nil {
		return nil
	}
	return &Error{Kind: KindConfigUnsupported, Err: def.Fault, Msg: fmt.Sprintf(
		"the definition of network '%s' is not accepted, define it anew: %v", def.Name, def.Fault)}
}

func (d *Driver) attempt(ctx context.Context, n *network, next *view, undo *record) error {
	if err := d.hook(ctx, n, hooks.OpStart, next); err != nil {
		return err
	}
	made, ext, err := checkExtended(next.live)
	if err != nil {
		return err
	}
	earlier, over := d.enter(made)
	defer over()
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return fmt.Errorf("starting network %q: %w", n.ref.Name, err)
	}
	facts.Routes = slices.Concat(facts.Routes, routes(earlier))
	if !next.persistent() { // what is chosen for it must go with it
		if err := undo.save(); err != nil {
			return fmt.Errorf("starting network %q: %w", n.ref.Name, err)
		}
	}
	live, err := d.makeLive(ctx, n, made, facts)
	if err != nil {
		return err
	}
	running := view{live: live}
	resolution, _, err := d.claimPorts(ctx, n, live, nil, d.survey(ctx, n, &running, ext, &facts, nil), false)
	if err != nil {
		return err
	}
	d.warnWithheld(n, nil, resolution)
	facts.Members = members(d.detachedFor(n.ref, live))
	p, err := plan.Compile(live, resolution, facts, plan.Dirs(d.dirs.Served()))
	if err != nil {
		return err
	}
	if err := d.checkClash(n, live, earlier); err != nil {
		return err
	}
	if err := d.claimPrefix(n, live, (*view).running); err != nil {
		return err
	}
	defer d.unclaimPrefix(n)
	room, err := d.room(ctx, n, live, facts)
	if err != nil {
		return err
	}
	next.live, next.resolution, next.steps = live, resolution, p.Firewall()
	d.saveMemory(n, nil, next.resolution)
	if err := d.engine.Converge(ctx, engine.Change{Network: n.ref.Name, To: slices.Concat(room, p.Steps), Save: undo.keep}); err != nil {
		return err
	}
	if err := d.hook(ctx, n, hooks.OpStarted, next); err != nil {
		return err
	}
	return d.saveStatus(next)
}

// room returns the steps that make room for one more network within the kernel's
// limits.
func (d *Driver) room(ctx context.Context, n *network, live *xml.Network, facts step.Facts) ([]step.Step, error) {
	limits, err := d.sys.Limits(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting network %q: %w", n.ref.Name, err)
	}
	return plan.Room(live, facts, limits)
}

// makeLive returns what a definition is while it runs, with everything chosen.
func (d *Driver) makeLive(ctx context.Context, n *network, def *xml.Network, facts step.Facts) (*xml.Network, error) {
	chosen, err := d.choose(ctx, n, def, facts)
	if err != nil {
		return nil, err
	}
	live, err := plan.Live(chosen, facts)
	if err == nil && live.OwnsBridge() && live.MAC.IsZero() { // of a bridge that only the metadata makes
		live.MAC, err = d.newMAC()
	}
	return live, err
}

// enter says that a start has begun, and returns the definitions of those that
// began earlier and are not over yet, and what says that this one is. Two
// networks that clash can be started at the same time, when neither has a route
// yet: the plan of the later one counts the earlier ones' routes as there.
func (d *Driver) enter(def *xml.Network) (earlier []*xml.Network, over func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	earlier = slices.Clone(d.starting)
	d.starting = append(d.starting, def)
	return earlier, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.starting = slices.DeleteFunc(d.starting, func(o *xml.Network) bool { return o == def })
	}
}

// routes returns the routes that networks will have when they are up.
func routes(defs []*xml.Network) []step.Route {
	var list []step.Route
	for _, def := range defs {
		for _, subnet := range def.Prefixes(nil) {
			list = append(list, step.Route{Dest: subnet, Link: def.Bridge.Name})
		}
	}
	return list
}
