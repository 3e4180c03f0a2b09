package driver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Pools are where addresses come from that definitions leave to us.
type Pools struct {
	// IPv4 is for <ip type='auto'>, which gets the first free /24. Prefixes of
	// 24 bits or fewer. Empty: DefaultIPv4.
	IPv4 []netip.Prefix
	// IPv6 is for advprefix='auto', which gets a free /64. Prefixes of 64 bits
	// or fewer.
	IPv6 []netip.Prefix
	// Uplinks are asked for such prefixes, and come first. Neither of both: the
	// host's own prefix is used.
	Uplinks []Uplink
}

// Uplink is a link whose router delegates prefixes.
type Uplink struct {
	Link string
	Bits int // of a prefix that is wished for; 0: whatever there is
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
	d.pools = p
	d.mu.Unlock()
	d.followUplinks()
}

// maxCandidates bounds the search of a pool.
const maxCandidates = 1 << 17

// choose fixes what a definition leaves open: what was chosen when the network
// started first. It changes nothing on the host but virbr's own files. The turn of n
// is held.
func (d *Driver) choose(ctx context.Context, n *network, def *xml.Network, facts step.Facts) (*xml.Network, error) {
	ipv4, ipv6 := def.Open()
	if !ipv4 && !ipv6 {
		return def, nil
	}
	was, err := d.choices.Of(n.ref.UUID)
	if err != nil {
		return nil, err
	}
	d.followUplinks(def)
	c := &chooser{d: d, n: n, def: def, facts: facts, was: was}
	err = c.fill(ipv4, ipv6)
	for errors.Is(err, errUnsettled) {
		if err = c.probe(ctx); err == nil {
			err = c.fillLocked(ctx, ipv4, ipv6)
		}
	}
	if err != nil {
		return nil, err
	}
	return def.Choose(xml.Choice{IPv4: c.made.IPv4, IPv6: c.prefix, Live: c.live, Deprecated: c.made.Deprecated()}), nil
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
	made, err := d.choices.Of(n.ref.UUID)
	return made == nil && err == nil
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

// errUnsettled says that something is to be chosen among all, which needs the lock, or
// a neighbour to be asked first, which must not happen under it.
var errUnsettled = errors.New("nothing was chosen yet")

// chooser makes one network's choice.
type chooser struct {
	d      *Driver
	n      *network
	def    *xml.Network
	facts  step.Facts
	was    *state.Choice // nil: none yet
	made   *state.Choice // the result, which is kept
	prefix netip.Prefix  // the one to advertise
	live   xml.Advertised

	locked bool // the host's choices are, and the next two are filled in
	taken  []netip.Prefix
	others []*state.Choice

	candidate netip.Prefix   // nobody asked in it yet
	silent    netip.Prefix   // nobody answered in it
	answered  []netip.Prefix // somebody did
}

// fill makes the choice as far as it was made before, or, with the lock, all of it,
// and writes it down.
func (c *chooser) fill(ipv4, ipv6 bool) error {
	c.made = &state.Choice{}
	if c.was != nil {
		*c.made = *c.was
		c.made.Former = slices.Clone(c.was.Former)
	}
	c.made.Network = c.n.ref.Name
	if ipv4 && !c.made.IPv4.IsValid() {
		if err := c.subnet4(); err != nil {
			return err
		}
	}
	if ipv6 {
		if err := c.prefix6(time.Now()); err != nil {
			return err
		}
	}
	if c.was != nil && reflect.DeepEqual(c.was, c.made) {
		return nil
	}
	return c.d.choices.Save(c.n.ref.UUID, c.made)
}

// fillLocked is fill while nobody else chooses.
func (c *chooser) fillLocked(ctx context.Context, ipv4, ipv6 bool) error {
	others, lock, err := c.d.choices.Lock(ctx, c.n.ref.UUID)
	if err != nil {
		return err
	}
	defer lock.Release()
	c.locked, c.others, c.taken = true, others, c.d.taken(c.n, c.def)
	defer func() { c.locked = false }()
	return c.fill(ipv4, ipv6)
}

func (c *chooser) prefix6(now time.Time) error {
	c.made.Expire(now)
	if c.def.Advertise.Prefix == "ula" {
		if err := c.own(); err != nil {
			return err
		}
	} else {
		if err := c.fromPool(now); err != nil {
			return err
		}
		c.made.Replace(c.prefix, time.Duration(min(c.def.Advertise.Valid(), maxValid))*time.Second, now)
	}
	c.made.Retire(netip.Prefix{}, c.prefix, 0, now)
	return nil
}

// maxValid bounds how long a former prefix is kept, in seconds: RFC 4861's own
// default of 30 days.
const maxValid = 30 * 24 * 60 * 60

// own takes the network's /64 of the host's own prefix.
func (c *chooser) own() error {
	local, ok, err := c.d.choices.LocalPrefix()
	if err != nil {
		return err
	}
	if ok && c.made.Subnet != 0 {
		c.prefix = subnet(local, c.made.Subnet)
		return nil
	}
	if !c.locked {
		return errUnsettled
	}
	if !ok {
		if local, err = c.newLocal(); err != nil {
			return err
		}
	}
	for number := max(c.made.Subnet, 1); number != 0; number++ {
		p := subnet(local, number)
		if c.made.Subnet == number || c.free(p) && !c.numbered(number) {
			c.made.Subnet, c.prefix = number, p
			return nil
		}
	}
	return &Error{Kind: KindInternal, Msg: fmt.Sprintf("no free subnet below the host's own prefix %s for network '%s'", local, c.def.Name)}
}

// newLocal makes the host's own prefix: 40 random bits below fd00::/8 (RFC 4193
// section 3.2).
func (c *chooser) newLocal() (netip.Prefix, error) {
	a := [16]byte{0: 0xfd}
	if err := c.d.fill(a[1:6]); err != nil {
		return netip.Prefix{}, err
	}
	p := netip.PrefixFrom(netip.AddrFrom16(a), 48)
	return p, c.d.choices.SaveLocalPrefix(p)
}

// subnet returns a numbered /64 of a /48.
func subnet(local netip.Prefix, number uint16) netip.Prefix {
	a := local.Addr().As16()
	a[6], a[7] = byte(number>>8), byte(number)
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func (c *chooser) numbered(number uint16) bool {
	return slices.ContainsFunc(c.others, func(o *state.Choice) bool { return o.Subnet == number })
}

// fromPool takes a /64 of the pool, or of the host's own prefix where there is none.
// The one that the network has stays its own while the pool holds it; in another prefix
// it gets the subnet of the number that it had, if that is free.
func (c *chooser) fromPool(now time.Time) error {
	list, wanted := c.d.supplies(c.def.Advertise, now)
	c.live.Routerless = wanted && !plan.ReachesIPv6(&c.facts)
	for _, s := range list {
		if s.has(c.made.Pool) {
			c.take(s, c.made.Pool)
			return nil
		}
	}
	if len(list) > 0 && !c.locked {
		return errUnsettled
	}
	for _, s := range list {
		if p, ok := s.subnet(c.made.Number); ok && c.free(p) {
			c.take(s, p)
			return nil
		}
	}
	for _, reserved := range []bool{true, false} { // first those that no other network has had
		for _, s := range list {
			for p := range candidates([]netip.Prefix{s.prefix}, 64) {
				if s.has(p) && c.free(p) && !(reserved && s.live.Via != "" && c.reserved(s.number(p))) {
					c.made.Number = s.number(p)
					c.take(s, p)
					return nil
				}
			}
		}
	}
	c.made.Pool = netip.Prefix{}
	return c.own()
}

func (c *chooser) take(s supply, p netip.Prefix) {
	c.made.Pool, c.prefix = p, p
	c.live.Via, c.live.Valid = s.live.Via, s.live.Valid
}

// reserved reports whether another network has had the subnet of a number.
func (c *chooser) reserved(number *uint32) bool {
	return number != nil && slices.ContainsFunc(c.others, func(o *state.Choice) bool { return o.Number != nil && *o.Number == *number })
}

// candidates returns the prefixes of a length in pools, as many as are looked at.
func candidates(pools []netip.Prefix, bits int) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		left := maxCandidates
		for _, pool := range pools {
			for p, ok := netip.PrefixFrom(pool.Masked().Addr(), bits), true; ok && pool.Contains(p.Addr()); p, ok = following(p) {
				if left--; left < 0 || !yield(p) {
					return
				}
			}
		}
	}
}

// free reports whether nobody on this host has anything of a prefix.
func (c *chooser) free(p netip.Prefix) bool {
	if slices.ContainsFunc(c.taken, p.Overlaps) {
		return false
	}
	for _, o := range c.others {
		kept := append([]netip.Prefix{o.IPv4, o.Pool, o.Current}, o.Deprecated()...)
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
func (c *chooser) subnet4() error {
	if !c.locked {
		return errUnsettled
	}
	for p := range candidates(c.d.currentPools().IPv4, 24) {
		if slices.Contains(c.answered, p) || !c.free(p) {
			continue
		}
		if p == c.silent {
			c.made.IPv4 = p
			return nil
		}
		if len(c.answered) == maxProbes {
			break
		}
		c.candidate = p
		return errUnsettled
	}
	return &Error{Kind: KindInternal, Msg: fmt.Sprintf("no free IPv4 subnet was found for network '%s'", c.def.Name)}
}

// probe asks whether somebody has addresses of the candidate.
func (c *chooser) probe(ctx context.Context) error {
	p := c.candidate
	if !p.IsValid() {
		return nil
	}
	found, err := c.d.sys.Answers(ctx, suspects(p))
	if err != nil {
		return fmt.Errorf("choosing a subnet for network %q: %w", c.def.Name, err)
	}
	c.candidate = netip.Prefix{}
	if len(found) == 0 {
		c.silent = p
		return nil
	}
	c.answered = append(c.answered, p)
	c.d.log.Info("a neighbour has an address of the subnet, looking further", "network", c.def.Name, "subnet", p, "address", found[0])
	return nil
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
