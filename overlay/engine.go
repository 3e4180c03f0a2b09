package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// System is the host as this room sees it. Package driver/host satisfies it.
type System interface {
	engine.System
	// Facts reads what plans need to know.
	Facts(ctx context.Context) (step.Facts, error)
	// Listeners returns who listens on ports of the host.
	Listeners(ctx context.Context) ([]step.Listener, error)
	// Holder names the program of a listener; "": not known.
	Holder(ctx context.Context, l step.Listener) string
	// Neighbours returns what the kernel knows about who is on a bridge.
	Neighbours(ctx context.Context, bridge string) ([]step.Neighbour, error)
	// BridgePorts returns the links that are ports of a bridge, in order.
	BridgePorts(ctx context.Context, bridge string) ([]step.BridgePort, error)
	// Ask asks on a bridge who has some addresses, and returns who says so.
	Ask(ctx context.Context, bridge string, addrs []netip.Addr) ([]step.Neighbour, error)
	// Addresses returns the addresses of the host's links by name.
	Addresses(ctx context.Context) (map[string][]netip.Addr, error)
	// Defaults returns the default routes of IPv4 and IPv6, in all tables that the
	// host looks into.
	Defaults(ctx context.Context) ([2][]policy.Default, error)
	// Watch tells of changes until ctx ends.
	Watch(ctx context.Context, tell func(step.Change)) error
	// WatchFiles calls tell with the path of each file of some directories that
	// is written, replaced or removed, until ctx ends; with the path of a
	// directory where something was missed. tell must not block.
	WatchFiles(ctx context.Context, dirs []string, tell func(path string)) error
}

// Config is what an Engine needs.
type Config struct {
	System System     // required
	Dirs   state.Dirs // required; those of libvirt, and ours

	// Choose fixes what a definition leaves open: prefixes and subnets. Required.
	Choose func(ctx context.Context, def *xml.Network, facts step.Facts) (*xml.Network, error)

	// StartAgent starts the program that runs [Engine.Run], and does not wait for
	// it. nil: there is none.
	StartAgent func(ctx context.Context) error

	// Ours reports whether the networks are virbrd's own by now, which needs no
	// help: the agent ends then. nil: never.
	Ours func() (bool, error)

	Log *slog.Logger // nil: discard

	// Deadline bounds each step of taking back, which goes on when the caller is
	// gone. Zero: 60 seconds.
	Deadline time.Duration
}

// Engine adds to networks and takes back. Several processes may have one each.
type Engine struct {
	cfg   Config
	sys   System
	dirs  state.Dirs // libvirt's files
	files state.Overlay
	log   *slog.Logger

	engine  *engine.Engine
	history *history.Store

	// The agent's, by network, while it holds the host's lock.
	asked map[xml.UUID]*plan.Asked      // what came of asking for guests
	open  map[xml.UUID]*plan.Resolution // what is to be looked at again, in doubt or withheld
}

// New returns an Engine.
func New(cfg Config) *Engine {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = time.Minute
	}
	carry := engine.New(engine.Config{System: cfg.System, Log: cfg.Log, Deadline: cfg.Deadline, Failed: func(fail string, err error) error {
		return fmt.Errorf("%s: %w", fail, err)
	}})
	return &Engine{cfg: cfg, sys: cfg.System, engine: carry, history: history.New(cfg.Dirs.History()), dirs: cfg.Dirs, files: cfg.Dirs.Overlay(), log: cfg.Log, open: map[xml.UUID]*plan.Resolution{}}
}

// locked does something while no other process adds or takes back.
func (e *Engine) locked(ctx context.Context, do func() error) error {
	if err := e.files.Make(); err != nil {
		return err
	}
	l, err := state.TakeLock(ctx, e.files.Lock(), 0o644)
	if err != nil {
		return err
	}
	defer l.Release()
	return do()
}

// Hook does what one call of the hook is for. The error fails the start of a
// network, and nothing that was added for it is left then.
func (e *Engine) Hook(ctx context.Context, call *hooks.Call) error {
	o, err := xml.ParseOutline(call.Document)
	if err != nil && !extended(e.files, call.Network, call.Document) {
		return nil // what we cannot read is none of our business, whatever was added to others
	}
	if err != nil {
		return fmt.Errorf("reading the document about network %q: %w", call.Network, err)
	}
	if o.Name != call.Network || !o.HasUUID {
		return fmt.Errorf("reading the document about network %q: it is about network %.255q with UUID %s", call.Network, o.Name, o.UUID)
	}
	port := call.Op == hooks.OpPortCreated || call.Op == hooks.OpPortDeleted
	if port && e.notify(call.Network) {
		return nil
	}
	return e.locked(ctx, func() error {
		switch call.Op {
		case hooks.OpStart:
			return e.prepare(ctx, o)
		case hooks.OpStopped:
			return errors.Join(e.remove(ctx, o.UUID), e.history.Gone(history.Network{Name: o.Name, UUID: o.UUID}))
		case hooks.OpStarted, hooks.OpUpdated:
			return e.follow(ctx, o)
		case hooks.OpPortCreated, hooks.OpPortDeleted:
			// A guest is not to be refused its card for what its neighbours'
			// forwards are in want of. The report says it.
			_ = e.follow(ctx, o)
			return nil
		}
		return &hooks.UnknownOpError{Op: string(call.Op)}
	})
}

// prepare is for a network that is about to start: everything that can be known to
// be wrong is said now. Nothing is changed, but that a bridge is made which the
// network's own daemon is to find.
func (e *Engine) prepare(ctx context.Context, o *xml.Outline) error {
	if err := e.remove(ctx, o.UUID); err != nil { // left by a run whose end nobody told us
		return err
	}
	x, err := e.extend(o)
	if err != nil || x == nil {
		return err
	}
	t, err := e.target(ctx, nil, x)
	if err != nil {
		return err
	}
	if t.made.Bridge.Create {
		return e.converge(ctx, nil, t)
	}
	return nil
}

// follow makes the host what a running network's extensions ask for.
func (e *Engine) follow(ctx context.Context, o *xml.Outline) error {
	was, err := e.readRecord(o.UUID)
	if err != nil {
		return err
	}
	x, err := e.extend(o)
	if err == nil && x == nil {
		if def, err := o.Network(); err == nil && was != nil {
			e.record(def)
		}
		return e.remove(ctx, o.UUID)
	}
	var t *target
	if err == nil {
		t, err = e.target(ctx, was, x)
	}
	if err == nil {
		err = e.converge(ctx, was, t)
	}
	if err == nil {
		e.ensureAgent(ctx)
		return nil
	}
	e.failed(o, was, err)
	return err
}

// record keeps what a network's definition has become. Who made it so libvirt does not
// tell hooks.
func (e *Engine) record(def *xml.Network) {
	r := history.Revision{Time: time.Now().UTC().Truncate(time.Millisecond), Call: "found by virbrd hook", Text: def.Format(xml.Inactive)}
	if err := e.history.Record(history.Network{Name: def.Name, UUID: def.UUID}, "", r); err != nil {
		e.log.Warn("the definition is not in the network's history", "network", def.Name, "err", err)
	}
}

// failed says in the report what went wrong.
func (e *Engine) failed(o *xml.Outline, was *record, err error) {
	r := &plan.Report{Network: o.Name, UUID: o.UUID.String(), Steps: []string{}}
	if was != nil {
		r = e.reportOf(was)
	}
	r.Waiting, r.Error = nil, err.Error()
	e.report(r)
}

// notify has the agent, if it runs, look after a network; guests that come and go do
// not wait for it.
func (e *Engine) notify(network string) bool {
	agent, err := state.LockHolder(e.files.AgentLock())
	return err == nil && agent.Locked && os.WriteFile(e.files.Notify(network), nil, 0o600) == nil
}

// ensureAgent sees to it that the agent runs. The host lock is held, under which an
// agent decides to end, so there is none that is about to.
func (e *Engine) ensureAgent(ctx context.Context) {
	if e.cfg.StartAgent == nil {
		return
	}
	agent, err := state.LockHolder(e.files.AgentLock())
	if err == nil && !agent.Locked {
		err = e.cfg.StartAgent(ctx)
	}
	if err != nil {
		e.log.Error("starting the agent; networks go on, but nobody follows their guests", "err", err)
	}
}

// remove takes back everything that was added to a network.
func (e *Engine) remove(ctx context.Context, uuid xml.UUID) error {
	r, err := e.readRecord(uuid)
	if err != nil || r == nil {
		return err
	}
	if def, err := xml.ParseNetwork([]byte(r.Definition)); err == nil {
		e.tolerate(ctx, r.Network, retraction(r, def))
	}
	delete(e.open, uuid)
	_, err = e.engine.Undo(ctx, r.Network, step.Undos(r.Steps))
	e.endConnections(ctx, r.Network, r.Resolution, nil)
	return errors.Join(err, e.files.Remove(r.Network, uuid))
}

// RemoveAll takes back everything that was added to any network.
func (e *Engine) RemoveAll(ctx context.Context) error {
	if left, err := e.files.Records().List(); err != nil || len(left) == 0 {
		return err
	}
	return e.locked(ctx, func() error {
		list, err := e.files.Records().List()
		errs := []error{err}
		for _, uuid := range list {
			errs = append(errs, e.remove(ctx, uuid))
		}
		return errors.Join(errs...)
	})
}

// retraction returns what tells the guests of a network of the prefixes that it had and
// that a definition, which takes the place of what was made of it, does not have.
func retraction(was *record, next *xml.Network) []step.Op {
	made, err := xml.ParseNetwork([]byte(was.Made))
	if err != nil {
		return nil // of another version
	}
	if op, gone := plan.Retraction(made, next); gone {
		return []step.Op{op}
	}
	return nil
}

// endConnections ends the connections that went to where nothing leads any more.
func (e *Engine) endConnections(ctx context.Context, network string, before, after *plan.Resolution) {
	e.tolerate(ctx, network, plan.Ended(before, after))
}

// tolerate runs ops that a network can do without, though the caller may be gone.
func (e *Engine) tolerate(ctx context.Context, network string, ops []step.Op) {
	for _, op := range ops {
		if err := e.engine.Persist(ctx, network, op); err != nil {
			e.log.Warn("step failed, going on", "network", network, "step", op.String(), "err", err)
		}
	}
}

// report writes a report. That it cannot is logged: it is for people, and no network
// depends on it.
func (e *Engine) report(r *plan.Report) {
	r.Time = time.Now().UTC().Truncate(time.Second)
	if err := e.files.SaveReport(r); err != nil {
		e.log.Warn("writing a report", "network", r.Network, "err", err)
	}
}

// reportOf returns what a record says, for people.
func (e *Engine) reportOf(r *record) *plan.Report {
	report := &plan.Report{Network: r.Network, UUID: r.UUID.String(), Bridge: r.Bridge, From: r.From, Steps: lines(r.Steps)}
	if r.From == plan.File {
		report.File = e.files.Extensions(r.Network)
	}
	report.Describe(r.Resolution)
	return report
}

// lines returns what steps do, for people.
func lines(steps []step.Step) []string {
	out := make([]string, 0, len(steps))
	for _, s := range steps {
		if s.Do != nil {
			out = append(out, s.Do.String())
		}
	}
	return out
}
