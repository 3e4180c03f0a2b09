package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// guarded adds the guard of a network to its other rules, which may be nil.
func guarded(n *Network, def *xml.Network, ext *xml.Extensions, where Where) (*Network, error) {
	asked := ext != nil && len(ext.Guards) > 0
	if !asked && len(where.Ports) == 0 {
		return n, nil
	}
	made := Network{Bridge: def.Bridge.Name}
	if n != nil {
		made = *n
	}
	made.Guard = &Guard{Owner: made.Bridge, Ports: where.Ports, Base: asked, Closed: asked && ext.Guard("").Unknown == xml.UnknownDrop}
	return &made, made.Validate()
}

// Data returns the elements of the guard.
func (g *Guard) Data() []Datum {
	if g == nil {
		return nil
	}
	var all []Datum
	for i := range g.Ports {
		all = append(all, g.Ports[i].data(g.Owner)...)
	}
	if g.Closed {
		all = append(all, Datum{Map: closedSet, Owner: g.Owner, Link: g.Owner})
	}
	return all
}

func (p *GuardPort) data(owner string) []Datum {
	all := []Datum{{Map: GuardedSet, Owner: owner, Link: p.Link}}
	for _, c := range p.Stops {
		all = append(all, Datum{Map: c.Set(), Owner: owner, Note: note(p.Guest), Link: p.Link})
	}
	for _, mac := range p.MACs {
		all = append(all, Datum{Map: MACsSet, Owner: owner, MAC: mac, Link: p.Link})
	}
	ip, mac := slices.Contains(p.Stops, StopIP), slices.Contains(p.Stops, StopMAC)
	if ip {
		all = append(all, Datum{Map: learnSet, Owner: owner, Link: p.Link})
	}
	if !ip && !mac && !slices.Contains(p.Stops, StopUnknown) {
		all = append(all, Datum{Map: freeSet, Owner: owner, Link: p.Link})
	}
	for _, a := range p.Addrs {
		d := Datum{Map: AddressesSet + suffix(a.Addr()), Owner: owner, Addr: a.Addr(), Link: p.Link}
		if a.IsSingleIP() && ip && mac {
			for _, m := range p.MACs {
				all = append(all, Datum{Map: passSet + suffix(a.Addr()), Owner: owner, Addr: a.Addr(), MAC: m, Link: p.Link})
			}
		}
		if !a.IsSingleIP() {
			d.Map, d.Addr, d.From, d.Until = SubnetsSet+suffix(a.Addr()), netip.Addr{}, a.Addr(), LastOf(a)
		}
		all = append(all, d)
	}
	for _, a := range p.Asks {
		all = append(all, Datum{Map: asksSet + suffix(a), Owner: owner, Addr: a, Link: p.Link})
	}
	return all
}

// maxNote is how much of a guest's name is in a comment, in bytes.
const maxNote = 64

// note returns a guest's name as a comment can hold it.
func note(guest string) string {
	b := []byte(guest[:min(len(guest), maxNote)])
	for i, c := range b {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			b[i] = '_'
		}
	}
	return string(b)
}

// GuardDifference returns the elements that a change of a guard takes away and those
// that it brings. Either may be nil. Only ports that
// differ are taken apart: a thousand have some ten thousand elements.
func GuardDifference(from, to *Guard) (take, bring []Datum) {
	before, after := from.others(to), to.others(from)
	x, y := before.Data(), after.Data()
	return without(x, y), without(y, x)
}

// others returns the guard without the ports that another one has as they are.
func (g *Guard) others(o *Guard) *Guard {
	if g == nil || o == nil {
		return g
	}
	same := make(map[string]*GuardPort, len(o.Ports))
	for i := range o.Ports {
		same[o.Ports[i].Link] = &o.Ports[i]
	}
	left := *g
	left.Ports = nil
	for _, p := range g.Ports {
		if twin := same[p.Link]; twin == nil || !p.equal(twin) {
			left.Ports = append(left.Ports, p)
		}
	}
	return &left
}

func (p *GuardPort) equal(o *GuardPort) bool {
	return p.Link == o.Link && p.Guest == o.Guest && slices.Equal(p.Stops, o.Stops) && slices.Equal(p.MACs, o.MACs) &&
		slices.Equal(p.Addrs, o.Addrs) && slices.Equal(p.Asks, o.Asks)
}

// Validate refuses a guard with a value that cannot be written into a rule.
func (g *Guard) Validate() error {
	if err := CheckDevice(g.Owner); err != nil {
		return err
	}
	for i := range g.Ports {
		p := &g.Ports[i]
		if err := CheckDevice(p.Link); err != nil {
			return err
		}
		if i > 0 && p.Link <= g.Ports[i-1].Link {
			return fmt.Errorf("port %q is guarded twice, or out of order", p.Link)
		}
		if j := slices.IndexFunc(p.Stops, func(c Cause) bool { return !slices.Contains(Causes(), c) }); j >= 0 {
			return fmt.Errorf("port %q: %q is not a cause", p.Link, p.Stops[j])
		}
		if err := p.validAddresses(); err != nil {
			return err
		}
	}
	return nil
}

func (p *GuardPort) validAddresses() error {
	var nets []netip.Prefix
	for _, a := range p.Addrs {
		if !a.IsValid() || a != a.Masked() || a.Addr().Is4In6() || a.Addr().Zone() != "" {
			return fmt.Errorf("port %q: %s is not an address of a guest", p.Link, a)
		}
		if a.IsSingleIP() {
			continue
		}
		if slices.ContainsFunc(nets, a.Overlaps) {
			return fmt.Errorf("port %q: subnet %s overlaps another one", p.Link, a)
		}
		nets = append(nets, a)
	}
	for _, a := range p.Asks {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("port %q: %s is not an address of the host", p.Link, a)
		}
	}
	return nil
}
