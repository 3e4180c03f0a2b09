package xml

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// parseAddr reads an address as getaddrinfo with AI_NUMERICHOST does: IPv6
// without a zone, and IPv4 in all the forms of inet_aton (1.2.3 is 1.2.0.3).
func parseAddr(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		return a, err == nil && a.Zone() == ""
	}
	return parseLegacy(s)
}

// parseUpstream is parseAddr for a server of the host's: a link-local address may
// have a zone, the device that it is beyond. dnsmasq would take what follows a # or @
// for a port or a source.
func parseUpstream(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() == "" {
		return parseAddr(s)
	}
	return a, a.IsLinkLocalUnicast() && checkDevice(nil, "zone", a.Zone()) == nil && !strings.ContainsAny(a.Zone(), "#@")
}

// parseLegacy is inet_aton: one to four parts, decimal, octal (0) or
// hexadecimal (0x), the last one filling what remains.
func parseLegacy(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, part := range parts {
		if part == "" || part[0] < '0' || part[0] > '9' {
			return netip.Addr{}, false
		}
		n, ok := parseUint(part, 0, 32)
		width := 8
		if i == len(parts)-1 {
			width = 8 * (5 - len(parts))
		}
		if !ok || n >= 1<<width {
			return netip.Addr{}, false
		}
		v = v<<width | n
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(v))
	return netip.AddrFrom4(b), true
}

// formatAddr prints an address as getnameinfo does. It differs from netip in
// the obsolete IPv4-compatible addresses, which glibc ends in dotted form.
func formatAddr(a netip.Addr) string {
	if !a.Is6() || a.Is4In6() {
		return a.String()
	}
	b := a.As16()
	if binary.BigEndian.Uint64(b[:8]) == 0 && binary.BigEndian.Uint32(b[8:12]) == 0 && (b[12] != 0 || b[13] != 0) {
		return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
	}
	return a.String()
}

// Subnet returns the network that the element stands for, with the host bits
// cleared: an explicit prefix, else the netmask's, else the default of the
// address class (A 8, B 16, C 24; IPv6 64). ok is false where there is no
// usable prefix: a netmask with holes, class D or E, or an address that is
// still to be chosen.
func (ip *IP) Subnet() (subnet netip.Prefix, ok bool) {
	n := ip.prefixLen()
	if !ip.Address.IsValid() || n < 0 || n > ip.Address.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(ip.Address, n).Masked(), true
}

// prefixLen is libvirt's virNetworkIPDefPrefix; -1 if there is none.
func (ip *IP) prefixLen() int {
	return effectivePrefix(ip.Address, ip.Netmask, ip.Prefix)
}

func effectivePrefix(addr, netmask netip.Addr, prefix uint32) int {
	switch {
	case prefix > 0:
		return int(prefix)
	case netmask.IsValid():
		return maskLen(netmask)
	case addr.Is4():
		return classPrefix(addr)
	case addr.Is6() && !addr.IsUnspecified():
		return 64
	}
	return 0
}

// maskLen counts the bits of a netmask; -1 if they are not contiguous.
func maskLen(mask netip.Addr) int {
	if !mask.Is4() {
		return -1
	}
	b := mask.As4()
	v := binary.BigEndian.Uint32(b[:])
	n := bits.LeadingZeros32(^v)
	if v<<n != 0 {
		return -1
	}
	return n
}

func classPrefix(a netip.Addr) int {
	switch first := a.As4()[0]; {
	case a.IsUnspecified():
		return 0
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return -1
}

// maxRange bounds the addresses in one range, as in libvirt.
const maxRange = 65535

// checkRange refuses a range of addresses that libvirt's virSocketAddrGetRange
// refuses. network is the address of the <ip> around it; invalid: none.
func checkRange(el *node, start, end, network netip.Addr, prefix int) error {
	refuse := func(format string, args ...any) error {
		return el.fail(KindInternal, OriginHelper, format, args...)
	}
	r := fmt.Sprintf("%s - %s", formatAddr(start), formatAddr(end))
	if start.Is4() != end.Is4() {
		return refuse("mismatch of address family in range %s", r)
	}
	if network.IsValid() {
		net := formatAddr(network)
		if start.Is4() != network.Is4() {
			return refuse("mismatch of address family in range %s for network %s", r, net)
		}
		if prefix < 0 || prefix > network.BitLen() {
			return refuse("bad prefix %d for network %s when checking range %s", prefix, net, r)
		}
		subnet := netip.PrefixFrom(network, prefix).Masked()
		if !subnet.Contains(start) || !subnet.Contains(end) {
			return refuse("range %s is not entirely within network %s/%d", r, net, prefix)
		}
		if start.Is4() && start == subnet.Addr() {
			return refuse("start of range %s in network %s/%d is the network address", r, net, prefix)
		}
		if start.Is4() && end == LastOf(subnet) {
			return refuse("end of range %s in network %s/%d is the broadcast address", r, net, prefix)
		}
	}
	return checkSpan(refuse, start, end, r)
}

func checkSpan(refuse func(string, ...any) error, start, end netip.Addr, r string) error {
	if start.Is4() {
		s, e := start.As4(), end.As4()
		first, last := binary.BigEndian.Uint32(s[:]), binary.BigEndian.Uint32(e[:])
		switch {
		case last < first:
			return refuse("range %s is reversed ", r)
		case last-first > maxRange:
			return refuse("range %s is too large (> %d)", r, maxRange)
		}
		return nil
	}
	s, e := start.As16(), end.As16()
	switch {
	case [14]byte(s[:14]) != [14]byte(e[:14]):
		return refuse("range %s is too large (> %d)", r, maxRange)
	case end.Less(start):
		return refuse("range %s start larger than end", r)
	}
	return nil
}

// LastOf returns the last address of a prefix.
func LastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
