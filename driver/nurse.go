package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/virbr/virbr/driver/plan"
)

// illness is what is known about a dnsmasq that dies. It is the errand's that
// nurses the network.
type illness struct {
	deaths  int       // in a row
	started time.Time // when it was last started after it had died
}

// recovered is how long a dnsmasq must live until its deaths no longer count.
const recovered = time.Minute

// wait returns how long to wait before the next start: the first is at once.
func (i *illness) wait(now time.Time) time.Duration {
	if now.Sub(i.started) > recovered {
		i.deaths = 0
	}
	i.deaths++
	if i.deaths == 1 {
		return 0
	}
	return min(firstPause<<min(i.deaths-2, 10), longestPause)
}

// nurse starts the dnsmasq of a running network that died, at once, and then at
// longer and longer intervals while it dies again or does not start.
func (d *Driver) nurse(ctx context.Context, n *network) {
	for well := false; !well; {
		ill := false
		d.withRunning(ctx, n, "looking after dnsmasq of", func(v *view) { ill = d.ill(n, v) })
		if !ill {
			return
		}
		wait := n.illness.wait(time.Now())
		d.log.Warn("dnsmasq died, starting it anew", "network", n.ref.Name, "deaths", n.illness.deaths, "in", wait.String())
		d.emit(Event{Kind: EventDnsmasqDied, Network: n.ref, Deaths: n.illness.deaths, Wait: wait})
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		well = true // also where the network has been stopped meanwhile
		d.withRunning(ctx, n, "starting dnsmasq of", func(v *view) {
			if !d.ill(n, v) {
				return
			}
			err := d.revive(ctx, n, v)
			n.illness.started = time.Now()
			if err != nil {
				well = ctx.Err() != nil
				d.log.Error("dnsmasq does not start", "network", n.ref.Name, "err", err)
				d.emit(Event{Kind: EventDnsmasqFailed, Network: n.ref, Deaths: n.illness.deaths, Reason: err.Error()})
				return
			}
			n.counters.restarts.Add(1)
			d.log.Info("dnsmasq serves again", "network", n.ref.Name, "uuid", n.ref.UUID.String())
			d.emit(Event{Kind: EventDnsmasqStarted, Network: n.ref, Deaths: n.illness.deaths})
		})
	}
}

// ill reports whether a running network lacks its dnsmasq.
func (d *Driver) ill(n *network, v *view) bool {
	steps, err := plan.Serve(v.live, nil, plan.Dirs(d.dirs.Served()))
	return err == nil && len(steps) > 0 && !d.sys.DnsmasqAlive(d.dirs.Served().PidFile(n.ref.Name))
}

// revive starts the dnsmasq of a running network.
func (d *Driver) revive(ctx context.Context, n *network, v *view) error {
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return fmt.Errorf("starting dnsmasq of network %q: %w", n.ref.Name, err)
	}
	return d.restoreRest(ctx, n, v, &facts)
}
