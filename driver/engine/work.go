package engine

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
)

// work is a change under way.
type work struct {
	Change
	engine      *Engine
	transitions []Transition
	missing     map[string]bool // keys of what is in force, and is not there

	rewritten map[string]bool // files
	started   map[string]bool // dnsmasq, by pid file

	// What undoes what was done: of things that were there already, the last
	// first; of new ones, in the order of a stop; and when dnsmasq's files are what
	// they were.
	back  []func(context.Context) error
	added []step.Op
	after []func(context.Context) error
}

func (w *work) run(ctx context.Context) error {
	w.transitions = Difference(w.From, w.To)
	if err := w.look(ctx); err != nil {
		return err
	}
	made := slices.IndexFunc(w.transitions, func(t Transition) bool { return w.makesBridge(t) })
	if err := w.announce(w.transitions[:made+1], made >= 0); err != nil {
		return err
	}
	said := len(w.Notify) == 0
	for i, t := range w.transitions {
		if !said && t.Gone && step.ScopeOf(t.Do) != step.ScopeService {
			w.notify(ctx)
			said = true
		}
		if err := w.transit(ctx, t); err != nil {
			return err
		}
		if i == made {
			if err := w.announce(w.transitions, true); err != nil {
				return err
			}
		}
	}
	if !said {
		w.notify(ctx)
	}
	return w.finish(ctx)
}

// finish says that the change has been made: in its files, and in the record. That what
// was to be done is still in the record harms nobody.
func (w *work) finish(ctx context.Context) error {
	made := state.Progress{Steps: w.To}
	if len(w.Files) == 0 {
		return w.Save(made)
	}
	err := state.ReplaceAll(w.Files, func(staged []state.Staged) error {
		return w.Save(state.Progress{Steps: w.To, Files: staged})
	})
	if err != nil {
		return err
	}
	if err := w.engine.lasting(ctx, func(context.Context) error { return w.Save(made) }); err != nil {
		w.engine.cfg.Log.Warn("record not written, going on", "network", w.Network, "err", err)
	}
	return nil
}

func (w *work) notify(ctx context.Context) {
	for _, op := range w.Notify {
		if err := w.engine.cfg.System.Run(ctx, op); err != nil {
			w.engine.cfg.Log.Warn("step failed, going on", "network", w.Network, "step", op.String(), "err", err)
		}
	}
}

// makesBridge reports whether a transition makes a bridge: until it is there, a bridge
// of that name may be somebody else's, and nothing must be taken from it.
func (w *work) makesBridge(t Transition) bool {
	_, bridge := t.Do.(step.AddBridge)
	return bridge && !t.Same
}

// look finds out what is in force and is not there any more, if that matters.
func (w *work) look(ctx context.Context) error {
	if !w.Refresh {
		return nil
	}
	var ops []step.Op
	for _, t := range w.transitions {
		if t.Same && step.Repeatable(t.Do) && !anyway(t.Do) && !step.SwitchesOff(t.Do) { // who switched it on needs it
			ops = append(ops, t.Do)
		}
	}
	missing, err := w.engine.cfg.System.Missing(ctx, ops)
	w.missing = map[string]bool{}
	for _, op := range missing {
		w.missing[step.Key(op)] = true
	}
	return err
}

// announce writes down what may be in force while some transitions are made. Some is
// false where these are all.
func (w *work) announce(transitions []Transition, some bool) error {
	if !some {
		transitions = w.transitions
	}
	changing := map[string]bool{}
	var fresh []step.Step
	for _, t := range transitions {
		if t.Same {
			continue
		}
		changing[step.Key(t.Do)] = true
		if !t.Gone && t.Was == nil && t.Undo != nil && !uncertain(t.Step) {
			fresh = append(fresh, step.Step{Undo: t.Ahead()})
		}
	}
	if len(changing) == 0 {
		return nil
	}
	var made state.Progress
	for _, s := range w.From {
		if changing[s.Key()] {
			s.Do = nil // it is not known any more
		}
		if s.Do != nil || s.Undo != nil {
			made.Steps = append(made.Steps, s)
		}
	}
	made.Steps = append(made.Steps, fresh...)
	if len(w.From) > 0 {
		made.Pending = slices.Sorted(maps.Keys(changing))
	}
	return w.Save(made)
}

// uncertain reports whether a step makes something that could not be told from
// somebody else's.
func uncertain(s step.Step) bool {
	op, bridge := s.Do.(step.AddBridge)
	return bridge && op.MAC.IsZero()
}

// transit makes one transition.
func (w *work) transit(ctx context.Context, t Transition) error {
	switch op := t.Do.(type) {
	case step.AddBridge:
		return w.bridge(ctx, t)
	case step.WriteFile:
		return w.file(ctx, t, op)
	case step.StartDnsmasq:
		return w.serve(ctx, t, op)
	case step.AwaitDnsmasq:
		if !w.started[op.PidFile] {
			return nil
		}
	}
	if t.Same && !w.repeats(t) {
		return nil
	}
	w.remember(t)
	t.Do = t.Op()
	return w.do(ctx, t.Step)
}

// repeats reports whether what is in force is done again.
func (w *work) repeats(t Transition) bool {
	if w.missing[step.Key(t.Do)] {
		return true
	}
	return w.Refresh && step.Repeatable(t.Do) && anyway(t.Do)
}

// anyway reports whether an op is done again whatever is missing of it.
func anyway(op step.Op) bool {
	scope := step.ScopeOf(op)
	return scope == step.ScopeFirewall || scope == step.ScopeGuests
}

// remember notes what undoes a transition. It is called before that is made, for
// what fails may have been done in part.
func (w *work) remember(t Transition) {
	switch back := t.Back(); {
	case back == nil:
	case t.Was == nil:
		w.added = append(w.added, back)
	default:
		w.onFailure(back)
	}
}

func (w *work) onFailure(op step.Op) {
	if start, ok := op.(step.StartDnsmasq); ok {
		w.after = append(w.after, w.revive(start, w.engine.cfg.System.DnsmasqAlive(start.PidFile)))
		return
	}
	w.back = append(w.back, func(ctx context.Context) error { return w.engine.cfg.System.Run(ctx, op) })
}

// do does a step. One that a network can do without is tried once more: nobody hears
// of its failure, so it must not be missing for a moment's want.
func (w *work) do(ctx context.Context, s step.Step) error {
	cfg := &w.engine.cfg
	cfg.Log.Debug("step", "network", w.Network, "step", s.Do.String())
	err := cfg.System.Run(ctx, s.Do)
	if err != nil && s.Tolerate {
		if err = cfg.System.Run(ctx, s.Do); err != nil {
			cfg.Log.Warn("step failed, going on", "network", w.Network, "step", s.Do.String(), "err", err)
		}
		return nil // it may have been done in part, which is undone, too
	}
	if err != nil && s.Fail != "" {
		return cfg.Failed(s.Fail, err)
	}
	return err // it says what failed; some are in libvirt's words, as dnsmasq's end
}

// bridge makes a bridge. One that is there is somebody else's.
func (w *work) bridge(ctx context.Context, t Transition) error {
	if t.Same {
		return nil
	}
	if !uncertain(t.Step) {
		w.added = append(w.added, t.Ahead())
	}
	err := w.do(ctx, t.Step)
	if err == nil || errors.Is(err, fs.ErrExist) {
		w.added = slices.DeleteFunc(w.added, func(op step.Op) bool { return step.Key(op) == step.Key(t.Do) })
	}
	if err == nil && t.Undo != nil {
		w.added = append(w.added, t.Undo)
	}
	return err
}

// rollback undoes what was done, and says in the record what is left.
func (w *work) rollback(ctx context.Context) error {
	w.engine.cfg.Log.Debug("rolling back", "network", w.Network)
	var errs []error
	run := func(list []func(context.Context) error) {
		for _, undo := range slices.Backward(list) {
			errs = append(errs, w.engine.lasting(ctx, undo))
		}
	}
	run(w.back)
	left, err := w.engine.Undo(ctx, w.Network, w.added)
	errs = append(errs, err)
	run(w.after)
	steps := slices.Clone(w.From)
	for _, op := range left {
		steps = append(steps, step.Step{Undo: op})
	}
	return errors.Join(append(errs, w.Save(state.Progress{Steps: steps}))...)
}
