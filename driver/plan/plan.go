package plan

import (
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// Step is one op of a plan and how to take it back.
type Step struct {
	Do   Op
	Undo Op // nil: left behind on purpose, or undone by an earlier step's undo

	// Tolerate: a failure is logged and the start goes on, as libvirt does.
	Tolerate bool

	// Fail is libvirt's wording for the failure of this step, to which the
	// errno's text is appended: "error creating bridge interface virbr0".
	// Empty: the op's own error stands.
	Fail string
}

// Plan is an ordered list of steps.
type Plan struct{ Steps []Step }

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

	// Reach is where the network's guests are, and its extensions; nil: it has
	// none.
	Reach *Reach
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

// older reports whether it is known to be older than a version 2.x.
func (d DnsmasqFacts) older(minor int) bool {
	return d.Major > 0 && d.Major < dnsmasqMajor || d.Major == dnsmasqMajor && d.Minor < minor
}

// Dirs are the places of files that plans name.
type Dirs struct {
	Run     string // pid files: /run/libvirt/network
	Dnsmasq string // dnsmasq's files: /var/lib/libvirt/dnsmasq
}
