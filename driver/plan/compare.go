package plan

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Effect is what guests notice of a change, the least first.
type Effect uint8

// The effects. docs/changing.md has the table of what has which.
const (
	EffectNothing    Effect = iota
	EffectRenewal           // something else is in their next lease or advertisement
	EffectRenumbered        // they move to other addresses, and have the old ones meanwhile
	EffectFlap              // the network is away for a moment
	EffectCut               // what worked for them does so no longer
)

// String returns the words for people and for JSON.
func (e Effect) String() string {
	return [...]string{"nothing", "at renewal", "renumbered", "link flaps", "cut off"}[min(e, EffectCut)]
}

// Way is how a running network becomes another.
type Way uint8

// The ways.
const (
	WayNone    Way = iota // there is nothing to do on the host
	WayLive               // it is changed as it runs
	WayRestart            // it is stopped and started, with its guests put back
)

// Change is one thing that becomes different.
type Change struct {
	Text   string // "+", "-" or "~" and what is done
	Effect Effect
}

// Comparison is how a running network would become what a definition says.
type Comparison struct {
	Way     Way
	Changes []Change
}

// Effect returns the worst that guests notice.
func (c *Comparison) Effect() Effect {
	worst := EffectNothing
	for _, ch := range c.Changes {
		worst = max(worst, ch.Effect)
	}
	return worst
}

// Compare tells how a running network would become what another running definition
// says, by the steps that start the one and the other: those with the same key are
// about the same thing.
// Shares says that guests have shares of the network's bandwidth.
func Compare(from, to *xml.Network, before, after []step.Step, shares bool) *Comparison {
	c := &comparison{from: from, to: to, shares: shares}
	was := make(map[string]step.Op, len(before))
	for _, s := range before {
		was[step.Key(s.Do)] = s.Do
	}
	kept := make(map[string]bool, len(after))
	for _, s := range after {
		key := step.Key(s.Do)
		kept[key] = true
		switch old, there := was[key]; {
		case !there:
			c.add("+", nil, s.Do)
		case !reflect.DeepEqual(old, s.Do):
			c.add("~", old, s.Do)
		}
	}
	for _, s := range before {
		if !kept[step.Key(s.Do)] {
			c.add("-", s.Do, nil)
		}
	}
	c.whole()
	return &c.Comparison
}

// comparison is one in the making.
type comparison struct {
	Comparison
	from, to *xml.Network
	shares   bool
}

func (c *comparison) add(sign string, was, is step.Op) {
	op := is
	if op == nil {
		op = was
	}
	if step.ScopeOf(op) == step.ScopeMoment {
		return
	}
	if _, starts := op.(step.StartDnsmasq); starts && sign == "~" {
		return // its files say what differs
	}
	c.Way = max(c.Way, c.way(was, is))
	c.Changes = append(c.Changes, Change{Text: sign + " " + op.String(), Effect: c.effect(was, is)})
}

// way returns how one op becomes another on a network that runs. nil is none.
func (c *comparison) way(was, is step.Op) Way {
	switch op := cmp.Or(is, was).(type) {
	case step.AddBridge, step.PlugMember, step.RegisterDNS, step.SetUp:
		return WayRestart // nothing undoes these on a bridge that stays
	case step.SetBridge:
		if op.Attr == "vlan_filtering" {
			return WayRestart // who plugs guests in has to know
		}
	case step.ShapeNetwork:
		if c.shares || !c.to.OwnsBridge() {
			return WayRestart // shares are of what the network has
		}
	}
	return WayLive
}

// effect returns what guests notice when one op becomes another.
func (c *comparison) effect(was, is step.Op) Effect {
	switch op := cmp.Or(is, was).(type) {
	case step.AddRoute:
		if was != nil {
			return EffectCut // of what is behind a guest
		}
	case step.AddAddress:
		if is == nil && op.Address.Addr().Is4() && (len(c.to.Routes) > 0 || c.keeps(op.Address)) {
			c.Way = WayRestart // the kernel takes routes by the address and others of its subnet with it
		}
		return c.addressed(was, is, op.Address.Addr())
	case step.WriteFile:
		if !c.sameLeases() {
			return EffectRenewal
		}
	}
	return EffectNothing
}

// addressed returns what guests notice of an address of the bridge that comes or goes:
// nothing but of the last one of its subnet.
func (c *comparison) addressed(was, is step.Op, addr netip.Addr) Effect {
	if is != nil || was == nil {
		return EffectNothing
	}
	in := func(def *xml.Network) bool {
		return slices.ContainsFunc(def.Subnets(), func(ip xml.IP) bool {
			subnet, ok := ip.Subnet()
			return ok && subnet.Contains(addr) && ip.Address == addr
		})
	}
	switch a := c.from.Advertise; {
	case in(c.to):
		return EffectNothing
	case a != nil && addr.Is6() && advertised(a, addr):
		return EffectRenumbered // guests are told, and keep what they have for as long as it is valid
	}
	return EffectCut
}

// keeps reports whether a subnet of the network overlaps with that of an address that goes.
func (c *comparison) keeps(gone netip.Prefix) bool {
	return slices.ContainsFunc(c.to.Subnets(), func(ip xml.IP) bool {
		subnet, ok := ip.Subnet()
		return ok && subnet.Overlaps(gone)
	})
}

// advertised reports whether an address is in the prefix that is advertised.
func advertised(a *xml.Advertise, addr netip.Addr) bool {
	own, ok := a.Address()
	return ok && own.Masked().Contains(addr)
}

// sameLeases reports whether guests are told the same by DHCP and by router
// advertisements.
func (c *comparison) sameLeases() bool {
	told := func(n *xml.Network) any {
		return []any{n.IPs, n.Domain.Name, n.DNS.Enable, n.DnsmasqOptions, n.Advertise, n.MTU}
	}
	return reflect.DeepEqual(told(c.from), told(c.to))
}

// whole adds what no single step tells.
func (c *comparison) whole() {
	from, to := &c.from.Forward, &c.to.Forward
	passes := func(m xml.ForwardMode) bool {
		return m == xml.ForwardNAT || m == xml.ForwardRoute || m == xml.ForwardOpen
	}
	switch {
	case c.from.OwnsBridge() != c.to.OwnsBridge() || from.Mode.Routed() != to.Mode.Routed():
		c.Way = WayRestart
		c.note("~ forward mode "+from.Mode.String()+" -> "+to.Mode.String(), EffectCut)
	case passes(from.Mode) && !passes(to.Mode):
		c.note("~ forward mode "+from.Mode.String()+" -> none", EffectCut)
	case passes(from.Mode) && to.Dev() != "" && from.Dev() != to.Dev():
		c.note("~ forward device "+to.Dev(), EffectCut)
	}
	if c.from.OwnsBridge() && c.to.OwnsBridge() && c.from.MAC != c.to.MAC {
		c.note("~ bridge's MAC address, which guests know their gateway by", EffectCut)
	}
	for _, ip := range c.to.IPs {
		if subnet, ok := ip.Subnet(); ok && ip.Until > 0 && slices.ContainsFunc(c.from.IPs, func(was xml.IP) bool { return was.Address == ip.Address && was.Until == 0 }) {
			c.note("~ subnet "+subnet.String()+" stays until the leases in it have ended", EffectRenumbered)
		}
	}
	if c.Way == WayRestart {
		c.note("~ stopped and started, with its guests put back", EffectFlap)
	}
	if len(c.Changes) == 0 && c.from.Format(0) != c.to.Format(0) {
		c.Way = max(c.Way, WayLive)
		c.note("~ its definition, for what is plugged in later", EffectNothing)
	}
}

func (c *comparison) note(text string, e Effect) {
	c.Changes = append(c.Changes, Change{Text: text, Effect: e})
}
