package driver

import (
	"context"
	"errors"
	"fmt"
)

// sweep finishes what a daemon was at when it died: an undo record without a
// running network is of a start, a stop or an undefining that was cut short.
func (d *Driver) sweep(ctx context.Context) {
	list, err := d.dirs.Records().List()
	if err != nil {
		d.log.Error("listing undo records", "err", err)
	}
	d.sweepMemories()
	d.warn("removing the autostart links of undefined networks", Ref{}, d.dirs.SweepAutostart())
	for _, uuid := range list {
		if _, v, err := d.find(Ref{UUID: uuid}); err == nil && v.active() {
			continue
		}
		d.warn("taking back what a daemon was at", Ref{UUID: uuid}, d.finish(ctx, Ref{UUID: uuid}))
	}
}

// finish takes back what is left of a network that does not run, if anything is.
// It is refused where the network's status file is there: guests may be in it.
func (d *Driver) finish(ctx context.Context, ref Ref) error {
	r, ok, err := d.readRecord(ref.UUID)
	if err != nil {
		d.log.Error("an undo record cannot be read; what it would undo stays", "uuid", ref.UUID.String(), "err", err)
		return nil
	}
	if !ok {
		return nil
	}
	ref.Name = r.Network
	if err := checkName(ref.Name); err != nil {
		return err
	}
	if d.dirs.IsRunning(ref.Name) {
		return fmt.Errorf("leaving network %q as it is: its status file %q cannot be read", ref.Name, d.dirs.StatusFile(ref.Name))
	}
	d.log.Info("undoing an unfinished start or stop", "network", ref.Name, "uuid", ref.UUID.String())
	left, err := d.engine.Undo(ctx, ref.Name, r.undo())
	errs := append([]error{err}, d.dirs.Learned().Remove(ref.UUID), d.dirs.RemovePorts(ref.Name))
	if d.unknown(ref) {
		errs = append(errs, d.clean(ref, r.Bridge))
	}
	return errors.Join(append(errs, r.settle(left))...)
}

// unknown reports whether a network that does not run has no definition either,
// not even one that cannot be read.
func (d *Driver) unknown(ref Ref) bool {
	if _, v, err := d.find(ref); err == nil && v.persistent() {
		return false
	}
	return !d.dirs.IsDefined(ref.Name)
}
