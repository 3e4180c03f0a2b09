package driver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// Config is what a Driver needs.
type Config struct {
	System System     // required
	Dirs   state.Dirs // required; see state.System

	// Watcher tells what happens on the host without us; Run follows it. nil:
	// nothing is followed, and only static hosts are known as guests.
	Watcher Watcher

	// Schema checks documents for the calls that ask for it. nil: every
	// document is valid.
	Schema Schema

	// Events is told of every change, one call at a time for one network, in
	// the order in which things happened. It must not block and must not call
	// the driver. nil: nobody listens.
	Events func(Event)

	Log    *slog.Logger // nil: discard
	Random io.Reader    // of UUIDs and MAC addresses; nil: crypto/rand

	Pools Pools // of addresses; the zero value will do

	// Live says that DefineXML changes a running network at once, where its definition
	// does not say otherwise.
	Live bool

	// Delegations are the prefixes that upstream routers delegate. nil: none.
	Delegations Delegations

	// Patience is how long a change of a network waits for one other change
	// of it before it gives up. Zero: 30 seconds, as libvirt's hypervisor
	// drivers wait.
	Patience time.Duration

	// HookTimeout is how long one hook script may run. Zero: 60 seconds;
	// negative: for ever.
	HookTimeout time.Duration

	// Stopping is closed when the daemon is to end: who waits for another change
	// of a network is refused, and hook scripts have a moment. nil: never.
	Stopping <-chan struct{}

	// Deadline bounds each step of the taking back of a failed start and of a
	// stop, which go on when the caller is gone. Zero: 60 seconds.
	Deadline time.Duration
}

// Schema holds documents against the schemas of networks and of their ports. An
// error is returned to the client as it is. Package schemas satisfies it.
type Schema interface {
	ValidateNetwork(doc []byte) error
	ValidatePort(doc []byte) error
}

// Driver is the networks of one host. Its methods may be called by several
// goroutines at once. A call that changes a network waits while another
// changes the same one; reading and listing never wait.
//
// A context that ends makes a start take back what it did. It does not stop a
// stop.
type Driver struct {
	cfg     Config
	sys     System
	dirs    state.Dirs
	log     *slog.Logger
	hooks   *hooks.Runner
	lock    *state.PIDLock // set by Load
	random  sync.Mutex
	starts  durations
	history *history.Store
	engine  *engine.Engine

	ruleset *ruleset
	claims  *claims
	choices *state.Choices
	changes *pendingChanges
	slots   chan struct{}
	asks    atomic.Bool   // routers are asked for prefixes
	retired chan struct{} // holds a token when a network has got a former prefix
	pending *pendings

	detachedMu sync.Mutex // guards detached and its files; mu may be taken under it
	detached   map[xml.UUID]*state.Detached

	mu       sync.RWMutex // guards what follows; held for moments only
	byUUID   map[xml.UUID]*network
	byName   map[string]*network
	pools    Pools
	short    string         // networks that it was said of that they go without a delegated prefix
	starting []*xml.Network // in the order in which they began
	held     []*network     // turns taken by Load for StartAll
}

// New returns a driver without networks; Load reads them.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Patience == 0 {
		cfg.Patience = 30 * time.Second
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = time.Minute
	}
	d := &Driver{
		cfg:   cfg,
		sys:   cfg.System,
		dirs:  cfg.Dirs,
		log:   cfg.Log,
		hooks: hooks.New(hooks.Config{Dir: cfg.Dirs.Hooks, Log: cfg.Log, Timeout: cfg.HookTimeout, Stopping: cfg.Stopping}),
		pools: cfg.Pools,

		history: history.New(cfg.Dirs.History()),
		ruleset: newRuleset(),
		claims:  newClaims(),
		choices: cfg.Dirs.Choices(),
		changes: newPendingChanges(),
		slots:   newSlots(),
		retired: make(chan struct{}, 1),
		pending: &pendings{wake: make(chan struct{}, 1), by: make(map[xml.UUID]*pending)},
		byUUID:  make(map[xml.UUID]*network),
		byName:  make(map[string]*network),

		detached: make(map[xml.UUID]*state.Detached),
	}
	d.engine = engine.New(engine.Config{System: system{d}, Log: d.log, Deadline: cfg.Deadline, Failed: func(fail string, err error) error {
		return systemError(err, "%s", fail)
	}})
	return d
}

// find returns a network and what it looks like now.
func (d *Driver) find(ref Ref) (*network, *view, error) {
	d.mu.RLock()
	n := d.byUUID[ref.UUID]
	d.mu.RUnlock()
	if n != nil {
		if v := n.view.Load(); v != nil {
			return n, v, nil
		}
	}
	return nil, nil, noNetwork(ref)
}

// change returns a network, which a client wants to change, with its turn taken; the
// caller ends it.
func (d *Driver) change(ctx context.Context, ref Ref, what string) (*network, *view, error) {
	n, v, err := d.hold(ctx, ref, what)
	if err != nil {
		return nil, nil, err
	}
	if err := d.pending.refuse(n.ref); err != nil {
		n.end()
		return nil, nil, err
	}
	return n, v, nil
}

// hold is change for what may be done to a network whose change waits for a confirmation.
func (d *Driver) hold(ctx context.Context, ref Ref, what string) (*network, *view, error) {
	n, _, err := d.find(ref)
	if err != nil {
		return nil, nil, err
	}
	if err := d.begin(ctx, n, what); err != nil {
		return nil, nil, err
	}
	v := n.view.Load()
	if n.gone || v == nil { // somebody else's undefine or destroy was first
		n.end()
		return nil, nil, noNetwork(ref)
	}
	return n, v, nil
}

// claim returns the network that a definition is for, with its turn taken:
// the one that there is, or a new one, whose view is nil until the caller sets
// it. The caller ends it by settle. Name and UUID are one identity: half a
// match is refused.
func (d *Driver) claim(ctx context.Context, def *xml.Network, what string) (*network, error) {
	for {
		n, fresh, err := d.identify(def, what)
		if err != nil || fresh {
			return n, err
		}
		if err := d.begin(ctx, n, what); err != nil {
			return nil, err
		}
		if !n.gone {
			err = d.pending.refuse(n.ref)
		}
		if !n.gone && err == nil {
			return n, nil
		}
		n.end()
		if err != nil {
			return nil, err
		}
	}
}

// identify returns the network with the definition's name and UUID, or makes
// one and takes its turn.
func (d *Driver) identify(def *xml.Network, what string) (n *network, fresh bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byUUID, byName := d.byUUID[def.UUID], d.byName[def.Name]
	switch {
	case byUUID != nil && byUUID.ref.Name != def.Name:
		return nil, false, &Error{Kind: KindOperationFailed, Msg: fmt.Sprintf(
			"network '%s' is already defined with uuid %s", byUUID.ref.Name, def.UUID)}
	case byUUID != nil:
		return byUUID, false, nil
	case byName != nil:
		return nil, false, &Error{Kind: KindOperationFailed, Msg: fmt.Sprintf(
			"network '%s' already exists with uuid %s", def.Name, byName.ref.UUID)}
	}
	n = newNetwork(Ref{Name: def.Name, UUID: def.UUID})
	n.take(what)
	d.byUUID[def.UUID], d.byName[def.Name] = n, n
	return n, true, nil
}

// settle gives back the turn of a claimed network and forgets a new one that
// came to nothing.
func (d *Driver) settle(n *network) {
	d.mu.Lock()
	n.bridge, n.incoming = "", nil
	d.mu.Unlock()
	if n.view.Load() == nil {
		d.forget(n)
	}
	n.end()
}

// forget drops a network whose turn is held.
func (d *Driver) forget(n *network) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.view.Store(nil)
	n.gone = true
	delete(d.byUUID, n.ref.UUID)
	delete(d.byName, n.ref.Name)
}

// networks returns all networks, in no order.
func (d *Driver) networks() []*network {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*network, 0, len(d.byUUID))
	for _, n := range d.byUUID {
		list = append(list, n)
	}
	return list
}

// parse reads a document from a client.
func (d *Driver) parse(doc string, validate bool) (*xml.Network, error) {
	if validate && d.cfg.Schema != nil {
		if err := d.cfg.Schema.ValidateNetwork([]byte(doc)); err != nil {
			return nil, err
		}
	}
	def, err := xml.ParseNetwork([]byte(doc))
	if err != nil {
		return nil, err
	}
	if err := d.checkBridge(def); err != nil {
		return nil, err
	}
	if err := def.Validate(); err != nil {
		return nil, err
	}
	return def, checkName(def.Name)
}

// checkName refuses names that cannot be those of files.
func checkName(name string) error {
	if err := state.CheckName(name); err != nil {
		return &Error{Kind: KindInvalidArg, Msg: err.Error()}
	}
	return nil
}

// systemError is an Error of KindSystem whose cause is the errno in err, if
// there is one.
func systemError(err error, format string, args ...any) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno
	}
	return &Error{Kind: KindSystem, Msg: fmt.Sprintf(format, args...), Err: err}
}

func noNetwork(ref Ref) error {
	return &Error{Kind: KindNoNetwork, Msg: fmt.Sprintf("no network with matching uuid '%s' (%s)", ref.UUID, ref.Name)}
}

// warn logs an error, if there is one, of work that goes on regardless.
func (d *Driver) warn(msg string, n Ref, err error) {
	if err != nil {
		d.log.Warn(msg, "network", n.Name, "uuid", n.UUID.String(), "err", err)
	}
}
