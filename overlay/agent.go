package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// ErrRuns says that this host has an agent already.
var ErrRuns = errors.New("another agent runs")

// Run is the agent: it follows guests, other programs and people who edit
// extensions, for as long as something is added to some network. It returns nil
// when nothing is, ctx's error when that ends, and ErrRuns where another one runs.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.files.Make(); err != nil {
		return err
	}
	own, err := state.LockPID(e.files.AgentLock())
	if locked, ok := errors.AsType[*state.LockedError](err); ok {
		return fmt.Errorf("%w: %q is locked", ErrRuns, locked.Path)
	}
	if err != nil {
		return err
	}
	if err := e.locked(ctx, e.files.RemoveTemporary); err != nil {
		return errors.Join(err, own.Release())
	}
	ctx, stop := context.WithCancel(ctx)
	n := newPendingChanges(e.dirs.State)
	var group sync.WaitGroup
	var failures [2]error
	group.Go(func() { defer stop(); failures[0] = e.sys.Watch(ctx, n.change) })
	group.Go(func() {
		defer stop()
		failures[1] = e.sys.WatchFiles(ctx, e.watched(), n.file)
	})
	n.everything()
	over, err := e.attend(ctx, n, own)
	stop()
	group.Wait()
	if over { // and the lock released
		return err
	}
	err = errors.Join(err, own.Release())
	for _, f := range failures {
		if f != nil && !errors.Is(f, context.Canceled) {
			err = errors.Join(f, err)
		}
	}
	return err
}

// watched returns the directories where files tell of changes: what people and
// libvirt write about networks, leases, and what hooks leave for the agent.
func (e *Engine) watched() []string {
	list := append(e.files.Watched(), e.files.Served().Helper())
	ours := e.dirs.Served().Helper()
	if _, err := os.Lstat(ours); err == nil { // of a virbrd that handed its networks back
		list = append(list, ours)
	}
	return list
}

// attend answers events until there is nothing left to look after, which it reports,
// or ctx ends. Events that come in a row are answered at a distance: a guest can make
// them.
func (e *Engine) attend(ctx context.Context, n *pendingChanges, own *state.PIDLock) (over bool, err error) {
	again := newRecheck()
	defer again.timer.Stop()
	rest := firstRest
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-n.wake:
		case <-again.timer.C:
			n.add(func(ev *events) {
				for uuid := range e.open {
					ev.ids[uuid] = true
				}
			})
			continue
		}
		if over, err = e.round(ctx, n.take(), own); over || err != nil {
			return over, err
		}
		if doubts := e.doubts(); len(doubts.ids) > 0 {
			e.ask(ctx)
			over, err = e.round(ctx, doubts, own)
			e.asked = nil
			if over || err != nil {
				return over, err
			}
		}
		again.set(e.open)
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(rest):
		}
		if rest = min(2*rest, longestRest); len(n.wake) == 0 {
			rest = firstRest
		}
	}
}

// round answers some events, unless there is nothing left to look after.
func (e *Engine) round(ctx context.Context, todo *events, own *state.PIDLock) (over bool, err error) {
	e.answer(ctx, todo)
	err = e.locked(ctx, func() (err error) {
		if over, err = e.ours(); err != nil {
			return err
		}
		if !over {
			left, err := e.files.Records().List()
			if err != nil {
				return err
			}
			over = len(left) == 0
		}
		if over {
			return own.Release() // while nobody can add anything: see ensureAgent
		}
		return nil
	})
	return over, err
}

func (e *Engine) ours() (bool, error) {
	if e.cfg.Ours == nil {
		return false, nil
	}
	return e.cfg.Ours()
}

// answer looks after the networks that events are about. Each has the host's lock for
// itself: hooks do not wait for all of them.
func (e *Engine) answer(ctx context.Context, todo *events) {
	list, err := e.files.Records().List()
	if err != nil {
		e.log.Error("listing networks", "err", err)
		return
	}
	if todo.hurt {
		e.log.Warn("firewall rules changed by another program, restoring them", "by", todo.by)
	}
	seen := map[string]bool{}
	for _, uuid := range list {
		r, err := e.readRecord(uuid)
		if err != nil || r == nil {
			e.log.Error("what was added to a network is not known", "uuid", uuid.String(), "err", err)
			continue
		}
		seen[r.Network] = true
		if todo.about(r) || todo.ids[uuid] {
			e.attempt(ctx, r.Network, func() error { return e.repair(ctx, uuid, todo.gone[r.Network]) })
		}
	}
	for _, name := range e.candidates(todo) {
		if !seen[name] {
			e.attempt(ctx, name, func() error { return e.adopt(ctx, name) })
		}
	}
}

// attempt does something for a network, unless the networks are virbrd's own by now.
func (e *Engine) attempt(ctx context.Context, network string, do func() error) {
	err := e.locked(ctx, func() error {
		if over, err := e.ours(); over || err != nil {
			return err
		}
		return do()
	})
	if err != nil && ctx.Err() == nil {
		e.log.Error("a network is not as its extensions say", "network", network, "err", err)
	}
}

// candidates returns the networks that something may be added to for the first time.
func (e *Engine) candidates(todo *events) []string {
	if todo.all {
		names, err := e.dirs.Running()
		if err != nil {
			e.log.Error("listing networks", "err", err)
		}
		return names
	}
	var names []string
	for name := range todo.names {
		names = append(names, name)
	}
	return names
}

// repair looks after a network to which something was added.
func (e *Engine) repair(ctx context.Context, uuid xml.UUID, gone bool) error {
	r, err := e.readRecord(uuid)
	if err != nil || r == nil { // it has stopped meanwhile
		return err
	}
	o, over, err := e.standing(ctx, r, gone)
	if over {
		e.log.Info("the network is gone", "network", r.Network)
		return e.remove(ctx, uuid)
	}
	if err == nil && o.UUID != uuid { // another network has its name
		err = e.remove(ctx, uuid)
	}
	if err != nil {
		return err
	}
	return e.follow(ctx, o)
}

// standing returns what a network is by now: what its daemon wrote down last or,
// before it has, what the hook was told; or that it has ended.
func (e *Engine) standing(ctx context.Context, r *record, gone bool) (o *xml.Outline, over bool, err error) {
	o, err = e.outline(r.Network)
	if !errors.Is(err, fs.ErrNotExist) {
		return o, false, err
	}
	if over, err = e.over(ctx, r, gone); err != nil || over {
		return nil, over, err
	}
	o, err = xml.ParseOutline([]byte(r.Definition))
	if err == nil && r.From == plan.File {
		o.Extended = false // the file may have changed since
	}
	return o, false, err
}

// over reports whether a network that its daemon knows nothing of has ended and
// not just begun.
func (e *Engine) over(ctx context.Context, r *record, gone bool) (bool, error) {
	facts, err := e.sys.Facts(ctx)
	if err != nil {
		return false, err
	}
	link, there := facts.Links[r.Bridge]
	return gone || !there || link.Index != r.Index && r.Index != 0, nil
}

// adopt begins to look after a running network that has extensions by now.
func (e *Engine) adopt(ctx context.Context, name string) error {
	o, err := e.outline(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.follow(ctx, o)
}

// outline reads what libvirt wrote down about a running network.
func (e *Engine) outline(network string) (*xml.Outline, error) {
	path := e.dirs.StatusFile(network)
	data, err := state.Read(path)
	if err != nil {
		return nil, err
	}
	o, err := xml.ParseOutline(data)
	if err == nil && (o.Name != network || !o.HasUUID) {
		err = fmt.Errorf("it is about network %.255q", o.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	return o, nil
}

// events are what happened since somebody looked last.
type events struct {
	all     bool
	names   map[string]bool // networks
	gone    map[string]bool // networks whose status file went
	bridges map[string]bool
	hurt    bool            // rules
	by      string          // who hurt them; "": not known
	moved   map[string]bool // links whose addresses changed
	ids     map[xml.UUID]bool
}

// about reports whether something may have changed for a network.
func (ev *events) about(r *record) bool {
	if ev.all || ev.hurt || ev.names[r.Network] || ev.bridges[r.Bridge] {
		return true
	}
	for link := range ev.moved {
		if link != r.Bridge {
			return true
		}
	}
	return false
}

// pendingChanges collects events for whoever attends to them.
type pendingChanges struct {
	state string        // Dirs.State
	wake  chan struct{} // holds one when there are events

	mu sync.Mutex // guards what follows
	ev *events
}

func newPendingChanges(state string) *pendingChanges {
	n := &pendingChanges{state: state, wake: make(chan struct{}, 1)}
	n.take()
	return n
}

// take returns the events so far, and begins anew.
func (n *pendingChanges) take() *events {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.ev
	n.ev = newEvents()
	return was
}

func newEvents() *events {
	return &events{names: map[string]bool{}, gone: map[string]bool{}, bridges: map[string]bool{}, moved: map[string]bool{}, ids: map[xml.UUID]bool{}}
}

func (n *pendingChanges) add(change func(*events)) {
	n.mu.Lock()
	change(n.ev)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *pendingChanges) everything() { n.add(func(ev *events) { ev.all = true }) }

// change takes what the host tells.
func (n *pendingChanges) change(c step.Change) {
	switch c.Kind {
	case step.ChangeRules:
		switch {
		case c.Ours:
			n.add(func(ev *events) { ev.hurt, ev.by = true, c.By })
		case c.Elsewhere:
			n.add(func(ev *events) {
				ev.bridges[c.Link] = true
				ev.all = ev.all || c.Link == ""
			})
		}
	case step.ChangeForwarding: // libvirt's daemon switched it on, and sees to it
	case step.ChangeFirewalld:
		n.add(func(ev *events) { ev.hurt = true })
	case step.ChangeRoutes:
		n.add(func(ev *events) { ev.moved[""] = true })
	case step.ChangeAddresses:
		n.add(func(ev *events) { ev.moved[c.Link] = true })
	case step.ChangeLeases, step.ChangeNeighbours, step.ChangePorts:
		n.add(func(ev *events) {
			ev.bridges[c.Link] = true
			ev.all = ev.all || c.Link == ""
		})
	case step.ChangeDnsmasq:
		n.add(func(ev *events) {
			ev.names[c.Network] = true
			ev.all = ev.all || c.Network == ""
		})
	}
}

// file takes which file was written or removed.
func (n *pendingChanges) file(path string) {
	base := filepath.Base(path)
	if bridge, leases := strings.CutSuffix(base, ".status"); leases {
		n.add(func(ev *events) { ev.bridges[bridge] = true })
		return
	}
	name, ok := strings.CutSuffix(base, ".xml")
	switch {
	case ok:
	case filepath.Ext(base) == ".json":
		n.add(func(*events) {}) // a record: perhaps the last one went
		return
	case filepath.Ext(base) == "":
		n.everything() // a directory: something was missed
		return
	default:
		return
	}
	gone := false
	if filepath.Dir(path) == n.state {
		_, err := os.Lstat(path)
		gone = errors.Is(err, fs.ErrNotExist)
	}
	n.add(func(ev *events) {
		ev.names[name] = true
		ev.gone[name] = gone || ev.gone[name]
	})
}
