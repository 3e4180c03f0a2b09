package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
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
	again    bool                          // a daemon died at it: what is done may be done already
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
	had, has := undos(c.before), undos(c.to.steps)
	if err := c.record(without(has, had), nil); err != nil {
		return err
	}
	c.remember()
	if err := c.firewall(ctx); err != nil {
		return err
	}
	if err := c.record(nil, without(had, has)); err != nil {
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
	var errs []error
	for _, undo := range slices.Backward(c.back) {
		ctx, cancel := c.d.persist(ctx)
		if err := retryOnce(func() error { return undo(ctx) }); err != nil {
			errs = append(errs, fmt.Errorf("taking back the update of network %q: %w", c.n.ref.Name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}

// convert changes the host. How to undo what is new is on disk before it is
// done.
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
	if err := c.compile(); err != nil {
		return err
	}
	s, err := c.service()
	if err != nil {
		return err
	}
	had, has := append(undos(c.before), s.undo(c.from)...), append(undos(c.to.steps), s.undo(c.to)...)
	added, dropped := without(has, had), without(had, has)
	if err := c.record(added, nil); err != nil {
		return err
	}
	c.remember()
	if err := c.carryOut(ctx, s); err != nil {
		return err
	}
	return c.record(nil, dropped)
}

// carryOut changes the host. What guests have is added first and taken away last.
func (c *conversion) carryOut(ctx context.Context, s *service) error {
	sleep, err := c.router(ctx)
	if err != nil {
		return err
	}
	farewell, err := c.addresses(ctx)
	if err != nil {
		return err
	}
	if err := c.firewall(ctx); err != nil {
		return err
	}
	if err := s.convert(ctx); err != nil {
		return err
	}
	c.retract(ctx)
	if err := farewell(ctx); err != nil {
		return err
	}
	return sleep(ctx)
}

// retract tells guests of prefixes that go, after dnsmasq's last word.
func (c *conversion) retract(ctx context.Context) {
	if op, gone := plan.Retraction(c.from.live, c.to.live); gone {
		c.d.warn("telling guests that their prefix is gone", c.n.ref, c.do(ctx, op))
	}
}

// router switches IPv6 on for a bridge that is about to get its first prefix to
// advertise, and makes the host a router for an isolated network that is about to
// get its first forward. It returns what switches IPv6 off where the last address
// is gone.
func (c *conversion) router(ctx context.Context) (sleep func(context.Context) error, err error) {
	none := func(context.Context) error { return nil }
	if c.from.live.Advertise == nil && c.to.live.Advertise == nil && c.to.live.Forward.Mode != xml.ForwardNone {
		return none, nil
	}
	facts, err := c.d.sys.Facts(ctx)
	if err != nil {
		return nil, err
	}
	before, err := plan.Router(c.from.live, c.from.reach, facts)
	if err != nil {
		before = nil
	}
	after, err := plan.Router(c.to.live, c.to.reach, facts)
	if err != nil || slices.EqualFunc(before, after, func(a, b step.Step) bool { return a.Do == b.Do }) {
		return none, err
	}
	change := func(ctx context.Context) error {
		c.onFailure(func(ctx context.Context) error { return c.d.apply(ctx, c.n, before, nil) })
		return c.d.apply(ctx, c.n, after, nil)
	}
	if c.from.live.Advertise != nil && c.to.live.Advertise == nil {
		return change, nil
	}
	return none, change(ctx)
}

// firewall does the steps that are new or differ, and undoes those that are no
// longer needed. Rules are replaced in one batch, and keep their counters
// where they stay the same.
func (c *conversion) firewall(ctx context.Context) error {
	for _, t := range plan.Difference(c.before, c.to.steps) {
		c.onFailure(func(ctx context.Context) error { return c.do(ctx, t.Back) })
		if err := c.d.apply(ctx, c.n, []step.Step{t.Step}, nil); err != nil {
			return err
		}
	}
	return nil
}

// do runs one op.
func (c *conversion) do(ctx context.Context, op step.Op) error {
	if op == nil {
		return nil
	}
	c.d.log.Debug("step", "network", c.n.ref.Name, "step", op.String())
	return c.d.run(ctx, op)
}

// record adds ops to the undo record of the network and takes others out. A
// network that libvirt's daemon started has none and needs none.
func (c *conversion) record(added, dropped []step.Op) error {
	if len(added)+len(dropped) == 0 {
		return nil
	}
	r, ok, err := c.d.readRecord(c.n.ref.UUID)
	if err != nil || !ok {
		return err
	}
	was := r.ops
	c.onFailure(func(context.Context) error { r.ops = was; return r.save() })
	r.ops = step.StopOrder(append(without(was, dropped), added...))
	return r.save()
}

// undos returns what takes steps back.
func undos(steps []step.Step) []step.Op {
	var list []step.Op
	for _, s := range steps {
		if s.Undo != nil {
			list = append(list, s.Undo)
		}
	}
	return list
}

// without returns the ops of a list that are not in another.
func without(list, other []step.Op) []step.Op {
	gone := make(map[string]bool, len(other))
	for _, op := range other {
		gone[step.Key(op)] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(op step.Op) bool { return gone[step.Key(op)] })
}

// service is the part of a conversion that concerns dnsmasq.
type service struct {
	*conversion
	pidFile  string
	old, new []step.WriteFile // none: no dnsmasq is needed
}

func (c *conversion) service() (*service, error) {
	s := &service{conversion: c, pidFile: c.d.dirs.Served().PidFile(c.n.ref.Name)}
	var err error
	if s.old, err = plan.Files(c.from.live, plan.Dirs(c.d.dirs.Served())); err != nil {
		c.d.warn("compiling dnsmasq's files as they were", c.n.ref, err) // of a daemon that let more through
	}
	s.new, err = plan.Files(c.to.live, plan.Dirs(c.d.dirs.Served()))
	return s, err
}

// undo is what takes the dnsmasq of one of the two views back.
func (s *service) undo(v *view) []step.Op {
	if v == s.to && len(s.new) == 0 || v == s.from && len(s.old) == 0 {
		return nil
	}
	return []step.Op{step.StopDnsmasq{PidFile: s.pidFile}}
}

// convert leaves dnsmasq alone where its files stay as they are. It reads its
// hosts files again on a signal, but its configuration only when it starts.
func (s *service) convert(ctx context.Context) error {
	if slices.Equal(s.old, s.new) {
		return nil
	}
	alive := s.d.sys.DnsmasqAlive(s.pidFile)
	if len(s.new) == 0 {
		s.onFailure(s.revive(alive))
		return s.do(ctx, step.StopDnsmasq{PidFile: s.pidFile})
	}
	changed, err := s.stale()
	if err != nil {
		return err
	}
	conf := s.d.dirs.Served().Conf(s.n.ref.Name)
	isConf := func(w step.WriteFile) bool { return w.Path == conf }
	if !alive || slices.ContainsFunc(changed, isConf) || s.again && !slices.Equal(filter(s.old, isConf), filter(s.new, isConf)) {
		return s.restart(ctx, changed, alive)
	}
	if len(changed) == 0 && !s.again {
		return nil
	}
	s.onFailure(func(context.Context) error { return s.d.sys.Reload(s.pidFile) })
	if err := s.write(ctx, changed); err != nil {
		return err
	}
	return s.d.sys.Reload(s.pidFile)
}

// filter returns the files that are wanted.
func filter(files []step.WriteFile, wanted func(step.WriteFile) bool) []step.WriteFile {
	return slices.DeleteFunc(slices.Clone(files), func(w step.WriteFile) bool { return !wanted(w) })
}

// stale returns the files that are not on disk as they should be.
func (s *service) stale() ([]step.WriteFile, error) {
	var list []step.WriteFile
	for _, w := range s.new {
		have, err := state.Read(w.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil || !slices.Equal(statements(string(have)), statements(w.Data)) {
			list = append(list, w)
		}
	}
	return list, nil
}

// statements returns the lines of a file but its comments, for libvirt's differ
// from ours: a dnsmasq that its daemon started is as good as one of ours.
func statements(text string) []string {
	lines := strings.Split(text, "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
}

// write writes files. What they held is put back on a failure.
func (s *service) write(ctx context.Context, files []step.WriteFile) error {
	for _, w := range files {
		have, err := state.Read(w.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.onFailure(func(context.Context) error { return disk.Remove(w.Path) })
		case err != nil:
			return err
		default:
			earlier := step.WriteFile{Path: w.Path, Mode: w.Mode, Data: string(have)}
			s.onFailure(func(ctx context.Context) error { return s.do(ctx, earlier) })
		}
		if err := s.do(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// restart ends dnsmasq, if it runs, and starts it with new files. Leases
// survive: the helper keeps them, and tells the new dnsmasq.
func (s *service) restart(ctx context.Context, changed []step.WriteFile, alive bool) error {
	facts, err := s.d.sys.Facts(ctx)
	if err != nil {
		return err
	}
	steps, err := plan.Serve(s.to.live, facts, plan.Dirs(s.d.dirs.Served()))
	if err != nil {
		return err
	}
	s.onFailure(s.revive(alive))
	if err := s.write(ctx, changed); err != nil {
		return err
	}
	if err := s.do(ctx, step.StopDnsmasq{PidFile: s.pidFile}); err != nil {
		return err
	}
	return s.d.apply(ctx, s.n, starts(steps), nil)
}

// revive returns what makes dnsmasq run with the files of before, when those
// are back, or not run if it did not.
func (s *service) revive(alive bool) func(context.Context) error {
	return func(ctx context.Context) error {
		err := s.do(ctx, step.StopDnsmasq{PidFile: s.pidFile})
		if !alive {
			return err
		}
		conf := s.d.dirs.Served().Conf(s.n.ref.Name)
		return errors.Join(err, s.do(ctx, step.StartDnsmasq{
			Conf: conf, PidFile: s.pidFile, Bridge: s.from.live.Bridge.Name, Wide: len(s.from.live.DnsmasqOptions) > 0,
		}))
	}
}

// starts returns the steps that start dnsmasq, without its files.
func starts(steps []step.Step) []step.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s step.Step) bool { _, file := s.Do.(step.WriteFile); return file })
}
