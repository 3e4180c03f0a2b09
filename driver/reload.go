package driver

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"

	"github.com/virbr/virbr/quota"
)

// Reload is for SIGHUP: it looks for hook scripts again, reads new and changed
// definitions, puts firewall rules in again, starts the dnsmasq of running
// networks that died, and starts inactive networks with autostart. Running
// networks keep their definitions and counters. Definitions whose files are
// gone stay, as with libvirt.
func (d *Driver) Reload(ctx context.Context) error {
	d.hooks.Scan()
	d.hooks.Daemon(ctx, hooks.DaemonReload)
	d.loadAll("definition", d.dirs.Definitions, func(name string) error { return d.loadConfig(ctx, name) })
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return err
	}
	d.refresh(ctx, facts)
	var due []*network
	for _, n := range d.networks() {
		if n.awaitsStart() && d.begin(ctx, n, "starting") == nil {
			due = append(due, n)
		}
	}
	d.startTogether(ctx, due)
	return nil
}

// StartAll tells the hooks of ports that outlived the last daemon and starts the
// networks with autostart that Load held, several at a time. It returns when all
// are up or have failed, which is logged. It must be called after Load; requests may
// be served meanwhile.
func (d *Driver) StartAll(ctx context.Context) {
	d.mu.Lock()
	held := d.held
	d.held = nil
	d.mu.Unlock()
	var reclaiming sync.WaitGroup
	defer reclaiming.Wait()
	reclaiming.Go(func() { d.reclaimPorts(ctx) })
	d.startTogether(ctx, held)
	if ctx.Err() != nil && len(held) > 0 { // cut short: the next start goes on
		return
	}
	d.warn("marking that autostart was done", Ref{}, retryOnce(d.dirs.MarkAutostarted))
}

// holdAutostart takes the turns of the networks that StartAll is to start.
func (d *Driver) holdAutostart() {
	for _, n := range d.networks() {
		if n.awaitsStart() {
			n.take("waiting for autostart of")
			d.held = append(d.held, n)
		}
	}
}

// startTogether starts networks whose turns are held, and gives these back.
func (d *Driver) startTogether(ctx context.Context, list []*network) {
	d.chooseInOrder(ctx, list)
	each(ctx, list, func(ctx context.Context, n *network) {
		defer n.end()
		n.job.Store(&job{what: "starting", since: time.Now()})
		d.autostart(ctx, n)
	})
}

// awaitsStart reports whether a network is to run by autostart, and does not.
func (n *network) awaitsStart() bool {
	v := n.view.Load()
	return v != nil && v.autostart && !v.active()
}

// autostart starts a network, whose turn is held, if that is due.
func (d *Driver) autostart(ctx context.Context, n *network) {
	if n.gone || !n.awaitsStart() {
		return
	}
	v := n.view.Load()
	next := *v
	if err := d.bringUp(ctx, n, v.config, &next); err != nil {
		d.log.Error("autostart failed", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "err", err)
		failure := &state.Failure{Time: time.Now().Unix(), Error: err.Error()}
		d.warn("keeping why the network did not start", n.ref, d.dirs.Failures().Write(n.ref.UUID, failure))
		return
	}
	n.view.Store(&next)
}

// refresh sees to the firewall rules and dnsmasq of every running network. It
// reports whether all of them have their rules.
func (d *Driver) refresh(ctx context.Context, facts step.Facts) bool {
	var bare atomic.Bool
	narrower := d.narrower()
	each(ctx, d.networks(), func(ctx context.Context, n *network) {
		v := n.view.Load()
		switch {
		case v == nil || !v.active() || !v.live.OwnsBridge():
			return
		case v.live.Fault != nil && v.live.Fault.Partial:
			d.log.Warn("not all of the running definition can be read: the network's rules and dnsmasq stay as they are", "network", n.ref.Name)
			bare.Store(true)
			return
		}
		if err := d.begin(ctx, n, "refreshing"); err != nil {
			d.warn("refreshing the network", n.ref, err)
			bare.Store(true)
			return
		}
		defer n.end()
		if v := n.view.Load(); v != nil && v.active() {
			v, err := d.refreshFirewall(ctx, n, v, facts, narrower[n])
			if err != nil {
				bare.Store(true)
			}
			d.warn("putting firewall rules in again", n.ref, err)
			d.warn("restoring the network", n.ref, d.restoreRest(ctx, n, v, &facts))
		}
	})
	return !bare.Load()
}

// refreshFirewall puts a running network's rules in again, over those that are
// there: the table may have been flushed, or be of an older version of ours. It
// looks anew where guests are; what led to them where they were goes. Narrower are
// subnets of others within the network's own.
func (d *Driver) refreshFirewall(ctx context.Context, n *network, v *view, facts step.Facts, narrower []netip.Prefix) (*view, error) {
	next := *v
	if err := d.restore(ctx, n, &next, &facts, narrower); err != nil {
		return v, err
	}
	d.holdClaims(n, next.resolution)
	d.saveMemory(n, v.resolution, next.resolution)
	n.view.Store(&next)
	return &next, d.resume(ctx, n, next.steps, false)
}

// filters reports whether an op is of the steps that [plan.Firewall] makes.
func filters(op step.Op) bool {
	scope := step.ScopeOf(op)
	return scope == step.ScopeFirewall || scope == step.ScopeGuests
}

// restoreRest sees to all that a running network needs but what filters and leads to
// guests: what others took from its bridge comes back, a dnsmasq that died is started. A
// living one is left alone; it reads its hosts files again if they are not what they
// should be.
func (d *Driver) restoreRest(ctx context.Context, n *network, v *view, facts *step.Facts) error {
	steps, err := plan.Kept(v.live, v.resolution, facts, plan.Dirs(d.dirs.Served()))
	if err != nil {
		return err
	}
	return d.resume(ctx, n, steps, true)
}

// each calls do for every network, as many at a time as there are processors, not
// counting those that wait for a hook script or for their network, and returns
// when all calls have.
func each(ctx context.Context, list []*network, do func(context.Context, *network)) {
	var wg sync.WaitGroup
	workers, own := quota.NewSemaphore(int64(runtime.NumCPU())), quota.User{Class: quota.Root}
	for _, n := range list {
		// Also where ctx has ended: turns that are held must be given back.
		_ = workers.Acquire(context.WithoutCancel(ctx), nil, own, 1)
		wg.Go(func() {
			defer workers.Release(own, 1)
			do(workers.With(ctx, own), n)
		})
	}
	wg.Wait()
}
