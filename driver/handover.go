package driver

import (
	"context"
	"errors"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
)

// running reports whether a network runs.
func (n *network) running() bool {
	v := n.view.Load()
	return v != nil && v.active()
}

// takeOver makes the running networks wholly ours, where libvirt's own daemon
// has served them since a daemon of ours did, if one ever did: its firewall
// rules go, and every network gets the undo record by which it is stopped.
// Where that is so already, nothing happens.
//
// It comes after our own rules are in (whole), so there is no moment without,
// and writes the records last: if it is cut short, the next start does it again.
func (d *Driver) takeOver(ctx context.Context, whole bool) {
	switch {
	case !whole:
		d.log.Warn("libvirt's own firewall rules stay where there are some, as not all networks have ours")
	case d.neighbour():
		d.log.Info("libvirt's own network daemon serves networks of its own; its firewall rules stay")
		whole = false
	default:
		if err := d.run(ctx, step.DropLibvirtRules{}); err != nil {
			d.warn("removing libvirt's own firewall rules", Ref{}, err)
			whole = false
		}
	}
	each(ctx, d.networks(), func(ctx context.Context, n *network) {
		if !n.running() {
			return
		}
		if err := d.begin(ctx, n, "taking over"); err != nil {
			d.warn("taking over the network", n.ref, err)
			return
		}
		defer n.end()
		if v := n.view.Load(); v != nil && v.active() {
			d.warn("taking over the network", n.ref, d.takeOverOne(ctx, n, v, whole))
		}
	})
}

// takeOverOne does what is about one network. Clean says that libvirt's rules
// are gone. Its commands to remove them must not be in the status file then:
// they name rules by number, and libvirt's daemon, when it is back, would remove
// others that have got these numbers.
func (d *Driver) takeOverOne(ctx context.Context, n *network, v *view, clean bool) error {
	var errs []error
	if clean && v.status.Removal != nil {
		if v.status.Removal.Backend == "nftables" {
			errs = append(errs, d.run(ctx, step.DropLibvirtQueue{Bridge: v.live.Bridge.Name}))
		}
		next := *v
		next.status.Removal = nil
		errs = append(errs, d.saveStatus(&next))
		n.view.Store(&next)
	}
	return errors.Join(append(errs, d.adoptRecord(n, v))...)
}

// adoptRecord sees to it that a running network's undo record is there and is
// about the network as it runs now. libvirt's daemon knows of no records: under
// it a network may have been stopped, and started again on another bridge.
func (d *Driver) adoptRecord(n *network, v *view) error {
	want := plan.Stop(v.live, v.resolution, plan.Dirs(d.dirs.Served()))
	r, ok, err := d.readRecord(n.ref.UUID)
	if err != nil || !ok && len(want) == 0 {
		return err
	}
	if ok && bridgeOf(r.undo()) == bridgeOf(want) {
		return nil
	}
	r = d.newRecord(n, v.live.Bridge.Name)
	known := map[string]step.Op{}
	kept, err := plan.Kept(v.live, v.resolution, nil, plan.Dirs(d.dirs.Served()))
	d.warn("taking over what keeps the network", n.ref, err) // of a definition that is no longer accepted
	for _, s := range slices.Concat(v.steps, kept) {
		known[s.Key()] = s.Do
	}
	steps := step.UndoSteps(want)
	for i, s := range steps {
		steps[i].Do = known[s.Key()]
	}
	d.log.Info("network taken over", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "bridge", v.live.Bridge.Name)
	return r.keep(state.Progress{Steps: steps})
}

// bridgeOf returns the bridge that undo ops delete; "": the network made none.
func bridgeOf(undo []step.Op) string {
	for _, op := range undo {
		if link, ok := op.(step.DelLink); ok {
			return link.Name
		}
	}
	return ""
}

// neighbour reports whether another network daemon runs in the usual places
// while we have places of our own.
func (d *Driver) neighbour() bool {
	system := state.System().DriverLock()
	if system == d.dirs.DriverLock() {
		return false
	}
	holder, err := state.LockHolder(system)
	return holder.Locked || err != nil
}
