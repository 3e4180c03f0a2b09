package dnsmasq

import (
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// lastValid is the valid lifetime that a prefix on its way out is advertised
// with, in seconds: three times the usual interval of advertisements, and
// little enough to leave guests' own count-down alone (RFC 4862 section 5.5.3).
const lastValid = 1800

// advertised returns the prefix that a network advertises, with the bridge's
// address in it; ok is false where there is none, or it is still to be chosen.
func advertised(def *xml.Network) (p netip.Prefix, ok bool) {
	if def.Advertise == nil {
		return netip.Prefix{}, false
	}
	return def.Advertise.Address()
}

// advertise writes the ranges of <ipv6 advprefix='...'>. With ra-names dnsmasq
// answers for the addresses that guests with a DHCP name made themselves.
func (l *lines) advertise(def *xml.Network, dhcp subnets) {
	p, ok := advertised(def)
	if !ok {
		return
	}
	a := def.Advertise
	bits, valid := p.Bits(), a.Valid()
	mode := map[string]string{"no": "ra-only", "stateless": "ra-stateless", "stateful": "static"}[a.Mode()]
	first, last := pool6(p)
	away := "" // what others on the uplink have of the prefix is reached by the bridge
	if a.ProxyNDP != "" {
		away = ",off-link"
	}
	switch {
	case mode != "static":
		l.add("dhcp-range=%s,%s,ra-names%s,%d,%d", p.Masked().Addr(), mode, away, bits, valid)
	case numbered(def, dhcp): // an address of a range, which a guest would keep, could be given before the IPv4 lease
		l.add("dhcp-range=%s,static%s,%d,%d", p.Masked().Addr(), away, bits, valid)
	default:
		l.add("dhcp-range=%s,%s%s,%d,%d", first, last, away, bits, valid)
	}
	for _, old := range a.Deprecated {
		l.deprecated(old, mode+away)
	}
	if mode == "static" && dhcp.v6 == nil {
		l.add("enable-ra")
	}
}

// pace says how often a prefix is advertised that is valid for less than three of
// dnsmasq's usual intervals, which it would not promise less than otherwise, and that
// the host is no default router where it has no way out itself.
func (l *lines) pace(def *xml.Network) {
	a := def.Advertise
	if a == nil || def.Forward.Mode == xml.ForwardNone {
		return
	}
	interval := uint64(0)
	if valid := a.Valid(); a.Live.Via != "" && valid < lastValid {
		interval = valid / 3
	}
	switch {
	case a.Live.Routerless:
		l.add("ra-param=%s,%d,0", def.Bridge.Name, interval)
	case interval > 0:
		l.add("ra-param=%s,%d", def.Bridge.Name, interval)
	}
}

// deprecated writes a prefix that guests are to move away from (RFC 9096). One
// word of dnsmasq's is for a preferred lifetime of zero, with which the valid
// one would be infinite; of two lines for a prefix the shorter lifetime counts.
func (l *lines) deprecated(old netip.Prefix, mode string) {
	for _, lifetime := range []string{"deprecated", fmt.Sprint(lastValid)} {
		l.add("dhcp-range=%s,%s,%d,%s", old.Masked().Addr(), mode, old.Bits(), lifetime)
	}
}

// Where addresses are given away in a prefix with more than enough room: above
// those that people give to machines by hand.
const (
	poolFirst = 0x1000
	poolLast  = 0xffff
)

// pool6 returns the ends of a prefix's DHCPv6 range. dnsmasq itself leaves out
// the bridge's address.
func pool6(p netip.Prefix) (first, last netip.Addr) {
	if 128-p.Bits() >= 16 {
		return host(p, poolFirst), host(p, poolLast)
	}
	return host(p, 1), host(p, 1<<(128-p.Bits())-1)
}

// host returns the address with a number in a prefix's host part.
func host(p netip.Prefix, number uint32) netip.Addr {
	a := p.Masked().Addr().As16()
	for i := range 4 {
		a[15-i] |= byte(number >> (8 * i))
	}
	return netip.AddrFrom16(a)
}

// leased returns how many addresses an advertised prefix gives away by DHCPv6.
func leased(def *xml.Network, dhcp subnets) uint64 {
	p, ok := advertised(def)
	if !ok || def.Advertise.Mode() != "stateful" {
		return 0
	}
	if numbered(def, dhcp) {
		total := uint64(len(dhcp.v4.Hosts))
		for _, r := range dhcp.v4.Ranges {
			n, _ := RangeSize(r) // a wrong one is refused where it is written
			total += n
		}
		return total
	}
	first, last := pool6(p)
	n, err := RangeSize(xml.Range{Start: first, End: last})
	if err != nil {
		return 0
	}
	return n
}

// hostID returns the field that gives a static host of IPv4 its address in the
// advertised prefix as well. dnsmasq learns a DHCPv6 client's MAC address from
// the link.
func hostID(def *xml.Network, h xml.DHCPHost, v6 bool) string {
	p, ok := advertised(def)
	if !ok || v6 || def.Advertise.HostID == "" {
		return ""
	}
	return ",[" + xml.Embed(p, h.IP).String() + "]"
}
