package graft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// converge makes the host what t says, from what the record says it is; was is nil
// where nothing was added yet. After an error the host is as it was, as far as
// that can be done.
func (e *Engine) converge(ctx context.Context, was *record, t *target) error {
	link, there := t.facts.Links[t.def.Bridge.Name]
	if was != nil && (was.Bridge != t.def.Bridge.Name || was.Index != 0 && there && was.Index != link.Index) {
		// What was added went with the bridge that had it; the rest goes now.
		if err := e.remove(ctx, was.UUID); err != nil {
			return err
		}
		was = nil
	}
	now := &record{
		path: e.dirs.record(t.def.UUID), Network: t.def.Name, UUID: t.def.UUID, Bridge: t.def.Bridge.Name,
		Index: link.Index, From: t.from, Def: t.def.Format(0), Made: t.made.Format(0), Reach: t.reach, Steps: t.steps,
	}
	w := &work{e: e, now: now}
	if was != nil {
		w.before, now.text = was.Steps, was.text
	}
	err := w.run(ctx)
	if err == nil {
		err = now.save()
	}
	if err != nil {
		return errors.Join(err, w.takeBack(context.WithoutCancel(ctx), was))
	}
	var before *plan.Reach
	if was != nil {
		before = was.Reach
		e.retract(ctx, was, t.made)
	}
	e.endConnections(ctx, now.Network, before, now.Reach)
	e.tell(e.reportOf(t, now))
	delete(e.open, now.UUID)
	if len(t.reach.Doubts)+len(t.reach.Memory.Withheld) > 0 {
		e.open[now.UUID] = t.reach
	}
	return nil
}

func (e *Engine) reportOf(t *target, r *record) Report {
	report := Report{Network: r.Network, UUID: r.UUID.String(), Bridge: r.Bridge, From: r.From, Waiting: waiting(t.reach), Steps: lines(r.Steps)}
	if r.From == File {
		report.File = e.dirs.file(r.Network)
	}
	report.Forwards, report.Publics = states(t.reach)
	if t.note != "" {
		report.Notes = append(report.Notes, t.note)
	}
	return report
}

// states returns what forwards and public addresses come to.
func states(r *plan.Reach) (forwards, publics []Resolved) {
	if r == nil {
		return nil, nil
	}
	for i := range r.Ext.Forwards {
		forwards = append(forwards, resolved(r.Ext.Forwards[i].XML(), r.ForwardState(i)))
	}
	for i := range r.Ext.Publics {
		publics = append(publics, resolved(r.Ext.Publics[i].XML(), r.PublicState(i)))
	}
	return forwards, publics
}

func resolved(document string, s plan.State) Resolved {
	return Resolved{XML: document, Active: s.Active, Addresses: s.Addresses, Reason: s.Reason}
}

// work is one way from some steps to others.
type work struct {
	e      *Engine
	now    *record     // what is to be
	before []step.Step // what the host has
	tried  []step.Step // what may have been done

	addresses map[string][]netip.Addr // of the host; nil: not asked for yet
	rewritten map[string]bool         // files
}

// run does the steps that are new or changed, repairs those that are not, and takes
// back those that are no longer wanted. How to take back what is new is on disk
// before it is done.
func (w *work) run(ctx context.Context) error {
	pending := *w.now
	defer func() { w.now.text = pending.text }() // what is on disk
	pending.Steps = union(w.before, w.now.Steps)
	if len(pending.Steps) != len(w.before) {
		pending.Steps = slices.DeleteFunc(pending.Steps, w.perhapsTheirs)
		if err := pending.save(); err != nil {
			return err
		}
	}
	for _, s := range w.now.Steps {
		theirs := w.perhapsTheirs(s)
		if !theirs {
			w.tried = append(w.tried, s)
		}
		if err := w.do(ctx, s); err != nil {
			return err
		}
		if !theirs {
			continue
		}
		w.tried = append(w.tried, s)
		pending.Steps = append(pending.Steps, s)
		if err := pending.save(); err != nil {
			return err
		}
	}
	return errors.Join(w.drop(ctx)...)
}

// perhapsTheirs reports whether taking a step back before it was done could hurt
// somebody else: a bridge of that name may be there.
func (w *work) perhapsTheirs(s step.Step) bool {
	_, bridge := s.Do.(step.AddBridge)
	return bridge && !slices.ContainsFunc(w.before, func(o step.Step) bool { return reflect.DeepEqual(o, s) })
}

// takeBack puts back what was before work that failed.
func (w *work) takeBack(ctx context.Context, was *record) error {
	w.e.log.Debug("taking back", "network", w.now.Network)
	if was == nil {
		errs := w.e.undo(ctx, w.tried)
		return errors.Join(append(errs, disk.Remove(w.now.path))...)
	}
	back := &work{e: w.e, now: was, before: w.tried}
	var errs []error
	for _, s := range was.Steps {
		errs = append(errs, back.do(ctx, s))
	}
	errs = append(errs, back.drop(ctx)...)
	was.text = nil // whatever is on disk
	return errors.Join(append(errs, was.save())...)
}

// union returns the steps of both lists, those that are in both once.
func union(a, b []step.Step) []step.Step {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.ContainsFunc(a, func(o step.Step) bool { return reflect.DeepEqual(o, s) }) {
			out = append(out, s)
		}
	}
	return out
}

// do does one step, unless it is in force.
func (w *work) do(ctx context.Context, s step.Step) error {
	skip, err := w.inForce(ctx, s)
	if err != nil || skip {
		return err
	}
	w.e.log.Debug("step", "network", w.now.Network, "step", s.Do.String())
	err = w.e.sys.Run(ctx, s.Do)
	if err != nil && s.Tolerate {
		w.e.log.Warn("step failed, going on", "network", w.now.Network, "step", s.Do.String(), "err", err)
		return nil
	}
	if err != nil && s.Fail != "" {
		return fmt.Errorf("%s: %w", s.Fail, err)
	}
	if err == nil {
		w.note(s.Do)
	}
	return err
}

// note remembers what later steps depend on.
func (w *work) note(op step.Op) {
	if f, ok := op.(step.WriteFile); ok {
		if w.rewritten == nil {
			w.rewritten = map[string]bool{}
		}
		w.rewritten[f.Path] = true
	}
}

// inForce reports whether a step need not be done. Ops that replace what is there
// are done each time: they mend what others broke.
func (w *work) inForce(ctx context.Context, s step.Step) (bool, error) {
	had := slices.ContainsFunc(w.before, func(o step.Step) bool { return reflect.DeepEqual(o.Do, s.Do) })
	switch op := s.Do.(type) {
	case step.AddRules, step.SnoopGuests, step.AcceptElsewhere, step.AcceptBeside, step.HearRouters, step.RouteGuest, step.ProxyNeighbour:
		return false, nil
	case step.AddAddress:
		if w.addresses == nil {
			var err error
			if w.addresses, err = w.e.sys.Addresses(ctx); err != nil {
				return false, err
			}
		}
		return had && slices.Contains(w.addresses[op.Link], op.Address.Addr()), nil
	case step.StartDnsmasq:
		return w.serving(ctx, op, had)
	}
	return had, nil
}

// serving sees to a dnsmasq: one that reads another configuration now is ended, for
// the step to start it anew; one whose hosts changed reads them again.
func (w *work) serving(ctx context.Context, op step.StartDnsmasq, had bool) (bool, error) {
	if !w.e.sys.DnsmasqAlive(op.PidFile) {
		return false, nil
	}
	if had && !w.rewritten[op.Conf] {
		if len(w.rewritten) > 0 {
			return true, w.e.sys.Reload(op.PidFile)
		}
		return true, nil
	}
	return false, w.e.sys.Run(ctx, step.StopDnsmasq{PidFile: op.PidFile})
}

// drop takes back the steps that are no longer wanted, the last first. An undo
// that a wanted step has too is of one that was replaced.
func (w *work) drop(ctx context.Context) []error {
	var errs []error
	for _, s := range slices.Backward(w.before) {
		wanted := slices.ContainsFunc(w.now.Steps, func(o step.Step) bool { return reflect.DeepEqual(o.Undo, s.Undo) })
		if s.Undo == nil || wanted {
			continue
		}
		if err := w.e.persist(ctx, s.Undo); err != nil {
			errs = append(errs, fmt.Errorf("taking back: %s: %w", s.Undo, err))
		}
	}
	return errs
}

// lines returns what steps do, for people.
func lines(steps []step.Step) []string {
	out := make([]string, 0, len(steps))
	for _, s := range steps {
		out = append(out, s.Do.String())
	}
	return out
}
