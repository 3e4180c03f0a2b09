package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// advertisable refuses an advertised prefix that a link of the host has, and one
// that nobody outside could send answers to, for the host has no IPv6 itself. A
// prefix that the host's administrator set aside is as good as forced: the host
// may not have heard its router yet.
func (c *compiler) advertisable() error {
	a := c.def.Advertise
	if a == nil {
		return nil
	}
	prefix, ok := a.Address()
	if !ok {
		return refuse(KindInternal, "no prefix has been chosen for advprefix '%s' of network '%s'", a.Prefix, c.def.Name)
	}
	for _, r := range c.facts.Routes {
		if r.Gateway == prefix.Addr() {
			return refuse(KindUnsupported, "advprefix '%s' of network '%s' gives the bridge the address of the router on %s: write another address of the prefix", a.Prefix, c.def.Name, r.Link)
		}
	}
	provider := uplink(c.def, c.facts.Routes) // where the prefix is, too
	for _, r := range c.facts.Reached(c.bridge) {
		if !r.Gateway.IsValid() && r.Link != provider && r.Dest.Overlaps(prefix.Masked()) {
			hint := ""
			if leaves(&c.facts, r.Link) && !xml.Local(prefix) {
				hint = "; where the provider has the prefix on that link instead of routing it to this host, proxyndp='auto' has the host answer for its guests"
			}
			return refuse(KindUnsupported, "advprefix '%s' of network '%s' is already in use: interface %s has %s%s", a.Prefix, c.def.Name, r.Link, r.Dest, hint)
		}
	}
	outward := c.def.Forward.Mode == xml.ForwardNAT || c.def.Forward.Mode == xml.ForwardRoute || c.def.Forward.Mode == xml.ForwardOpen
	if !outward || a.Force || a.From != "" || xml.Local(prefix) || ReachesIPv6(&c.facts) {
		return nil
	}
	return refuse(KindUnsupported, "advprefix '%s' of network '%s' is a global prefix, but the host has no IPv6 default route; force='yes' advertises it all the same", a.Prefix, c.def.Name)
}

// Retraction returns what tells guests that the prefix is gone which a definition
// advertised, where another takes its place: they would use their addresses, and the
// host as their router, for as long as they were told (RFC 4861 section 6.2.5). False:
// it is not.
func Retraction(before, after *xml.Network) (step.RetractPrefixes, bool) {
	op := step.RetractPrefixes{Link: before.Bridge.Name}
	var kept []netip.Prefix
	for _, ip := range after.Subnets() {
		p, ok := ip.Subnet()
		kept = append(kept, p)
		op.Router = op.Router || ok && ip.Is6()
	}
	if before.Advertise == nil {
		return op, false
	}
	p, ok := before.Advertise.Address() // former ones are deprecated already
	op.Prefixes = []netip.Prefix{p.Masked()}
	return op, ok && !slices.Contains(kept, p.Masked())
}

// Unrouted says what to check of a written prefix that guests are to have addresses in,
// where nothing on the host tells that it is routed to it; "": nothing.
func Unrouted(def *xml.Network, f *step.Facts) string {
	a := def.Advertise
	if a == nil || a.ProxyNDP != "" || a.From != "" {
		return ""
	}
	p, ok := a.Address()
	if !ok || xml.Local(p) {
		return ""
	}
	for _, r := range f.Reached(def.Bridge.Name) {
		if !r.Gateway.IsValid() && r.Dest.Overlaps(p.Masked()) && leaves(f, r.Link) {
			return fmt.Sprintf("it is on the link %s, where the provider's router asks for each address: write proxyndp='auto', and the host answers for guests", r.Link)
		}
	}
	return fmt.Sprintf("the provider must route %s to an address of this host; packets for it arrive here if 'tcpdump -ni any ip6 dst net %[1]s' shows some while somebody outside pings %s", p.Masked(), p.Addr())
}

// leaves reports whether the host has an IPv6 default route by a link.
func leaves(f *step.Facts, link string) bool {
	return slices.ContainsFunc(f.Routes, func(r step.Route) bool {
		return r.Dest == netip.PrefixFrom(netip.IPv6Unspecified(), 0) && r.Link == link
	})
}

// ReachesIPv6 reports whether the host has an IPv6 default route.
func ReachesIPv6(f *step.Facts) bool {
	for _, r := range f.Routes {
		if r.Dest == netip.PrefixFrom(netip.IPv6Unspecified(), 0) {
			return true
		}
	}
	return false
}

// hear has the host keep what it learned from router advertisements, and go on
// listening to them, when it becomes a router. A network that brings its guests IPv6
// by itself must not cost the host its own.
func (c *compiler) hear() {
	if a := c.def.Advertise; a == nil || c.def.Forward.Mode == xml.ForwardNone && !c.resolution.reaches() || !c.def.Forward.Mode.Routed() {
		return
	}
	c.add(step.Step{Do: step.HearRouters{Bridge: c.bridge}, Undo: step.UnhearRouters{Bridge: c.bridge}})
}
