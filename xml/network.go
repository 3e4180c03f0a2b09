package xml

import "net/netip"

// Network is one <network> document: the typed, validated form that every
// other room works with. The zero value of a field means that the document did
// not give it, unless the field says otherwise.
type Network struct {
	Name        string
	UUID        UUID // the zero UUID: not given, to be generated, unless NilUUID is set
	NilUUID     bool // <uuid> is all zeros, which libvirt takes for one like others
	Title       string
	Description string
	Metadata    *Metadata // nil: no <metadata> element

	// Connections counts ports. It is printed in live XML only and never read.
	Connections int

	IPv6                bool // ipv6='yes': let guests talk IPv6 though the bridge has no IPv6 address
	TrustGuestRxFilters Tristate

	Forward     Forward
	Bridge      Bridge
	MTU         uint32 // bytes; 0: the kernel's default
	MAC         MAC    // the bridge's own address; zero: not given
	Domain      Domain
	DNS         DNS
	VLAN        *VLAN
	Bandwidth   *Bandwidth
	Isolated    Tristate // <port isolated='yes'/>
	IPs         []IP
	Routes      []Route
	VirtualPort *VirtualPort
	PortGroups  []PortGroup

	// DnsmasqOptions are raw lines for dnsmasq's configuration
	// (<dnsmasq:options>, namespace http://libvirt.org/schemas/network/dnsmasq/1.0).
	DnsmasqOptions []string

	// Advertise is virbr's <ipv6 advprefix='...'/>; nil: none.
	Advertise *Advertise

	// Fault is what is wrong in a definition that was accepted by others or
	// earlier; nil: nothing.
	Fault *Fault
}

// HasUUID reports whether a UUID is given.
func (n *Network) HasUUID() bool { return n.NilUUID || !n.UUID.IsZero() }

// ForwardMode is the mode attribute of <forward>. The zero value is an
// isolated network, which has no <forward> element.
type ForwardMode uint8

// The forward modes of libvirt's formatnetwork.html.
const (
	ForwardNone ForwardMode = iota
	ForwardNAT
	ForwardRoute
	ForwardOpen
	ForwardBridge
	ForwardPrivate
	ForwardVEPA
	ForwardPassthrough
	ForwardHostdev
)

// Routed reports whether the host itself is a router for the network (modes
// none, nat, route and open): the modes in which virbr makes the bridge.
func (m ForwardMode) Routed() bool { return m <= ForwardOpen }

// Forward is the <forward> element.
type Forward struct {
	Mode        ForwardMode
	Managed     bool // printed and used in mode hostdev only
	DriverName  string
	DriverModel string
	NAT         NAT
	PF          string // netdev of the SR-IOV physical function; "": none
	Interfaces  []ForwardInterface
}

// Dev returns the device that traffic is limited to in modes nat and route,
// and the value of the dev attribute in output; "" if there is none.
func (f *Forward) Dev() string {
	if len(f.Interfaces) > 0 {
		return f.Interfaces[0].Dev
	}
	return ""
}

// NAT is the <nat> element of <forward mode='nat'>.
type NAT struct {
	IPv6         Tristate
	AddressStart netip.Addr // IPv4; invalid: masquerade to the egress address
	AddressEnd   netip.Addr
	PortStart    uint32 // 0 with PortEnd 0: not given (1024-65535 is used)
	PortEnd      uint32
}

// ForwardInterface is one entry of the device pool: a netdev or a PCI address.
type ForwardInterface struct {
	Dev         string      // "" for a PCI entry
	PCI         *PCIAddress // nil for a netdev entry
	Connections int         // live output only, netdev entries only
}

// PCIAddress is a PCI address (domain:bus:slot.function).
type PCIAddress struct {
	Domain   uint32
	Bus      uint8
	Slot     uint8
	Function uint8
}

// Bridge is the <bridge> element.
type Bridge struct {
	Name            string // "": allocate; may hold one %d when given by a person
	Zone            string // firewalld zone
	NoSTP           bool   // stp='off'
	Delay           uint64 // forward delay, seconds
	MACTableManager string // "", "kernel" or "libvirt"
	Create          bool   // virbr's create='yes': make and remove the bridge of a mode='bridge' network
}

// Domain is the <domain> element.
type Domain struct {
	Name      string
	LocalOnly Tristate
	Register  Tristate
}

// DNS is the <dns> element.
type DNS struct {
	Enable            Tristate // No: dnsmasq serves no DNS
	ForwardPlainNames Tristate
	Forwarders        []Forwarder
	TXT               []TXT
	SRV               []SRV
	Hosts             []DNSHost
}

// Forwarder is one <forwarder>; at least one field is set.
type Forwarder struct {
	Domain string
	Addr   netip.Addr
}

// TXT is one <txt> record.
type TXT struct{ Name, Value string }

// SRV is one <srv> record (RFC 2782). Zero numbers are not printed.
type SRV struct {
	Service, Protocol, Domain, Target string
	Port, Priority, Weight            uint16
}

// DNSHost is one <host> of <dns>.
type DNSHost struct {
	IP        netip.Addr
	Hostnames []string
}

// VLAN is a <vlan> element.
type VLAN struct {
	Trunk bool
	Tags  []VLANTag
}

// VLANTag is one <tag>.
type VLANTag struct {
	ID         uint16
	NativeMode string // "", "tagged" or "untagged"
}

// Bandwidth is a <bandwidth> element; nil directions are not given.
type Bandwidth struct {
	Inbound  *Rate
	Outbound *Rate
	ClassID  uint32 // ports only; 0: none
}

// Rate is one direction of a <bandwidth>. Average, Peak and Floor are
// kilobytes per second, Burst is KiB.
type Rate struct{ Average, Peak, Floor, Burst uint64 }

// IP is one <ip> element.
type IP struct {
	Family   string     // as written: "", "ipv4" or "ipv6"
	Address  netip.Addr // the host's own address on the bridge; invalid only with Auto
	Netmask  netip.Addr // as written; invalid: not given
	Prefix   uint32     // as written; 0: not given
	LocalPtr Tristate
	Auto     bool // virbr's type='auto': a free IPv4 /24 is chosen at first start
	TFTPRoot string
	Ranges   []Range
	Hosts    []DHCPHost
	Bootp    *Bootp

	// Until, in live XML only, says that this was a subnet of the network until it was
	// renumbered, and goes at that time, in seconds since the epoch; 0: it does not.
	Until uint64
}

// HasDHCP reports whether the element has a range or a static host.
func (ip *IP) HasDHCP() bool { return len(ip.Ranges) > 0 || len(ip.Hosts) > 0 }

// Is6 reports whether this is an IPv6 subnet.
func (ip *IP) Is6() bool { return ip.Address.Is6() }

// Range is one DHCP <range>.
type Range struct {
	Start, End netip.Addr
	Lease      *Lease
}

// DHCPHost is one static <host> of <dhcp>.
type DHCPHost struct {
	MAC   string // as written; libvirt validates but does not normalise it
	ID    string // DHCPv6 client DUID
	Name  string
	IP    netip.Addr
	Lease *Lease
}

// Lease is a <lease> element: how long a DHCP lease lasts.
type Lease struct {
	Expiry uint64 // in Unit; 0: for ever
	Unit   string // "seconds", "minutes" (the default) or "hours"
}

// Bootp is the <bootp> element.
type Bootp struct {
	File   string
	Server netip.Addr // invalid: the host itself
}

// Route is one static <route>.
type Route struct {
	Family    string // as written
	Address   netip.Addr
	Netmask   netip.Addr // invalid: not given
	Prefix    uint32
	HasPrefix bool
	Gateway   netip.Addr
	Metric    uint32 // 0: not given, 1 is used
}

// VirtualPort is a <virtualport> element.
type VirtualPort struct {
	Type          string // "", "802.1Qbg", "802.1Qbh", "openvswitch" or "midonet"
	ManagerID     *uint32
	TypeID        *uint32
	TypeIDVersion *uint32
	InstanceID    *UUID
	ProfileID     string
	InterfaceID   *UUID
}

// PortGroup is one <portgroup>.
type PortGroup struct {
	Name                string
	Default             bool
	TrustGuestRxFilters Tristate
	VLAN                *VLAN
	VirtualPort         *VirtualPort
	Bandwidth           *Bandwidth
}

// Advertise is virbr's <ipv6 advprefix='P' .../>: the network advertises P to
// its guests (RFC 4861, RFC 4862). Attributes that are not given are empty.
type Advertise struct {
	Prefix   string // as written: a prefix, an address, "ula" or "auto"
	DHCP     string // "", "no", "stateless" or "stateful"
	NAT      string // "", "auto", "yes" or "no"
	Inbound  string // "", "reject" or "accept"
	HostID   string // "" or "ipv4"
	Lifetime uint64 // seconds; 0: not given
	Force    bool

	// ProxyNDP is the uplink on which the host answers for every guest's address
	// (RFC 4389, RFC 4861 section 7.2.8), because the provider takes all of the
	// prefix to be on that link: "auto" for the device of the IPv6 default
	// route, or a device name; "": the prefix is routed to the host.
	ProxyNDP string

	// Uplink is the link whose upstream router delegates the prefix that "auto" stands
	// for; "": the host's pool says it.
	Uplink string

	// Live says of a running network how its prefix came about. Printed in live XML
	// only.
	Live Advertised

	// From is "ula" or "auto" where Prefix was chosen for a definition that
	// asked for that; printed in live XML only.
	From string

	// Deprecated are the addresses that the bridge had in prefixes that were
	// advertised earlier and are still valid, with their lengths. Guests that
	// use them still can, but nothing new does (RFC 4862 section 5.5.4).
	// Printed in live XML only.
	Deprecated []netip.Prefix
}

// Advertised is what a running network advertises of a prefix that follows a delegation.
type Advertised struct {
	Via   string // the link by which it was delegated; "": it was not
	Valid uint64 // seconds that may be promised at most; 0: as the definition says

	// Routerless: the host has no way out for IPv6 itself, and is not to be taken for a
	// default router (RFC 7084 requirement G-4).
	Routerless bool
}
