package firewall

import (
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// subnet returns the network of an <ip> element. Package xml has checked it
// already; here it must also fit into a rule.
func subnet(ip *xml.IP) (netip.Prefix, error) {
	p, ok := ip.Subnet()
	if !ok || !plain(p, p.Addr().Is4()) {
		return netip.Prefix{}, fmt.Errorf("address %q with netmask %q and prefix %d is not a subnet", ip.Address, ip.Netmask, ip.Prefix)
	}
	return p, nil
}

// merge returns the prefixes without those that lie within another one. What is
// left does not overlap: two prefixes are either nested or apart.
func merge(prefixes []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for i, p := range prefixes {
		covered := false
		for j, q := range prefixes {
			larger := q.Bits() < p.Bits() || q.Bits() == p.Bits() && j < i
			covered = covered || larger && q.Overlaps(p)
		}
		if !covered {
			out = append(out, p)
		}
	}
	return out
}

// punched returns what is left of a prefix without those that lie within it.
func punched(p netip.Prefix, holes []netip.Prefix) []netip.Prefix {
	for _, h := range holes {
		switch {
		case !h.Overlaps(p):
		case h.Bits() <= p.Bits():
			return nil
		default:
			low, high := halves(p)
			return append(punched(low, holes), punched(high, holes)...)
		}
	}
	return []netip.Prefix{p}
}

// halves splits a prefix that is not a single address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits()
	b := p.Addr().AsSlice()
	b[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)
}

// Conflicts tells whether two networks cannot both be installed: the maps that
// lead to NAT are keyed by subnet, and a subnet leads to one network only. It
// returns the smaller of the two prefixes that overlap. Networks on the same
// bridge do not conflict, they replace each other; neither do nil networks,
// which have no rules.
func Conflicts(a, b *Network) (netip.Prefix, bool) {
	if a == nil || b == nil || a.Bridge == b.Bridge {
		return netip.Prefix{}, false
	}
	for _, x := range a.Elements {
		for _, y := range b.Elements {
			if x.Map != y.Map || !x.Prefix.IsValid() || !x.Prefix.Overlaps(y.Prefix) {
				continue
			}
			if x.Prefix.Bits() > y.Prefix.Bits() {
				return x.Prefix, true
			}
			return y.Prefix, true
		}
	}
	return netip.Prefix{}, false
}
