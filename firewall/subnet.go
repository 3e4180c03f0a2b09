package firewall

import (
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// subnet returns the network of an <ip> element. Without a prefix and without
// a netmask IPv4 takes the one of its address class (RFC 791), IPv6 64.
func subnet(ip *xml.IP) (netip.Prefix, error) {
	addr := ip.Address
	if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not the address of a subnet", addr)
	}
	n := int(ip.Prefix)
	switch {
	case ip.Netmask.IsValid():
		mask := ip.Netmask.AsSlice()
		n = 0
		for _, b := range mask {
			n += bits.LeadingZeros8(^b)
		}
		if want, err := ip.Netmask.Prefix(n); err != nil || want.Addr() != ip.Netmask || len(mask)*8 != addr.BitLen() {
			return netip.Prefix{}, fmt.Errorf("%q is not a netmask for %q", ip.Netmask, addr)
		}
	case n == 0 && addr.Is6():
		n = 64
	case n == 0:
		n = classPrefix(addr.As4()[0])
	}
	p, err := addr.Prefix(n)
	if err != nil || n == 0 {
		return netip.Prefix{}, fmt.Errorf("address %q cannot have the prefix %d", addr, n)
	}
	return p, nil
}

// classPrefix returns the prefix of an IPv4 address class by the address's
// first byte; 0: classes D and E have none.
func classPrefix(first byte) int {
	switch {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 0
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
