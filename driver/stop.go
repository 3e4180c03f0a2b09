package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// Destroy stops a network. A transient one is gone then, its leases too.
// Nothing that goes wrong on the way keeps the network active; it is logged.
func (d *Driver) Destroy(ctx context.Context, net Ref) error {
	n, v, err := d.change(ctx, net, "stopping")
	if err != nil {
		return err
	}
	defer n.end()
	if !v.active() {
		return &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("network '%s' is not active", n.ref.Name)}
	}
	if err := d.stop(ctx, n, v); err != nil {
		return err
	}
	d.tell(EventStopped, n)
	return nil
}

// stop takes a running network down, whoever started it, and sets what is left
// of it: the persistent network, or none. An error is that nothing was done.
func (d *Driver) stop(ctx context.Context, n *network, v *view) error {
	d.detach(context.WithoutCancel(ctx), n, v)
	if err := d.dirs.RemoveStatus(n.ref.Name); err != nil { // it would run again after a restart
		return err
	}
	d.warn("stopping the network", n.ref, d.takeDown(context.WithoutCancel(ctx), n, v, d.undoOf(n, v)))
	if v.persistent() {
		n.view.Store(&view{config: v.config, made: v.made, autostart: v.autostart})
	} else {
		d.warn("keeping the network's history", n.ref, d.history.Gone(historical(n.ref)))
		d.forget(n)
	}
	d.log.Info("network stopped", "network", n.ref.Name, "uuid", n.ref.UUID.String())
	return nil
}

// undoOf returns what takes a running network back: the undo record, or, for a
// network that libvirt's daemon started or whose record cannot be read, what a
// start with this definition would have needed.
func (d *Driver) undoOf(n *network, v *view) *record {
	r, ok, err := d.readRecord(n.ref.UUID)
	d.warn("stopping without the undo record", n.ref, err)
	if !ok {
		r = d.newRecord(n, v.live.Bridge.Name)
		r.Steps = step.UndoSteps(plan.Stop(v.live, v.resolution, plan.Dirs(d.dirs.Served())))
	}
	return r
}

// takeDown takes a network back in libvirt's order: status file, host, ports,
// hook. It goes on after errors and returns them all. Scripts may take as long
// as they like. A network without a persistent definition leaves nothing.
//
// The record goes last, and stays where it could not all be undone: the next start
// of the network or of a daemon tries again.
func (d *Driver) takeDown(ctx context.Context, n *network, v *view, undo *record) error {
	errs := []error{d.dirs.RemoveStatus(n.ref.Name)}
	left, err := d.engine.Undo(ctx, n.ref.Name, undo.undo())
	errs = append(errs, err, d.dirs.Learned().Remove(n.ref.UUID), d.dirs.RemovePorts(n.ref.Name))
	if !v.persistent() {
		errs = append(errs, d.clean(n.ref, v.live.Bridge.Name))
	}
	errs = append(errs, undo.settle(left))
	d.unclaim(n)
	if err := d.hook(ctx, n, hooks.OpStopped, &view{live: v.live}); err != nil {
		d.warn("the stopped hook failed", n.ref, err) // its result counts for nothing
	}
	return errors.Join(errs...)
}

// clean removes what is kept for a network that is gone for good. What has the
// bridge's name, as its leases, stays while another network names the bridge.
func (d *Driver) clean(ref Ref, bridge string) error {
	if d.bridgeNamed(ref, bridge) {
		bridge = ""
	}
	return errors.Join(d.dirs.RemoveServed(ref.Name, bridge), d.choices.Remove(ref.UUID))
}

// bridgeNamed reports whether a network other than one names a bridge.
func (d *Driver) bridgeNamed(but Ref, bridge string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for uuid, o := range d.byUUID {
		if uuid == but.UUID {
			continue
		}
		v := o.view.Load()
		if o.bridge == bridge || v != nil && slices.ContainsFunc(v.defs(), func(def *xml.Network) bool { return def.Bridge.Name == bridge }) {
			return true
		}
	}
	return false
}
