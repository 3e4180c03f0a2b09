package step

import (
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// Facts is what the host says about itself, read once per operation.
type Facts struct {
	Links  map[string]Link
	Routes []Route // main table

	// AcceptRA is net.ipv6.conf.<link>.accept_ra for each link that has a
	// route learned from a router advertisement, and for "all".
	AcceptRA map[string]int

	NoIPv6 bool // the kernel has no net/ipv6 below /proc/sys

	// VFs lists the virtual functions of SR-IOV physical functions by the
	// netdev of the physical function, in the order of sysfs's virtfnN links.
	// A netdev that is no physical function has no entry.
	VFs map[string][]VF

	Dnsmasq DnsmasqFacts

	// Members were on the network's bridge when it was stopped; they are to be on it
	// again.
	Members []Member
}

// VF is one SR-IOV virtual function.
type VF struct {
	Netdev string // "": its driver made none
	PCI    xml.PCIAddress
}

// Link is one network interface.
type Link struct {
	Index  int
	Kind   string // "bridge", "veth", ...; "" for hardware
	Master string
	MAC    xml.MAC
	Up     bool // it is up, and not without a carrier
}

// Route is one route of the main table.
type Route struct {
	Dest    netip.Prefix
	Link    string
	Gateway netip.Addr
	FromRA  bool // learned from a router advertisement (RTPROT_RA, or kernel RA flags)
}

// DnsmasqFacts is what is known about the installed dnsmasq.
type DnsmasqFacts struct {
	Path         string // "": not found in PATH
	Major, Minor int    // both 0: not known
}

// widest is the length of the shortest prefix that counts as a host's own. A
// shorter one is a way of saying "everything".
const (
	widest4 = 8
	widest6 = 16
)

// Reached returns the routes that lead to some place, by a gateway or not; a
// bridge's own are left out.
func (f *Facts) Reached(except string) []Route {
	var list []Route
	for _, r := range f.Routes {
		least := widest4
		if r.Dest.Addr().Is6() {
			least = widest6
		}
		if r.Link != except && r.Dest.Bits() >= least && !r.Dest.Addr().IsLinkLocalUnicast() {
			list = append(list, r)
		}
	}
	return list
}

// The oldest dnsmasq that works: the first with bind-dynamic and RA lifetimes
// as the configuration needs them. Source: libvirt's DNSMASQ_MIN_*.
const (
	dnsmasqMajor = 2
	dnsmasqMinor = 67
)

// Older reports whether it is known to be older than a version 2.x.
func (d DnsmasqFacts) Older(minor int) bool {
	return d.Major > 0 && d.Major < dnsmasqMajor || d.Major == dnsmasqMajor && d.Minor < minor
}

// TooOld reports whether a dnsmasq is too old for networks, and which version is not.
func (d DnsmasqFacts) TooOld() (bool, string) {
	return d.Older(dnsmasqMinor), fmt.Sprintf("%d.%d", dnsmasqMajor, dnsmasqMinor)
}
