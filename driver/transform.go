package driver

import (
	"context"
	"errors"

	"github.com/virbr/virbr/driver/plan"
)

// transform makes a network, whose turn is held, what a view says, and everybody sees
// it then. After an error it is what it was. from is nil of a network that is new.
func (d *Driver) transform(ctx context.Context, n *network, from, to *view) error {
	if from == nil || !from.active() && !to.active() {
		if err := d.dirs.SaveDefinition(to.config); err != nil {
			return err
		}
		n.view.Store(to)
		return nil
	}
	if !from.active() {
		return d.raise(ctx, n, from, to)
	}
	way := plan.WayNone
	if from.live != to.live {
		made, err := d.compare(ctx, n, from, to)
		if err != nil {
			return err
		}
		way = made.Way
	}
	if way == plan.WayRestart {
		return d.restart(ctx, n, from, to)
	}
	c := &conversion{d: d, n: n, from: from, to: to}
	if err := c.run(ctx); err != nil {
		return err
	}
	n.view.Store(to)
	return nil
}

// raise starts a network that was stopped on the way.
func (d *Driver) raise(ctx context.Context, n *network, from, to *view) error {
	next := view{config: to.config, made: to.made, autostart: to.autostart}
	if from.config != to.config {
		if err := d.dirs.SaveDefinition(to.config); err != nil {
			return err
		}
	}
	if err := d.bringUp(ctx, n, to.live, &next); err != nil {
		return err
	}
	n.view.Store(&next)
	return nil
}

// restart stops a network and starts it as another. Its guests are put back.
func (d *Driver) restart(ctx context.Context, n *network, from, to *view) error {
	stopping := *from
	stopping.config, stopping.made = to.config, to.made
	if err := d.dirs.SaveDefinition(to.config); err != nil {
		return err
	}
	if err := d.stop(ctx, n, &stopping); err != nil {
		return errors.Join(err, d.dirs.SaveDefinition(from.config))
	}
	stopped := n.view.Load()
	next := view{config: to.config, made: to.made, autostart: to.autostart}
	err := d.bringUp(ctx, n, to.config, &next)
	if err == nil {
		n.view.Store(&next)
		return nil
	}
	d.log.Warn("the network does not start with its new definition, starting it with the one before", "network", n.ref.Name, "err", err)
	return errors.Join(err, d.raise(ctx, n, stopped, from))
}

// transformBack makes a network what it was before it was changed.
func (d *Driver) transformBack(ctx context.Context, a *application) error {
	if a.from == nil {
		err := d.dirs.RemoveDefinition(a.n.ref.Name)
		a.n.view.Store(nil)
		return err
	}
	return d.transform(ctx, a.n, a.n.view.Load(), a.from)
}
