package dnsmasq

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/virbr/virbr/xml"
)

// reverseZone returns the zone of PTR records (RFC 1035 3.5, RFC 3596 2.5) that
// is exactly an <ip>'s subnet. A prefix that ends inside a label has no such
// zone.
func reverseZone(ip *xml.IP, bridge string) (string, error) {
	subnet, ok := ip.Subnet()
	if !ok {
		return "", internal("bridge '%s' has an invalid netmask or IP address", bridge)
	}
	bits := subnet.Bits()
	if ip.Is6() {
		if bits <= 0 || bits >= 128 || bits%4 != 0 {
			return "", unsupported("PTR domain for IPv6 network with prefix %d cannot be automatically created", bits)
		}
		return reverse(nibbles(ip.Address)[:bits/4]) + "ip6.arpa", nil
	}
	if bits <= 0 || bits >= 32 || bits%8 != 0 {
		return "", unsupported("PTR domain for IPv4 network with prefix %d cannot be automatically created", bits)
	}
	return reverse(strings.Split(ip.Address.String(), ".")[:bits/8]) + "in-addr.arpa", nil
}

func nibbles(a netip.Addr) []string {
	text := make([]string, 0, 32)
	for _, b := range a.As16() {
		text = append(text, fmt.Sprintf("%x", b>>4), fmt.Sprintf("%x", b&15))
	}
	return text
}

func reverse(labels []string) string {
	var b strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		b.WriteString(labels[i] + ".")
	}
	return b.String()
}
