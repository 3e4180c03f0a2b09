package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
)

// System is the host as this room sees it. Package host satisfies it.
type System interface {
	// Run applies one op.
	Run(ctx context.Context, op step.Op) error
	// DnsmasqAlive reports whether the pid file names a running dnsmasq.
	DnsmasqAlive(pidFile string) bool
	// Reload has a running dnsmasq read its hosts files again.
	Reload(pidFile string) error
	// Missing returns those of some ops whose results others took away since.
	Missing(ctx context.Context, ops []step.Op) ([]step.Op, error)
}

// Config is what an Engine needs. All of it is required.
type Config struct {
	System System
	Log    *slog.Logger

	// Deadline bounds each op of undoing, which goes on when the caller is gone.
	Deadline time.Duration

	// Failed makes the error of a step that says how its failure is worded.
	Failed func(fail string, err error) error
}

// Engine carries steps out. It keeps nothing, and may be used by several goroutines
// at once, for different networks.
type Engine struct{ cfg Config }

// New returns an Engine.
func New(cfg Config) *Engine { return &Engine{cfg} }

// Change is the way from what is in force for a network to what is to be.
type Change struct {
	Network string // its name, for messages

	// From is what is in force, or may be. A step without Do is one of which only
	// the undo is known.
	From []step.Step
	To   []step.Step

	// Save writes the record: what is in force from now on, or may be.
	Save func(state.Progress) error

	// Files tell of the change, and are replaced when that has been made: all of
	// them, or none.
	Files []state.File

	// Refresh has steps that are in force done again, as far as they can be
	// repeated or their results are not there any more: others may have touched
	// them.
	Refresh bool

	// Notify is done when what is new is in force and what goes still is. Its
	// failure is logged.
	Notify []step.Op
}

// Converge makes a change. After an error the host is as it was, as far as that can
// be done, and the record says what is left.
func (e *Engine) Converge(ctx context.Context, c Change) error {
	w := &work{Change: c, engine: e, rewritten: map[string]bool{}, started: map[string]bool{}}
	if err := w.run(ctx); err != nil {
		return errors.Join(err, w.rollback(ctx))
	}
	return nil
}

// Undo runs undo ops, all of them, even where ctx has ended. Each has its own
// deadline, so that one that hangs does not keep the others from their work. One
// that fails is tried again, and returned if it fails again.
//
// They run in the order of a stop, whatever the order of the start was: the bridge
// goes down before its rules go. A dnsmasq is asked to leave in its turn and waited
// for at the end: it takes as long as all the rest together.
func (e *Engine) Undo(ctx context.Context, network string, undo []step.Op) (left []step.Op, err error) {
	undo = step.StopOrder(undo)
	first, waits := slices.Clone(undo), []step.Op(nil)
	for i, op := range first {
		if stop, ok := op.(step.StopDnsmasq); ok {
			first[i], waits = step.SignalDnsmasq(stop), append(waits, stop)
		}
	}
	var errs []error
	for _, op := range append(first, waits...) {
		err := e.Persist(ctx, network, op)
		if err == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("undoing steps of network %q: %s: %w", network, op, err))
		if slices.ContainsFunc(undo, func(o step.Op) bool { return step.Key(o) == step.Key(op) }) {
			left = append(left, op)
		}
	}
	return left, errors.Join(errs...)
}

// Persist runs an op though the caller may be gone, for a while, and once more where
// it fails.
func (e *Engine) Persist(ctx context.Context, network string, op step.Op) error {
	e.cfg.Log.Debug("undo", "network", network, "step", op.String())
	return e.lasting(ctx, func(ctx context.Context) error { return e.cfg.System.Run(ctx, op) })
}

// lasting does what must be done: the kernel may be short of something for a moment.
func (e *Engine) lasting(ctx context.Context, do func(context.Context) error) (err error) {
	for range 2 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.Deadline)
		again := do(ctx)
		cancel()
		if again == nil {
			return nil
		}
		if err == nil {
			err = again
		}
	}
	return err
}
