package driver

import (
	"context"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// conversion turns a network into what it is to be after a change of its
// definitions: firewall, dnsmasq and files. It does what differs; an error leaves
// the network as it was.
type conversion struct {
	d        *Driver
	n        *network
	from, to *view
	before   []step.Step // what filters and leads to guests in from
}

func (c *conversion) run(ctx context.Context) error {
	if c.from.live == c.to.live {
		return c.carryOut(ctx, engine.Change{})
	}
	c.to.resolution = c.d.resolutionOf(ctx, c.n, c.from, c.to)
	if err := c.convert(ctx); err != nil {
		return err // says what failed; some are in libvirt's words
	}
	c.d.recheck(c.n, c.to.resolution)
	return nil
}

// convert changes the host, and the files.
func (c *conversion) convert(ctx context.Context) error {
	if !c.to.live.OwnsBridge() {
		return c.carryOut(ctx, engine.Change{})
	}
	made, unclaim, err := c.d.claimPorts(ctx, c.n, c.to.live, c.from.resolution, c.to.resolution, true)
	if err != nil {
		return err
	}
	c.to.resolution = made
	change, err := c.change(ctx)
	if op, gone := plan.Retraction(c.from.live, c.to.live); gone { // after dnsmasq's last word
		change.Notify = []step.Op{op}
	}
	if err == nil {
		err = c.carryOut(ctx, change)
	}
	if err != nil {
		unclaim()
	}
	return err
}

// follow does what is different where guests and links have moved, and nothing
// else has changed.
func (c *conversion) follow(ctx context.Context) error {
	if err := c.compile(); err != nil {
		return err
	}
	return c.carryOut(ctx, engine.Change{From: c.before, To: c.to.steps})
}

// carryOut makes a change. Where guests are is written down before rules follow: a
// daemon that dies in between must not lead its successor to where they were, who
// asks nobody at first. Connections of what is no longer forwarded end when nothing can fail
// any more.
func (c *conversion) carryOut(ctx context.Context, change engine.Change) error {
	change.Files = c.files()
	c.d.saveMemory(c.n, c.from.resolution, c.to.resolution)
	if err := c.d.converge(ctx, c.n, change); err != nil {
		c.d.saveMemory(c.n, c.to.resolution, c.from.resolution)
		return err
	}
	c.d.endConnections(ctx, c.n, c.from.resolution, c.to.resolution)
	return nil
}

// files returns the files that are not what they are to be. A status file of which not
// all could be read stays as it is.
func (c *conversion) files() (list []state.File) {
	if c.from.config != c.to.config {
		list = append(list, c.d.dirs.DefinitionOf(c.to.config))
	}
	if c.from.live != c.to.live && !c.to.partial() {
		list = append(list, c.d.dirs.StatusOf(c.to.statusFile()))
	}
	return list
}

// endConnections ends the connections that one resolution led elsewhere than another.
func (d *Driver) endConnections(ctx context.Context, n *network, from, to *plan.Resolution) {
	for _, op := range plan.Ended(from, to) {
		d.log.Debug("step", "network", n.ref.Name, "step", op.String())
		d.warn("ending connections", n.ref, d.run(ctx, op))
	}
}

// compile finds out the steps of both views.
func (c *conversion) compile() (err error) {
	if c.before = c.from.steps; c.before == nil {
		if c.before, err = plan.Firewall(c.from.live, c.from.resolution); err != nil {
			return err
		}
	}
	c.to.steps, err = plan.Firewall(c.to.live, c.to.resolution)
	return err
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
	if change.From, err = plan.Running(c.from.live, c.from.resolution, c.before, nil, dirs); err != nil {
		c.d.warn("compiling the network as it was", c.n.ref, err) // of a daemon that let more through
		change.From = c.before
	}
	change.To, err = plan.Running(c.to.live, c.to.resolution, c.to.steps, facts, dirs)
	return change, err
}

// asksHost reports whether the host may refuse what the network is to be: to be a
// router of its first prefix or its first forward, or to run its first dnsmasq.
func (c *conversion) asksHost() bool {
	from, to := c.from.live, c.to.live
	return from.Advertise != nil || to.Advertise != nil || to.Forward.Mode == xml.ForwardNone || dnsmasq.Wanted(from) != dnsmasq.Wanted(to)
}
