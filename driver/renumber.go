package driver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// Renumber gives running networks with advprefix='auto' the prefix that the pool
// now has for them, and takes former prefixes and subnets away whose time is up, of
// all networks. Guests are told to move first: a former prefix stays on the bridge, in the firewall and in
// advertisements, as a deprecated one, for as long as it is valid (RFC 9096).
//
// It returns how long until the next prefix is to go; 0: there is none.
func (d *Driver) Renumber(ctx context.Context) (time.Duration, error) {
	d.followUplinks()
	var errs []error
	var again time.Duration // of networks that start while something is delegated
	for _, n := range d.networks() {
		v := n.view.Load()
		if (v == nil || !v.active()) && n.job.Load() != nil && d.asks.Load() {
			again = time.Second
		}
		if v == nil || !v.active() || !follows(v.live) && !retires(v.live) {
			continue
		}
		if err := d.renumber(ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("renumbering network %q: %w", n.ref.Name, err))
		}
	}
	d.warnShort()
	next, err := d.nextCleanup()
	next = sooner(sooner(next, again), d.nextPromise(time.Now()))
	return next, errors.Join(append(errs, err)...)
}

// follows reports whether a running network's prefix follows the pool.
func follows(live *xml.Network) bool { return live.Advertise != nil && live.Advertise.From == "auto" }

// retires reports whether a running network has prefixes or subnets that are on their
// way out.
func retires(live *xml.Network) bool {
	return live.Advertise != nil && len(live.Advertise.Deprecated) > 0 || slices.ContainsFunc(live.IPs, func(ip xml.IP) bool { return ip.Until > 0 })
}

// Retired says when a running network has got a former prefix: the next Renumber is
// to come when its time is up.
func (d *Driver) Retired() <-chan struct{} { return d.retired }

// succeed returns a running definition whose prefix was changed by hand, with the one
// before as a former one, as [Driver.Renumber] leaves it: guests have addresses in it.
func (d *Driver) succeed(n *network, was *xml.Advertise, made *xml.Network) (*xml.Network, error) {
	if was == nil {
		return made, nil
	}
	old, _ := was.Address()
	now, _ := made.Advertise.Address()
	valid := time.Duration(min(was.Valid(), maxValid)) * time.Second
	defer notify(d.retired)
	return d.retire(n, made, func(c *state.Choice) { c.Retire(old, now, valid, time.Now()) })
}

// retire changes what is known of a network's former prefixes, drops those whose time
// is up, and returns the running definition with those that are left.
func (d *Driver) retire(n *network, live *xml.Network, change func(*state.Choice)) (*xml.Network, error) {
	was, err := d.choices.Of(n.ref.UUID)
	if err != nil {
		return nil, err
	}
	made := &state.Choice{}
	if was != nil {
		*made = *was
		made.Former = slices.Clone(was.Former)
	}
	made.Network = n.ref.Name
	made.Expire(time.Now())
	change(made)
	if was == nil && len(made.Former) > 0 || was != nil && !reflect.DeepEqual(was, made) {
		if err := d.choices.Save(n.ref.UUID, made); err != nil {
			return nil, err
		}
	}
	next := live.Clone()
	current, _ := next.Advertise.Address()
	next.Advertise.Deprecated = slices.DeleteFunc(made.Deprecated(), func(p netip.Prefix) bool { return p.Masked() == current.Masked() })
	return next, nil
}

// renumbered returns a running definition with the prefixes and subnets that it is to
// have now.
func (d *Driver) renumbered(ctx context.Context, n *network, live *xml.Network) (*xml.Network, error) {
	live, _ = plan.Expire(live, time.Now())
	switch {
	case live.Advertise == nil:
		return live, nil
	case !follows(live):
		return d.retire(n, live, func(*state.Choice) {})
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return nil, err
	}
	asked := live.Clone()
	a := asked.Advertise
	a.Prefix, a.From, a.Live, a.Deprecated = "auto", "", xml.Advertised{}, nil
	return d.choose(ctx, n, asked, facts)
}

func (d *Driver) renumber(ctx context.Context, n *network) error {
	if err := d.begin(ctx, n, "renumbering"); err != nil {
		return err
	}
	defer n.end()
	v := n.view.Load()
	if n.gone || v == nil || !v.active() || !follows(v.live) && !retires(v.live) {
		return nil
	}
	made, err := d.renumbered(ctx, n, v.live)
	if err != nil {
		return err
	}
	if made.Format(0) == v.live.Format(0) {
		return nil
	}
	next := *v
	next.live = made
	c := &conversion{d: d, n: n, from: v, to: &next}
	if err := c.run(ctx); err != nil {
		return err
	}
	n.view.Store(&next)
	d.log.Info("network renumbered", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "subnets", made.Prefixes(nil))
	return nil
}

// nextCleanup returns how long until the first former prefix or subnet of a network
// that runs is to go; 0: there is none.
func (d *Driver) nextCleanup() (time.Duration, error) {
	var next time.Duration
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || !retires(v.live) {
			continue
		}
		if _, at := plan.Expire(v.live, time.Now()); !at.IsZero() {
			next = sooner(next, max(time.Until(at), time.Second))
		}
		c, err := d.choices.Of(n.ref.UUID)
		if err != nil {
			return 0, err
		}
		if c == nil {
			continue
		}
		for _, f := range c.Former {
			next = sooner(next, max(time.Until(time.Unix(f.Until, 0)), time.Second))
		}
	}
	return next, nil
}
