package dnsmasq

import (
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/virbr/virbr/xml"
)

// defaultLeases is dnsmasq's own limit of leases (dnsmasq(8), --dhcp-lease-max).
const defaultLeases = 1000

// dhcp writes the ranges of both families and the number of leases that there may
// be. More is the number of leases in ranges that are written elsewhere.
//
// libvirt counts the addresses of ranges only. Where hosts have addresses outside
// of these, that refuses guests with a reservation once other guests have as many
// leases, so these hosts count here, with room for some to come: dnsmasq reads a
// new host while it serves, but a new limit only when it starts.
func (l *lines) dhcp(dhcp subnets, more uint64) error {
	const room = 64 // a limit that is a multiple of it seldom changes
	leases, outside := more, uint64(0)
	for _, ip := range dhcp.list() {
		n, err := l.ranges(ip)
		if err != nil {
			return err
		}
		leases += n
		for _, h := range ip.Hosts {
			if !slices.ContainsFunc(ip.Ranges, func(r xml.Range) bool { return !h.IP.Less(r.Start) && !r.End.Less(h.IP) }) {
				outside++
			}
		}
	}
	if outside = (outside + room - 1) / room * room; leases > 0 || outside > defaultLeases {
		l.add("dhcp-lease-max=%d", leases+outside)
	}
	return nil
}

// ranges writes the directives of one subnet and returns the number of
// addresses in its ranges.
func (l *lines) ranges(ip *xml.IP) (uint64, error) {
	mask, err := maskText(ip)
	if err != nil {
		return 0, err
	}
	var total uint64
	for _, r := range ip.Ranges {
		n, err := RangeSize(r)
		if err != nil {
			return 0, err
		}
		total += n
		l.add("dhcp-range=%s,%s,%s%s", r.Start, r.End, mask, suffix(r.Lease))
	}
	if ip.Is6() {
		if len(ip.Ranges) == 0 {
			l.add("dhcp-range=%s,static,%s", ip.Address, mask)
		}
		return total, nil
	}
	if len(ip.Ranges) == 0 {
		l.add("dhcp-range=%s,static", ip.Address)
	}
	l.add("dhcp-no-override")
	l.add("dhcp-authoritative")
	if b := ip.Bootp; b != nil {
		server := ""
		if b.Server.IsValid() {
			server = ",," + b.Server.String()
		}
		l.add("dhcp-boot=%s%s", quoteField(strings.TrimSpace(b.File)), server)
	}
	return total, nil
}

// maskText returns what dnsmasq wants behind a range: a netmask for IPv4, a
// prefix length for IPv6.
func maskText(ip *xml.IP) (string, error) {
	subnet, ok := ip.Subnet()
	if !ok {
		return "", internal("invalid prefix or netmask for '%s'", ip.Address)
	}
	if ip.Is6() {
		return strconv.Itoa(subnet.Bits()), nil
	}
	ones := ^uint32(0) << (32 - subnet.Bits())
	return netip.AddrFrom4([4]byte{byte(ones >> 24), byte(ones >> 16), byte(ones >> 8), byte(ones)}).String(), nil
}

// RangeSize returns how many addresses a DHCP range holds, both ends counted.
// A range whose ends differ in family or order, or that holds more than 65536
// addresses, is refused in libvirt's words.
func RangeSize(r xml.Range) (uint64, error) {
	if !r.Start.IsValid() || !r.End.IsValid() || r.Start.Is4() != r.End.Is4() {
		return 0, internal("mismatch of address family in range %s - %s", r.Start, r.End)
	}
	if r.End.Less(r.Start) {
		if r.Start.Is4() {
			return 0, internal("range %s - %s is reversed ", r.Start, r.End)
		}
		return 0, internal("range %s - %s start larger than end", r.Start, r.End)
	}
	start, end := new(big.Int).SetBytes(r.Start.AsSlice()), new(big.Int).SetBytes(r.End.AsSlice())
	distance := end.Sub(end, start)
	if !distance.IsUint64() || distance.Uint64() > 65535 {
		return 0, internal("range %s - %s is too large (> 65535)", r.Start, r.End)
	}
	return distance.Uint64() + 1, nil
}

// LeaseTime returns a lease time in dnsmasq's form: a number with the first
// letter of its unit ("200s", "10m", "1h"), "infinite", or "" for nil, which
// leaves the choice to dnsmasq.
func LeaseTime(l *xml.Lease) string {
	if l == nil {
		return ""
	}
	if l.Expiry == 0 {
		return "infinite"
	}
	unit := "m"
	switch l.Unit {
	case "seconds":
		unit = "s"
	case "hours":
		unit = "h"
	}
	return strconv.FormatUint(l.Expiry, 10) + unit
}

func suffix(l *xml.Lease) string {
	if text := LeaseTime(l); text != "" {
		return "," + text
	}
	return ""
}

// hosts writes the dhcp-hostsfile: IPv4 hosts, then IPv6 hosts, in the order of
// the document.
func hosts(def *xml.Network, dhcp subnets) (string, error) {
	var l lines
	for _, ip := range dhcp.list() {
		for _, h := range ip.Hosts {
			if fields := hostFields(h, ip.Is6()); fields != "" {
				l.add("%s%s%s", fields, hostID(def, h, ip.Is6()), suffix(h.Lease))
			}
		}
	}
	return l.done()
}

// hostFields returns who a static host is and what it gets; "": dnsmasq could not
// tell who it is. A name that dnsmasq does not take for one is left out: it would
// drop the whole line, and the guest its address.
func hostFields(h xml.DHCPHost, v6 bool) string {
	var fields []string
	switch {
	case v6 && h.ID != "":
		fields = append(fields, "id:"+h.ID)
	case !v6 && h.MAC != "":
		fields = append(fields, strings.TrimRight(h.MAC, " \t"), h.IP.String())
	case !hostName(h.Name):
		return ""
	}
	if hostName(h.Name) {
		fields = append(fields, h.Name)
	}
	switch {
	case v6:
		fields = append(fields, "["+h.IP.String()+"]")
	case h.MAC == "":
		fields = append(fields, h.IP.String())
	}
	return strings.Join(fields, ",")
}

// hostName reports whether dnsmasq takes a field of a static host for its name:
// by its legal_hostname, which looks no further than the first dot, and not for a
// lease time, an address or an order.
func hostName(name string) bool {
	host, rest, _ := strings.Cut(name, ".")
	time := strings.Trim(strings.TrimRight(name, "wWdDhHmMsS"), "0123456789") == ""
	if host == "" || time || name == "ignore" || name == "infinite" || len(name) > maxName {
		return false
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is4() {
		return false
	}
	for i, c := range host {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	for label := range strings.SplitSeq(host+"."+strings.TrimSuffix(rest, "."), ".") {
		if len(label) > maxLabel || strings.ContainsFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return false
		}
	}
	return true
}

// Limits of names (RFC 1035 section 2.3.4), which dnsmasq checks.
const (
	maxName  = 253
	maxLabel = 63
)

// addnHosts writes the addn-hosts file: one line for each address, with all
// its names, in the order in which addresses are first named. Each field ends
// in a tab, the last one too. dnsmasq reads this file word by word, so its lines
// may have any length.
func addnHosts(list []xml.DNSHost) string {
	names := make(map[netip.Addr][]string)
	var order []netip.Addr
	for _, h := range list {
		if _, seen := names[h.IP]; !seen {
			order = append(order, h.IP)
		}
		names[h.IP] = append(names[h.IP], h.Hostnames...)
	}
	var text strings.Builder
	for _, ip := range order {
		text.WriteString(ip.String() + "\t" + strings.Join(names[ip], "\t") + "\t\n")
	}
	return text.String()
}
