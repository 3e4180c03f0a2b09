package driver

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// backoff says how long to wait before something is done once more that is needed again
// and again: the first time it is done at once, and then at longer and longer intervals.
type backoff struct {
	count int       // in a row
	last  time.Time // when it was done last
}

// recovered is how long all must be well until what was before no longer counts.
const recovered = time.Minute

func (b *backoff) wait(now time.Time) time.Duration {
	if now.Sub(b.last) > recovered {
		b.count = 0
	}
	b.count++
	if b.count == 1 {
		return 0
	}
	return min(firstPause<<min(b.count-2, 10), longestPause)
}

// aspect is one of the things about a running network that break by themselves, or by
// other programs. All are repaired in the same way.
type aspect struct {
	backoff *backoff
	broken  func(context.Context, *view) []step.Op // what is to be done again; none: all is well
	found   func(wait time.Duration, lacks []step.Op)
	done    func(lacks []step.Op, took time.Duration, err error)
}

// repair makes what a running network has lost what it should be, again and again until that
// has worked.
func (d *Driver) repair(ctx context.Context, n *network, a aspect) {
	for retry := true; retry; {
		var lacks []step.Op
		d.withRunning(ctx, n, "looking after", func(v *view) { lacks = a.broken(ctx, v) })
		if len(lacks) == 0 {
			return
		}
		wait := a.backoff.wait(time.Now())
		a.found(wait, lacks)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		retry = false // also where the network has been stopped meanwhile
		d.withRunning(ctx, n, "repairing", func(v *view) {
			began := time.Now()
			lacks := a.broken(ctx, v)
			if len(lacks) == 0 {
				return
			}
			err := d.restoreRest(ctx, n, v, nil)
			a.backoff.last = time.Now()
			a.done(lacks, time.Since(began), err)
			retry = err != nil && ctx.Err() == nil
		})
	}
}

// dnsmasqOf is that the dnsmasq of a network runs.
func (d *Driver) dnsmasqOf(n *network) aspect {
	b := &n.deaths
	return aspect{
		backoff: b,
		broken: func(_ context.Context, v *view) []step.Op {
			if d.dnsmasqDied(n, v) {
				return []step.Op{step.StartDnsmasq{PidFile: d.dirs.Served().PidFile(n.ref.Name)}}
			}
			return nil
		},
		found: func(wait time.Duration, _ []step.Op) {
			d.log.Warn("dnsmasq died, starting it anew", "network", n.ref.Name, "deaths", b.count, "in", wait.String())
			d.emit(Event{Kind: EventDnsmasqDied, Network: n.ref, Deaths: b.count, Wait: wait})
		},
		done: func(_ []step.Op, _ time.Duration, err error) {
			if err != nil {
				d.log.Error("dnsmasq does not start", "network", n.ref.Name, "err", err)
				d.emit(Event{Kind: EventDnsmasqFailed, Network: n.ref, Deaths: b.count, Reason: err.Error()})
				return
			}
			n.counters.restarts.Add(1)
			d.log.Info("dnsmasq serves again", "network", n.ref.Name, "uuid", n.ref.UUID.String())
			d.emit(Event{Kind: EventDnsmasqStarted, Network: n.ref, Deaths: b.count})
		},
	}
}

// dnsmasqDied reports whether a running network lacks its dnsmasq.
func (d *Driver) dnsmasqDied(n *network, v *view) bool {
	steps, err := plan.Serve(v.live, nil, plan.Dirs(d.dirs.Served()))
	return err == nil && len(steps) > 0 && !d.sys.DnsmasqAlive(d.dirs.Served().PidFile(n.ref.Name))
}

// bridgeOf is the bridge of a network with its addresses and routes, that it is up, and
// that the host forwards.
func (d *Driver) bridgeOf(n *network) aspect {
	return aspect{
		backoff: &n.losses,
		broken: func(ctx context.Context, v *view) []step.Op {
			missing, err := d.missingOf(ctx, v)
			d.warn("looking for what was taken away", n.ref, err)
			if d.bridgeGone(n, v, missing) {
				return nil // guests are to be plugged in again
			}
			return missing
		},
		found: func(wait time.Duration, missing []step.Op) {
			if wait > 0 {
				d.log.Warn("state of a network removed again, waiting before it is restored", "network", n.ref.Name, "missing", opTexts(missing), "in", wait.String())
			}
		},
		done: func(missing []step.Op, took time.Duration, err error) {
			if err != nil {
				d.warn("putting back what was taken away", n.ref, err)
				return
			}
			d.log.Warn("state of a network removed by another program, restored", "network", n.ref.Name, "missing", opTexts(missing), "took", took.String())
			d.emit(Event{Kind: EventRestored, Network: n.ref, Networks: len(missing), Reason: opTexts(missing), Took: took})
		},
	}
}

// bridgeGone reports whether the bridge itself is missing, which is said once.
func (d *Driver) bridgeGone(n *network, v *view, missing []step.Op) bool {
	gone := slices.ContainsFunc(missing, func(op step.Op) bool { _, bridge := op.(step.AddBridge); return bridge })
	if gone && !n.bridgeless {
		d.log.Error("the bridge of a running network was deleted: stop the network and start it again, and plug in its guests", "network", n.ref.Name, "bridge", v.live.Bridge.Name)
		d.emit(Event{Kind: EventRestored, Network: n.ref, Reason: "bridge " + v.live.Bridge.Name + " is gone"})
	}
	n.bridgeless = gone
	return gone
}

// missingOf returns what a running network has lost, but for rules.
func (d *Driver) missingOf(ctx context.Context, v *view) ([]step.Op, error) {
	steps, err := plan.Kept(v.live, v.resolution, nil, plan.Dirs(d.dirs.Served()))
	if err != nil {
		return nil, err
	}
	ops := []step.Op{step.AddBridge{Name: v.live.Bridge.Name, MAC: v.live.MAC}}
	for _, s := range steps {
		if !step.SwitchesOff(s.Do) { // who switched it on needs it
			ops = append(ops, s.Do)
		}
	}
	return d.cfg.Watcher.Missing(ctx, ops)
}

func opTexts(ops []step.Op) string {
	var list []string
	for _, op := range ops {
		list = append(list, op.String())
	}
	return strings.Join(list, "; ")
}
