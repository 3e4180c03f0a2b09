package dnsmasq

import (
	"math/bits"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// Subnet returns an address with its prefix length: the one given, else the
// netmask's, else that of the address class (IPv4) or 64 (IPv6).
func Subnet(ip *xml.IP) (netip.Prefix, error) {
	n := int(ip.Prefix)
	if n == 0 {
		n = defaultBits(ip)
	}
	p := netip.PrefixFrom(ip.Address, n)
	if n < 0 || !p.IsValid() {
		return netip.Prefix{}, internal("invalid prefix or netmask for '%s'", ip.Address)
	}
	return p, nil
}

// defaultBits returns -1 where there is no sensible length.
func defaultBits(ip *xml.IP) int {
	if ip.Netmask.Is4() {
		m := ip.Netmask.As4()
		v := uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3])
		if ones := bits.LeadingZeros32(^v); v<<ones == 0 {
			return ones
		}
		return -1
	}
	if ip.Address.IsUnspecified() {
		return 0
	}
	if ip.Is6() {
		return 64
	}
	switch first := ip.Address.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return -1
}
