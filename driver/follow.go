package driver

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// Run follows what happens on the host until ctx ends: forwards go where their
// guests are, rules and dnsmasq that others took away come back, and changes that are
// not confirmed in time are undone. It must be called after Load, once; without a
// Watcher it does the last only.
func (d *Driver) Run(ctx context.Context) error {
	if d.cfg.Watcher == nil {
		return d.expire(ctx)
	}
	d.changes.put(Change{Kind: ChangeDnsmasq}) // of those that died before anybody watched
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.expire(ctx) })
	group.Go(func() error { return d.watch(ctx) })
	group.Go(func() error { return d.changes.guard(ctx, d) })
	group.Go(func() error { return d.changes.permit(ctx, d) })
	group.Go(func() error { return d.changes.serve(ctx, d) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Patience with what fails again and again: the first pause, and the longest.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// watch lets the Watcher tell, again when it gave up.
func (d *Driver) watch(ctx context.Context) error {
	for length := firstPause; ; length = min(2*length, longestPause) {
		began := time.Now()
		err := d.cfg.Watcher.Watch(ctx, d.changes.put)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > longestPause {
			length = firstPause
		}
		d.log.Error("nothing is heard from the host, trying again", "err", err, "step", length.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(length):
		}
	}
}

// pendingChanges is what was told and is not yet dealt with. What is told twice is dealt
// with once.
type pendingChanges struct {
	rules, filters, others chan struct{} // each holds a token when there is something to do

	mu      sync.Mutex        // guards what follows
	by      string            // who hurt our rules
	hurt    bool              // somebody did; else they are looked at first
	bus     bool              // firewalld is new
	shut    map[string]string // bridges whose traffic others' rules stop, and who changed those
	moved   map[string]bool
	plugged map[string]bool
	hosts   map[string]bool
	dead    map[string]bool
	calls   map[*network]bool // whose ports have changed

	forwarding map[string]bool // by link; "": the host's may be switched off
	routes     bool            // the host's ways out may be others
}

func newPendingChanges() *pendingChanges {
	slot := func() chan struct{} { return make(chan struct{}, 1) }
	return &pendingChanges{
		rules: slot(), filters: slot(), others: slot(),
		shut: map[string]string{}, moved: map[string]bool{}, plugged: map[string]bool{}, hosts: map[string]bool{}, dead: map[string]bool{}, calls: map[*network]bool{},
		forwarding: map[string]bool{},
	}
}

// notify puts a token into a slot.
func notify(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// put takes a change down. It blocks nobody.
func (w *pendingChanges) put(c Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch c.Kind {
	case ChangeRules:
		switch {
		case c.Elsewhere:
			w.shut[c.Link] = c.By
		case c.Ours:
			w.by, w.hurt = c.By, w.hurt || !c.Missed
			notify(w.rules)
		}
		notify(w.filters)
		return
	case ChangeFirewalld:
		w.bus = true
		notify(w.filters)
	case ChangeLeases, ChangeNeighbours:
		w.moved[c.Link] = true
	case ChangePorts:
		w.plugged[c.Link] = true
	case ChangeAddresses:
		w.hosts[c.Link] = true
	case ChangeForwarding:
		w.forwarding[c.Link] = true
	case ChangeRoutes:
		w.routes = true
	case ChangeDnsmasq:
		w.dead[c.Network] = true
	}
	notify(w.others)
}

// call has a network looked at whose ports have changed.
func (w *pendingChanges) call(n *network) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[n] = true
	notify(w.others)
}

// guard puts rules that others removed in again. It waits for nobody: a network
// whose turn is held for long has rules to lose, too.
func (w *pendingChanges) guard(ctx context.Context, d *Driver) error {
	length := firstPause
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.rules:
		}
		w.mu.Lock()
		by, hurt := w.by, w.hurt
		w.hurt = false
		w.mu.Unlock()
		if !hurt && !d.lacksRules(ctx) {
			continue
		}
		began := time.Now()
		bridges, err := d.heal(ctx)
		d.tellHealed(bridges, by, time.Since(began))
		if err == nil || ctx.Err() != nil {
			length = firstPause
			continue
		}
		d.log.Error("firewall rules removed and not restored, trying again", "by", by, "err", err, "step", length.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(length):
		}
		length = min(2*length, longestPause)
		w.put(Change{Kind: ChangeRules, By: by, Ours: true})
	}
}

// permit sees to it that what others filter lets our guests' traffic pass.
func (w *pendingChanges) permit(ctx context.Context, d *Driver) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.filters:
		}
		w.mu.Lock()
		bus, shut := w.bus, w.shut
		w.bus, w.shut = false, map[string]string{}
		w.mu.Unlock()
		if bus {
			d.rezone(ctx)
		}
		began := time.Now()
		err := d.sys.Run(ctx, step.RepairForeignTables{})
		switch {
		case err == nil:
			d.tellAccepted(shut, time.Since(began))
		case ctx.Err() == nil:
			d.log.Warn("what others filter may stop guests", "err", err)
		}
	}
}

// rezone puts bridges into their firewalld zones again.
func (d *Driver) rezone(ctx context.Context) {
	each(ctx, d.networks(), func(ctx context.Context, n *network) {
		d.withRunning(ctx, n, "setting the zone of", func(v *view) {
			for _, s := range v.steps {
				if op, ok := s.Do.(step.SetZone); ok {
					d.warn("setting the firewalld zone", n.ref, d.run(ctx, op))
				}
			}
		})
	})
}

// withRunning calls do with the turn of a network taken, if it runs.
func (d *Driver) withRunning(ctx context.Context, n *network, what string, do func(*view)) {
	if v := n.view.Load(); v == nil || !v.active() || !v.live.OwnsBridge() {
		return
	}
	if err := d.begin(ctx, n, what); err != nil {
		if ctx.Err() == nil {
			d.warn("what happened on the host waits for its next change", n.ref, err)
		}
		return
	}
	defer n.end()
	if v := n.view.Load(); !n.gone && v != nil && v.active() {
		do(v)
	}
}

// serve deals with the networks that changes are about, several at a time, and
// each by one at a time.
func (w *pendingChanges) serve(ctx context.Context, d *Driver) error {
	follow := newWorkQueue(func(n *network) { d.follow(ctx, n) }, func(length time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(length):
			return true
		}
	})
	services := newWorkQueue(func(n *network) { d.repair(ctx, n, d.dnsmasqOf(n)) }, nil)
	links := newWorkQueue(func(n *network) { d.repair(ctx, n, d.bridgeOf(n)) }, nil)
	defer follow.wait()
	defer services.wait()
	defer links.wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.others:
		}
		w.mu.Lock()
		moved, plugged, hosts, dead, calls, forwarding, routes := w.moved, w.plugged, w.hosts, w.dead, w.calls, w.forwarding, w.routes
		w.forwarding, w.routes, w.plugged = map[string]bool{}, false, map[string]bool{}
		w.moved, w.hosts, w.dead, w.calls = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[*network]bool{}
		w.mu.Unlock()
		var bridges []string
		if len(hosts) > 0 {
			bridges = d.bridges()
		}
		if routes && d.asks.Load() { // the host may have a way out for IPv6 now, or none
			notify(d.retired)
		}
		for _, n := range d.networks() {
			v := n.view.Load()
			if v == nil || !v.active() {
				continue
			}
			bridge := v.live.Bridge.Name
			leased := moved[""] || moved[bridge]
			switch { // what is for one network comes first: a change is for few of a thousand
			case leased && (v.moves() || v.numbered()), calls[n] && v.moves():
				follow.add(n)
			case (calls[n] || plugged[""] || plugged[bridge]) && v.guards():
				follow.add(n)
			case (routes || len(hosts) > 0) && v.moves() && (routes && v.egresses() || v.concerns(hosts, bridges)):
				follow.add(n)
			}
			if forwarding[""] || forwarding[bridge] || hosts[""] || hosts[bridge] {
				links.add(n)
			}
			if dead[""] || dead[n.ref.Name] {
				services.add(n)
			}
		}
	}
}

// moves reports whether what leads to a running network's guests, or what they may send
// from, depends on where they are.
func (v *view) moves() bool {
	if v.resolution == nil || v.resolution.Ext == nil {
		return false
	}
	return v.leads() || v.egresses() || plan.Learns(v.resolution.Ext)
}

// leads reports whether something leads to a running network's guests.
func (v *view) leads() bool {
	return len(v.resolution.Ext.Forwards)+len(v.resolution.Ext.Publics) > 0 || v.proxies() || v.resolution.Ext.Firewall.Offload
}

// guards reports whether a running network's ports are guarded.
func (v *view) guards() bool {
	return v.resolution != nil && v.resolution.Ext != nil && plan.Guards(v.live, v.resolution.Ext)
}

// egresses reports whether the guests of a running network leave by uplinks of its own.
func (v *view) egresses() bool { return len(v.resolution.Ext.Uplinks) > 0 }

// proxies reports whether the host answers for a running network's guests on its
// uplink.
func (v *view) proxies() bool { return v.live.Advertise != nil && v.live.Advertise.ProxyNDP != "" }

// concerns reports whether the addresses of some links matter to a running
// network: those that it listens on, or that guests must not take, or that its
// connections go by. Bridges are those of all networks.
func (v *view) concerns(links map[string]bool, bridges []string) bool {
	if len(links) == 0 {
		return false
	}
	if links[""] || v.proxies() || len(v.resolution.Ext.Publics) > 0 {
		return true
	}
	if v.resolution.Ext.Firewall.Offload && v.live.Forward.Dev() == "" && elsewhere(links, bridges) {
		return true
	}
	for i := range v.resolution.Ext.Forwards {
		if links[v.resolution.Ext.Forwards[i].Dev] {
			return true
		}
	}
	return false
}

// elsewhere reports whether some links are not bridges of networks.
func elsewhere(links map[string]bool, bridges []string) bool {
	own := make(map[string]bool, len(bridges))
	for _, b := range bridges {
		own[b] = true
	}
	for link := range links {
		if !own[link] {
			return true
		}
	}
	return false
}

// Pauses between two looks at one network while it is asked for again and again:
// the first, and the longest. A guest can have the host see a new neighbour with
// each packet.
const (
	firstRest   = 20 * time.Millisecond
	longestRest = time.Second
)

// follow does what is different where the guests of a network are now. Where it is
// in doubt who is where, guests are asked, without the network's turn, and it is
// looked once more; what stays open is looked at again later.
func (d *Driver) follow(ctx context.Context, n *network) {
	doubts := d.locate(ctx, n, nil)
	if len(doubts) > 0 {
		if asked := d.askGuests(ctx, n, doubts); asked != nil {
			d.locate(ctx, n, asked)
		}
	}
	if v := n.view.Load(); v != nil {
		d.recheck(n, v.resolution)
	}
}

// askGuests asks on a network's bridge who has some addresses.
func (d *Driver) askGuests(ctx context.Context, n *network, addrs []netip.Addr) *plan.Asked {
	v := n.view.Load()
	if v == nil || !v.active() {
		return nil
	}
	answers, err := d.cfg.Watcher.Ask(ctx, v.live.Bridge.Name, addrs)
	if err != nil {
		d.log.Debug("asking for guests", "network", n.ref.Name, "err", err) // a bridge that goes
		return nil
	}
	return &plan.Asked{Addresses: addrs, Answers: answers}
}

// locate looks where a network's guests are, and returns which addresses are to be
// asked for.
func (d *Driver) locate(ctx context.Context, n *network, asked *plan.Asked) (doubts []netip.Addr) {
	d.withRunning(ctx, n, "following the guests of", func(v *view) {
		select {
		case d.slots <- struct{}{}:
			defer func() { <-d.slots }()
		case <-ctx.Done():
			return
		}
		d.warn("dnsmasq has numbers of guests that are gone", n.ref, d.renumberOnRequest(n, v))
		if err := d.catchUp(ctx, n, v, asked); err != nil && ctx.Err() == nil {
			d.warn("forwards lead to where guests were", n.ref, err)
		}
		if now := n.view.Load(); now.resolution != nil {
			doubts = now.resolution.Doubts
		}
	})
	return doubts
}

// recheck has a network looked at again after a pause, which grows while nothing
// changes, if something about it is open.
func (d *Driver) recheck(n *network, resolution *plan.Resolution) {
	r := &n.rechecks
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
	if resolution == nil || d.cfg.Watcher == nil {
		return
	}
	if !resolution.Same(r.last) {
		r.last, r.count = resolution, 0
	}
	if resolution.Open(r.count) {
		r.timer = time.AfterFunc(plan.Recheck(r.count), func() { d.changes.call(n) })
		r.count++
	}
}

// rechecks is when a network is looked at again, and how often it was without a
// change.
type rechecks struct {
	mu    sync.Mutex // guards what follows
	timer *time.Timer
	last  *plan.Resolution
	count int
}

// catchUp makes a running network's firewall, routes and answers those of where
// its guests are. Its turn is held.
func (d *Driver) catchUp(ctx context.Context, n *network, v *view, asked *plan.Asked) error {
	if !v.moves() && !v.guards() {
		return nil
	}
	next := *v
	found := d.survey(ctx, n, v, v.resolution.Ext, nil, asked)
	made, unclaim, err := d.claimPorts(ctx, n, v.live, v.resolution, found, false)
	if err != nil {
		return err
	}
	next.resolution = made
	d.tellClaims(n, v.resolution, made)
	if next.resolution.Same(v.resolution) {
		d.saveMemory(n, v.resolution, next.resolution)
		n.view.Store(&next)
		return nil
	}
	d.warnWithheld(n, v.resolution, next.resolution)
	c := &conversion{d: d, n: n, from: v, to: &next}
	if err := c.follow(ctx); err != nil {
		unclaim()
		return fmt.Errorf("following guests: %w", err)
	}
	n.view.Store(&next)
	d.tellGuests(n, v.resolution, next.resolution)
	d.tellUplinks(n, v.resolution, next.resolution)
	if !v.leads() {
		d.log.Debug("ports guarded", "network", n.ref.Name, "uuid", n.ref.UUID.String())
		return nil
	}
	d.log.Info("forwards follow their guests", "network", n.ref.Name, "uuid", n.ref.UUID.String())
	return nil
}

// newSlots bounds how many networks are looked at side by side.
func newSlots() chan struct{} { return make(chan struct{}, 2*runtime.NumCPU()) }
