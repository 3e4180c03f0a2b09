package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Pools are where addresses come from that definitions leave to us.
type Pools struct {
	// IPv4 is for <ip type='auto'>, which gets the first free /24. Prefixes of
	// 24 bits or fewer. Empty: DefaultIPv4.
	IPv4 []netip.Prefix
	// IPv6 is for advprefix='auto', which gets a free /64. Prefixes of 64 bits
	// or fewer. Empty: the host's own prefix is used.
	IPv6 []netip.Prefix
}

// DefaultIPv4 returns the usual candidates: libvirt's own subnet first, then
// what is above it, then a corner of 10.0.0.0/8.
func DefaultIPv4() []netip.Prefix {
	list := []netip.Prefix{}
	for _, text := range []string{"192.168.122.0/24", "192.168.123.0/24", "192.168.124.0/22", "192.168.128.0/17", "10.122.0.0/16"} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// SetPools changes the pools. Networks that run are renumbered by the next
// Load or Reload.
func (d *Driver) SetPools(p Pools) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pools = p
}

// maxCandidates bounds the search of a pool.
const maxCandidates = 1 << 17

// choose fixes what a definition leaves open: what was chosen when the network
// started first. It changes nothing on the host but virbr's own files.
func (d *Driver) choose(ctx context.Context, n *network, def *xml.Network, facts step.Facts) (*xml.Network, error) {
	ipv4, ipv6 := def.Open()
	if !ipv4 && !ipv6 {
		return def, nil
	}
	all, err := d.openChoices()
	if err != nil {
		return nil, err
	}
	defer all.close()
	was := all.all[n.ref.UUID]
	c := &chooser{d: d, def: def, all: all, facts: facts, made: &choice{Network: n.ref.Name}}
	if was != nil {
		*c.made = *was
		c.made.Network, c.made.Former = n.ref.Name, slices.Clone(was.Former)
	}
	c.taken = d.taken(n, def)
	for uuid, other := range all.all {
		if uuid != n.ref.UUID {
			c.others = append(c.others, other)
		}
	}
	if err := c.fill(ctx, ipv4, ipv6); err != nil {
		return nil, err
	}
	all.all[n.ref.UUID] = c.made
	if was == nil || !reflect.DeepEqual(was, c.made) {
		if err := all.save(n.ref.UUID); err != nil {
			return nil, err
		}
	}
	return def.Choose(xml.Choice{IPv4: c.made.IPv4, IPv6: c.prefix, Deprecated: c.made.deprecated()}), nil
}

// chooseInOrder makes the choices of networks that are about to start for the first
// time, several at once, in the order of their names: which network gets which subnet
// must not depend on who is faster. What goes wrong the start will say. The turns are
// held.
func (d *Driver) chooseInOrder(ctx context.Context, list []*network) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *network) int { return strings.Compare(a.ref.Name, b.ref.Name) })
	var facts *step.Facts
	for _, n := range list {
		v := n.view.Load()
		if n.gone || !n.awaitsStart() || usable(v.config) != nil || !d.undecided(n, v.made) {
			continue
		}
		if facts == nil {
			read, err := d.sys.Facts(ctx)
			if err != nil {
				return
			}
			facts = &read
		}
		if _, err := d.choose(ctx, n, v.made, *facts); err != nil {
			d.log.Debug("choosing before the start", "network", n.ref.Name, "err", err)
		}
	}
}

// undecided reports whether something is to be chosen for a network of which nothing
// was chosen yet.
func (d *Driver) undecided(n *network, def *xml.Network) bool {
	if ipv4, ipv6 := def.Open(); !ipv4 && !ipv6 {
		return false
	}
	_, err := os.Lstat(d.dirs.choice(n.ref.UUID))
	return errors.Is(err, fs.ErrNotExist)
}

// taken returns the subnets that other networks, running or defined, and the
// definition itself have.
func (d *Driver) taken(n *network, def *xml.Network) []netip.Prefix {
	list := def.Prefixes(nil)
	for _, o := range d.networks() {
		if v := o.view.Load(); o != n && v != nil {
			for _, def := range v.defs() {
				list = append(list, def.Prefixes(nil)...)
			}
		}
	}
	return list
}

// chooser makes one network's choice.
type chooser struct {
	d      *Driver
	def    *xml.Network
	all    *choices
	facts  step.Facts
	taken  []netip.Prefix
	others []*choice
	made   *choice      // the result, which is kept
	prefix netip.Prefix // the one to advertise
}

func (c *chooser) fill(ctx context.Context, ipv4, ipv6 bool) error {
	if ipv4 && !c.made.IPv4.IsValid() {
		if err := c.subnet4(ctx); err != nil {
			return err
		}
	}
	if !ipv6 {
		return nil
	}
	now := time.Now()
	c.made.expire(now)
	defer func() { c.made.retire(netip.Prefix{}, c.prefix, 0, now) }()
	if c.def.Advertise.Prefix == "ula" {
		return c.own()
	}
	if !c.fromPool() {
		if err := c.own(); err != nil {
			return err
		}
	}
	c.made.replace(c.prefix, time.Duration(min(c.def.Advertise.Valid(), maxValid))*time.Second, now)
	return nil
}

// maxValid bounds how long a former prefix is kept, in seconds: RFC 4861's own
// default of 30 days.
const maxValid = 30 * 24 * 60 * 60

// own takes the network's /64 of the host's own prefix.
func (c *chooser) own() error {
	local, err := c.all.local()
	if err != nil {
		return err
	}
	for number := c.made.Subnet; ; number++ {
		if number == 0 {
			number = 1
		}
		p := subnet(local, number)
		if c.made.Subnet == number || c.free(p) && !c.numbered(number) {
			c.made.Subnet, c.prefix = number, p
			return nil
		}
		if number == 1<<16-1 {
			return &Error{Kind: KindInternal, Msg: fmt.Sprintf("no free subnet below the host's own prefix %s for network '%s'", local, c.def.Name)}
		}
	}
}

func (c *chooser) numbered(number uint16) bool {
	return slices.ContainsFunc(c.others, func(o *choice) bool { return o.Subnet == number })
}

// fromPool takes a /64 of the pool; false: there is none. The one that the
// network has stays its own while the pool holds it.
func (c *chooser) fromPool() bool {
	pools := c.d.currentPools().IPv6
	holds := func(p netip.Prefix) bool { return c.made.Pool.IsValid() && p.Contains(c.made.Pool.Addr()) }
	if slices.ContainsFunc(pools, holds) {
		c.prefix = c.made.Pool
		return true
	}
	left := maxCandidates
	for _, pool := range pools {
		for p := netip.PrefixFrom(pool.Masked().Addr(), 64); pool.Contains(p.Addr()) && left > 0; left-- {
			if c.free(p) {
				c.made.Pool, c.prefix = p, p
				return true
			}
			next, ok := following(p)
			if !ok {
				break
			}
			p = next
		}
	}
	c.made.Pool = netip.Prefix{}
	return false
}

// free reports whether nobody on this host has anything of a prefix.
func (c *chooser) free(p netip.Prefix) bool {
	if slices.ContainsFunc(c.taken, p.Overlaps) {
		return false
	}
	for _, o := range c.others {
		kept := append([]netip.Prefix{o.IPv4, o.Pool, o.Current}, o.deprecated()...)
		if slices.ContainsFunc(kept, func(k netip.Prefix) bool { return k.IsValid() && p.Overlaps(k) }) {
			return false
		}
	}
	return !slices.ContainsFunc(c.facts.Reached(c.def.Bridge.Name), func(r step.Route) bool { return p.Overlaps(r.Dest) })
}

// maxProbes bounds the candidates that are free as far as the host knows and
// whose addresses answer: each costs a quarter of a second.
const maxProbes = 8

// subnet4 takes the first free /24 of the pool in which nobody answers.
func (c *chooser) subnet4(ctx context.Context) error {
	left, probes := maxCandidates, 0
	for _, pool := range c.d.currentPools().IPv4 {
		for p, ok := netip.PrefixFrom(pool.Masked().Addr(), 24), true; ok && pool.Contains(p.Addr()) && left > 0 && probes < maxProbes; p, ok = following(p) {
			left--
			if !c.free(p) {
				continue
			}
			probes++
			found, err := c.d.sys.Answers(ctx, suspects(p))
			if err != nil {
				return fmt.Errorf("choosing a subnet for network %q: %w", c.def.Name, err)
			}
			if len(found) == 0 {
				c.made.IPv4 = p
				return nil
			}
			c.d.log.Info("a neighbour has an address of the subnet, looking further", "network", c.def.Name, "subnet", p, "address", found[0])
		}
	}
	return &Error{Kind: KindInternal, Msg: fmt.Sprintf("no free IPv4 subnet was found for network '%s'", c.def.Name)}
}

// suspects returns the addresses of a /24 that are asked for: the one that the
// bridge would have, and those that routers usually have. Asking for all of them
// would look like a scan, and switches cut off who sends more than some ARP
// packets a second.
func suspects(p netip.Prefix) []netip.Addr {
	a := p.Addr().As4()
	var list []netip.Addr
	for _, last := range []byte{1, 2, 254} {
		a[3] = last
		list = append(list, netip.AddrFrom4(a))
	}
	return list
}

// following returns the next prefix of the same length; false after the last.
func following(p netip.Prefix) (netip.Prefix, bool) {
	b := p.Addr().AsSlice()
	i := (p.Bits() - 1) / 8
	for step := byte(1) << (7 - (p.Bits()-1)%8); i >= 0; i-- {
		b[i] += step
		if b[i] >= step {
			a, ok := netip.AddrFromSlice(b)
			return netip.PrefixFrom(a, p.Bits()), ok
		}
		step = 1
	}
	return p, false
}

func (d *Driver) currentPools() Pools {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p := d.pools
	if len(p.IPv4) == 0 {
		p.IPv4 = DefaultIPv4()
	}
	return p
}
