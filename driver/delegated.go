package driver

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/delegation"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// Delegations tells what upstream routers delegate to this host. Package
// delegation/client satisfies it.
type Delegations interface {
	// Follow names the uplinks that matter, and how long a prefix is wished for; 0:
	// whatever there is.
	Follow(links map[string]int)
	// Of returns what is delegated by an uplink now.
	Of(link string) delegation.Status
	// Changed says when some delegation changed.
	Changed() <-chan struct{}
}

// supply is a prefix that networks get subnets of.
type supply struct {
	prefix, exclude netip.Prefix
	live            xml.Advertised
}

// supplies returns the prefixes that a network can have a subnet of, and whether routers
// are to delegate some of them.
func (d *Driver) supplies(a *xml.Advertise, now time.Time) (list []supply, delegated bool) {
	pools := d.currentPools()
	if a.Uplink != "" {
		pools.IPv6, pools.Uplinks = nil, []Uplink{{Link: a.Uplink}}
	}
	if d.cfg.Delegations == nil { // the hook's, which asks nobody
		pools.Uplinks = nil
	}
	for _, u := range pools.Uplinks {
		lease := d.cfg.Delegations.Of(u.Link).Lease
		for _, p := range lease.Prefixes {
			if seconds, _ := p.Advertised(lease.Renew, now); seconds > 0 {
				list = append(list, supply{p.Prefix, p.Exclude, xml.Advertised{Via: u.Link, Valid: seconds}})
			}
		}
	}
	for _, p := range pools.IPv6 {
		list = append(list, supply{prefix: p})
	}
	return list, len(pools.Uplinks) > 0
}

// has reports whether a subnet is one of the supply.
func (s supply) has(p netip.Prefix) bool {
	return p.IsValid() && s.prefix.Contains(p.Addr()) && !(s.exclude.IsValid() && s.exclude.Overlaps(p))
}

// subnet returns the /64 of a number; false: there is none of it.
func (s supply) subnet(number *uint32) (p netip.Prefix, ok bool) {
	room := 64 - s.prefix.Bits()
	if number == nil || room < 32 && *number>>room != 0 {
		return p, false
	}
	a := s.prefix.Masked().Addr().As16()
	binary.BigEndian.PutUint64(a[:8], binary.BigEndian.Uint64(a[:8])|uint64(*number))
	p = netip.PrefixFrom(netip.AddrFrom16(a), 64)
	return p, s.has(p)
}

// number returns the number of a /64; nil: it is too large to be kept.
func (s supply) number(p netip.Prefix) *uint32 {
	whole, a := s.prefix.Masked().Addr().As16(), p.Addr().As16()
	n := binary.BigEndian.Uint64(a[:8]) - binary.BigEndian.Uint64(whole[:8])
	if n>>32 != 0 {
		return nil
	}
	number := uint32(n)
	return &number
}

// followUplinks has the uplinks followed that the pool, a network, or a definition that
// is about to run names.
func (d *Driver) followUplinks(coming ...*xml.Network) {
	if d.cfg.Delegations == nil {
		return
	}
	for _, n := range d.networks() {
		if v := n.view.Load(); v != nil {
			coming = append(coming, v.defs()...)
		}
	}
	links := map[string]int{}
	for _, def := range coming {
		if a := def.Advertise; a != nil && a.Uplink != "" {
			links[a.Uplink] = 0
		}
	}
	for _, u := range d.currentPools().Uplinks {
		links[u.Link] = u.Bits
	}
	d.asks.Store(len(links) > 0)
	d.cfg.Delegations.Follow(links)
}

// Delegated says when a delegation changed: the next Renumber is due.
func (d *Driver) Delegated() <-chan struct{} {
	if d.cfg.Delegations == nil {
		return nil
	}
	return d.cfg.Delegations.Changed()
}

// nextPromise returns how long until what is promised of a delegated prefix is to be
// looked at again; 0: there is none.
func (d *Driver) nextPromise(now time.Time) time.Duration {
	var next time.Duration
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || v.live.Advertise == nil || v.live.Advertise.Live.Via == "" {
			continue
		}
		lease := d.cfg.Delegations.Of(v.live.Advertise.Live.Via).Lease
		for _, p := range lease.Prefixes {
			if addr, ok := v.live.Advertise.Address(); ok && p.Prefix.Contains(addr.Addr()) {
				_, at := p.Advertised(lease.Renew, now)
				next = sooner(next, max(at.Sub(now), time.Second))
			}
		}
	}
	return next
}

// sooner returns the shorter of two times until something; 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// delegates reports whether a running network follows what routers delegate.
func (d *Driver) delegates(live *xml.Network) bool {
	return follows(live) && (live.Advertise.Uplink != "" || len(d.currentPools().Uplinks) > 0)
}

// warnShort logs which networks go without a subnet of what routers delegate, although
// they delegate something: it is too little for all.
func (d *Driver) warnShort() {
	var names []string
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || !d.delegates(v.live) {
			continue
		}
		addr, _ := v.live.Advertise.Address()
		if list, _ := d.supplies(v.live.Advertise, time.Now()); len(list) > 0 && xml.Local(addr) {
			names = append(names, n.ref.Name)
		}
	}
	slices.Sort(names)
	text := strings.Join(names, ", ")
	d.mu.Lock()
	said := d.short
	d.short = text
	d.mu.Unlock()
	if text != said && text != "" {
		d.log.Warn("routers delegate too little for all networks: these have a local prefix instead; ask for more by a length in prefix_pool, as in \"delegated:eth0/56\"", "networks", text)
	}
}

// warnUnrouted says what to check of a prefix that somebody has just written for a network,
// where nothing tells that it is routed to this host.
func (d *Driver) warnUnrouted(ctx context.Context, ref Ref, before, def *xml.Network) {
	if def == nil || def.Advertise == nil || before != nil && before.Advertise != nil && before.Advertise.Prefix == def.Advertise.Prefix {
		return
	}
	own, ok := def.Advertise.Address()
	list, _ := d.supplies(&xml.Advertise{}, time.Now())
	if !ok || xml.Local(own) || slices.ContainsFunc(list, func(s supply) bool { return s.prefix.Contains(own.Addr()) }) {
		return
	}
	facts, err := d.sys.Facts(ctx)
	if err != nil {
		return // who starts the network hears of it
	}
	if check := plan.Unrouted(def, &facts); check != "" {
		d.log.Warn("nothing here tells that the network's prefix is routed to this host", "network", ref.Name, "prefix", own.Masked(), "check", check)
	}
}
