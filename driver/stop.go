package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virbr/virbr/driver/plan"
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
	d.stop(ctx, n, v)
	d.tell(EventStopped, n)
	return nil
}

// stop takes a running network down, whoever started it, and sets what is left
// of it: the persistent network, or none.
func (d *Driver) stop(ctx context.Context, n *network, v *view) {
	ctx = context.WithoutCancel(ctx)
	d.warn("stopping the network", n.ref, d.takeDown(ctx, n, v.live, d.undoOps(n, v)))
	if v.persistent() {
		n.view.Store(&view{config: v.config, made: v.made, autostart: v.autostart})
	} else {
		d.warn("removing dnsmasq's files", n.ref, d.dirs.clearServed(n.ref.Name, v.live.Bridge.Name))
		d.forgetChoice(n.ref)
		d.forget(n)
	}
	d.log.Info("network stopped", "network", n.ref.Name, "uuid", n.ref.UUID.String())
}

// undoOps returns what takes a running network back: the undo record, or, for a
// network that libvirt's daemon started or whose record cannot be read, what a
// start with this definition would have needed.
func (d *Driver) undoOps(n *network, v *view) []plan.Op {
	r, ok, err := d.readRecord(n.ref.UUID)
	d.warn("stopping without the undo record", n.ref, err)
	if ok {
		return r.ops
	}
	return plan.Stop(v.live, v.reach, d.dirs.plan())
}

// takeDown takes a network back in libvirt's order: status file, host, ports,
// hook. It goes on after errors and returns them all. Scripts may take as long
// as they like.
func (d *Driver) takeDown(ctx context.Context, n *network, live *xml.Network, undo []plan.Op) error {
	errs := []error{remove(d.dirs.status(n.ref.Name))}
	errs = append(errs, d.unwind(ctx, n.ref, undo)...)
	errs = append(errs, remove(d.dirs.undo(n.ref.UUID)), remove(d.dirs.memory(n.ref.UUID)), d.dirs.clearPorts(n.ref.Name))
	d.unclaim(n)
	if err := d.hook(ctx, n, hooks.OpStopped, &view{live: live}); err != nil {
		d.warn("the stopped hook failed", n.ref, err) // its result counts for nothing
	}
	return errors.Join(errs...)
}

// unwind runs undo ops, all of them, even where ctx has ended. Each has its own
// deadline, so that one that hangs does not keep the others from their work.
//
// A dnsmasq is asked to leave in its turn and waited for at the end: it takes as
// long as all the rest together.
func (d *Driver) unwind(ctx context.Context, ref Ref, undo []plan.Op) []error {
	var waits []plan.Op
	undo = slices.Clone(undo)
	for i, op := range undo {
		if stop, ok := op.(plan.StopDnsmasq); ok {
			undo[i], waits = plan.SignalDnsmasq(stop), append(waits, stop)
		}
	}
	var errs []error
	for _, op := range append(undo, waits...) {
		d.log.Debug("undo", "network", ref.Name, "step", op.String())
		if err := d.undo(ctx, op); err != nil {
			errs = append(errs, fmt.Errorf("taking back network %q: %s: %w", ref.Name, op, err))
		}
	}
	return errs
}

func (d *Driver) undo(ctx context.Context, op plan.Op) error {
	ctx, cancel := d.persist(ctx)
	defer cancel()
	return d.run(ctx, op)
}

// persist returns a context for work that must be done even though the caller
// is gone, for a while.
func (d *Driver) persist(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d.cfg.Deadline)
}
