package dnsmasq

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/virbr/virbr/xml"
)

// Numbering is what the lease helper needs to know about a network whose leased
// guests have one number for both families (hostid='ipv4').
type Numbering struct {
	Prefix netip.Prefix        // what is advertised
	Static map[netip.Addr]bool // IPv4 addresses of static hosts, which the dhcp-hostsfile numbers
}

// numbered reports whether the lease helper numbers a network's guests: they
// have IPv4 leases.
func numbered(def *xml.Network, dhcp subnets) bool {
	_, ok := advertised(def)
	return ok && def.Advertise.HostID != "" && dhcp.v4 != nil && len(dhcp.v4.Ranges) > 0
}

// numbering writes the file that [ParseNumbering] reads: the prefix, then the
// address of each static host.
func numbering(def *xml.Network, dhcp subnets) string {
	if !numbered(def, dhcp) {
		return ""
	}
	p, _ := advertised(def)
	text := new(strings.Builder)
	fmt.Fprintln(text, p.Masked())
	for _, h := range dhcp.v4.Hosts {
		fmt.Fprintln(text, h.IP)
	}
	return text.String()
}

// ParseNumbering reads what a network's start wrote for the lease helper. ok is
// false where nothing is to be numbered: the file is empty, or not ours.
func ParseNumbering(text string) (n Numbering, ok bool) {
	first, rest, _ := strings.Cut(text, "\n")
	p, err := netip.ParsePrefix(first)
	if err != nil || !p.Addr().Is6() {
		return Numbering{}, false
	}
	n = Numbering{Prefix: p, Static: map[netip.Addr]bool{}}
	for line := range strings.Lines(rest) {
		addr, err := netip.ParseAddr(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return Numbering{}, false
		}
		n.Static[addr] = true
	}
	return n, true
}

// Host returns what dnsmasq's dhcp-hostsdir is to hold for a lease: a file named
// by the IPv4 address, so that no two hold one number, and its text. The text
// is empty where the lease's guest has no number by it. ok is false for leases
// of IPv6.
//
// Only addresses go in, nothing that a guest has said of itself. The line names
// the IPv4 address, too: dnsmasq 2.90 never comes back from a guest that has a
// line without one and calls itself as a static host that has no MAC address.
func (n Numbering) Host(e Entry) (name, text string, ok bool) {
	addr, err := netip.ParseAddr(e.Address)
	if err != nil || !addr.Is4() {
		return "", "", false
	}
	name = addr.String()
	if n.Static[addr] || !ethernet(e.MAC) {
		return name, "", true
	}
	return name, fmt.Sprintf("%s,%s,[%s]\n", e.MAC, addr, xml.Embed(n.Prefix, addr)), true
}

// ethernet reports whether this is a MAC address as dnsmasq writes those of
// Ethernet: those of other links begin with their type.
func ethernet(mac string) bool {
	if len(mac) != len("00:00:00:00:00:00") {
		return false
	}
	for i := range len(mac) {
		if i%3 == 2 && mac[i] != ':' || i%3 != 2 && !strings.ContainsRune("0123456789abcdefABCDEF", rune(mac[i])) {
			return false
		}
	}
	return true
}
