package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// conversion turns a network into what it is to be after a change of its
// definitions: firewall, dnsmasq and files. It does what differs, and keeps
// what takes it back.
type conversion struct {
	d        *Driver
	n        *network
	from, to *view
	before   []step.Step                   // what filters and leads to guests in from
	back     []func(context.Context) error // in the order in which things were done
}

// run does everything. After an error, or after all, takeBack undoes it.
func (c *conversion) run(ctx context.Context) error {
	over := func() error { return nil }
	if c.from.live != c.to.live {
		var err error
		if over, err = c.announce(); err != nil {
			return err
		}
		c.to.reach = c.d.reachOf(ctx, c.n, c.from, c.to)
		if err := c.convert(ctx); err != nil {
			return err // says what failed; some are in libvirt's words
		}
	}
	if c.from.config != c.to.config {
		c.onFailure(func(context.Context) error { return c.d.dirs.SaveDefinition(c.from.config) })
		if err := c.d.dirs.SaveDefinition(c.to.config); err != nil {
			return err
		}
	}
	if c.from.live != c.to.live {
		c.onFailure(func(context.Context) error { return c.d.saveStatus(c.from) })
		if err := c.d.saveStatus(c.to); err != nil {
			return err
		}
	}
	if err := over(); err != nil {
		return err
	}
	c.farewell(ctx)
	c.d.recheck(c.n, c.to.reach)
	return nil
}

// follow does what is different where guests and links have moved, and nothing
// else has changed.
func (c *conversion) follow(ctx context.Context) error {
	if err := c.compile(); err != nil {
		return err
	}
	c.remember()
	if err := c.converge(ctx, engine.Change{From: c.before, To: c.to.steps}); err != nil {
		return err
	}
	c.farewell(ctx)
	return nil
}

// farewell ends the connections of what is no longer forwarded, when nothing can
// fail any more.
func (c *conversion) farewell(ctx context.Context) {
	c.d.endConnections(ctx, c.n, c.from.reach, c.to.reach)
}

// remember keeps in mind where guests are before rules follow: a daemon that dies in
// between must not lead its successor to where they were, who asks nobody at first.
func (c *conversion) remember() {
	c.onFailure(func(context.Context) error { c.d.saveMemory(c.n, c.to.reach, c.from.reach); return nil })
	c.d.saveMemory(c.n, c.from.reach, c.to.reach)
}

// endConnections ends the connections that one reach led elsewhere than another.
func (d *Driver) endConnections(ctx context.Context, n *network, from, to *plan.Reach) {
	for _, op := range plan.Ended(from, to) {
		d.log.Debug("step", "network", n.ref.Name, "step", op.String())
		d.warn("ending connections", n.ref, d.run(ctx, op))
	}
}

// compile finds out the steps of both views.
func (c *conversion) compile() (err error) {
	if c.before = c.from.steps; c.before == nil {
		if c.before, err = plan.Firewall(c.from.live, c.from.reach); err != nil {
			return err
		}
	}
	c.to.steps, err = plan.Firewall(c.to.live, c.to.reach)
	return err
}

// onFailure says what takes back the next thing that is done. It is called
// before that, for what fails may have been done in part.
func (c *conversion) onFailure(undo func(context.Context) error) { c.back = append(c.back, undo) }

// takeBack undoes what was done, the last first, even where ctx has ended, and
// goes on after errors.
func (c *conversion) takeBack(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, undo := range slices.Backward(c.back) {
		if err := retryOnce(func() error { return undo(ctx) }); err != nil {
			errs = append(errs, fmt.Errorf("taking back the update of network %q: %w", c.n.ref.Name, err))
		}
	}
	return errors.Join(errs...)
}

// convert changes the host.
func (c *conversion) convert(ctx context.Context) error {
	if !c.to.live.OwnsBridge() {
		return nil
	}
	made, unclaim, err := c.d.claimPorts(ctx, c.n, c.to.live, c.from.reach, c.to.reach, true)
	if err != nil {
		return err
	}
	c.onFailure(func(context.Context) error { unclaim(); return nil })
	c.to.reach = made
	change, err := c.change(ctx)
	if err != nil {
		return err
	}
	if op, gone := plan.Retraction(c.from.live, c.to.live); gone { // after dnsmasq's last word
		change.Notify = []step.Op{op}
	}
	c.remember()
	return c.converge(ctx, change)
}

// change compiles the way from one view to the other.
func (c *conversion) change(ctx context.Context) (change engine.Change, err error) {
	if err := c.compile(); err != nil {
		return change, err
	}
	var facts *step.Facts
	if c.asksHost() {
		read, err := c.d.sys.Facts(ctx)
		if err != nil {
			return change, err
		}
		facts = &read
	}
	dirs := plan.Dirs(c.d.dirs.Served())
	if change.From, err = plan.Running(c.from.live, c.from.reach, c.before, nil, dirs); err != nil {
		c.d.warn("compiling the network as it was", c.n.ref, err) // of a daemon that let more through
		change.From = c.before
	}
	change.To, err = plan.Running(c.to.live, c.to.reach, c.to.steps, facts, dirs)
	return change, err
}

// asksHost reports whether the host may refuse what the network is to be: to be a
// router of its first prefix or its first forward, or to run its first dnsmasq.
func (c *conversion) asksHost() bool {
	from, to := c.from.live, c.to.live
	return from.Advertise != nil || to.Advertise != nil || to.Forward.Mode == xml.ForwardNone || dnsmasq.Wanted(from) != dnsmasq.Wanted(to)
}

// converge makes a change, and keeps what takes it back.
func (c *conversion) converge(ctx context.Context, change engine.Change) error {
	done, err := c.d.converge(ctx, c.n, change)
	if err == nil {
		c.onFailure(done.Rollback)
	}
	return err
}
