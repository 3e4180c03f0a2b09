package driver

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/xml"
)

// network is one network. Its name and UUID never change.
//
// Whoever changes it holds its turn, for as long as that takes: hooks and
// dnsmasq included. Readers need no turn: they look at the view, which is
// replaced as a whole when a change has succeeded, and so see the network as
// it was before or as it is after, never halfway.
type network struct {
	ref  Ref
	turn chan struct{}        // one slot; in it: somebody is changing the network
	job  atomic.Pointer[job]  // who; nil for a moment around begin and end
	view atomic.Pointer[view] // nil: not yet (define, create) or no longer (gone) a network
	gone bool                 // no longer in the registry; guarded by turn

	recorded *xml.Network // persistent definition that is the last of the history; guarded by turn

	counters counters

	// Of the jobs that repair its dnsmasq and its bridge:
	deaths, losses backoff
	bridgeless     bool // it was said that the bridge is gone

	rechecks rechecks

	bridge   string         // bridge name that a definition on its way in has claimed; guarded by Driver.mu
	incoming []*xml.Network // definitions on their way in, for their prefixes; guarded by Driver.mu
}

// view is a network at one moment. It and all it points to are never changed.
type view struct {
	live   *xml.Network // running definition; nil: inactive
	config *xml.Network // persistent definition; nil: transient
	made   *xml.Network // config with what its metadata adds; nil: transient

	autostart bool
	status    xml.Status // its files' but for the definition, of the running network

	ports  ports          // of the running network
	guests dnsmasq.Guests // what the running network's guest file holds; nil: not read yet, or none

	resolution *plan.Resolution // where the running network's guests are; nil: not looked for yet
	steps      []step.Step      // those that lead to them, and filter: plan.Firewall's
}

// def returns the definition that counts: the running one, else the
// persistent one.
func (v *view) def() *xml.Network {
	if v.live != nil {
		return v.live
	}
	return v.config
}

func (v *view) active() bool     { return v.live != nil }
func (v *view) persistent() bool { return v.config != nil }

// defs returns the definitions that there are, with what their metadata adds.
func (v *view) defs() []*xml.Network {
	var list []*xml.Network
	for _, def := range []*xml.Network{v.live, v.made} {
		if def != nil {
			list = append(list, def)
		}
	}
	return list
}

// job is one change that is under way.
type job struct {
	what  string // "starting"
	since time.Time
}

func newNetwork(ref Ref) *network {
	return &network{ref: ref, turn: make(chan struct{}, 1)}
}

// begin waits until nobody changes a network, takes its turn, and says what for.
// The turn is given back by end.
//
// A hook script may ask us to change the very network that it runs for. With
// libvirt that blocks for ever. Here it fails once one job has held the network
// for the driver's patience; so does every other wait of that length, with the
// job's name, as libvirt's hypervisor drivers do. Many short jobs in a row are no
// reason to fail. What has not begun when the daemon is to end does not begin.
func (d *Driver) begin(ctx context.Context, n *network, what string) (err error) {
	select {
	case n.turn <- struct{}{}:
	default:
		quota.Idle(ctx, func() { err = d.queue(ctx, n, what) })
	}
	if err == nil {
		n.job.Store(&job{what: what, since: time.Now()})
	}
	return err
}

// queue waits for the turn of a network.
func (d *Driver) queue(ctx context.Context, n *network, what string) error {
	for {
		wait := d.cfg.Patience
		if j := n.job.Load(); j != nil {
			wait -= time.Since(j.since)
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case n.turn <- struct{}{}:
			timer.Stop()
			return nil
		case <-d.cfg.Stopping:
			timer.Stop()
			return &Error{Kind: KindOperationFailed, Msg: fmt.Sprintf("cannot begin %s network '%s': virbrd is stopping", what, n.ref.Name)}
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s network %q: %w", what, n.ref.Name, ctx.Err())
		case <-timer.C:
		}
		if j := n.job.Load(); j != nil && time.Since(j.since) >= d.cfg.Patience {
			return &Error{Kind: KindOperationTimeout, Msg: fmt.Sprintf(
				"cannot begin %s network '%s': it is held by %s, for %d seconds now",
				what, n.ref.Name, j.what, int(time.Since(j.since).Seconds()))}
		}
	}
}

// take takes the turn of a network that nobody else knows yet.
func (n *network) take(what string) {
	n.turn <- struct{}{}
	n.job.Store(&job{what: what, since: time.Now()})
}

// end gives the turn back.
func (n *network) end() {
	n.job.Store(nil)
	<-n.turn
}
