package xml

import "net/netip"

// Namespace is that of virbr's own metadata: everything that libvirt's words
// have no place for. It passes unharmed through libvirt and its clients.
const Namespace = "urn:virbr:network:1"

// Extensions is the <virbr:network> element of <metadata>, or of a file of its
// own for a libvirt that keeps no metadata. The zero value is an absent one.
type Extensions struct {
	Apply Apply // attribute

	// Advertise, Auto and Create are the three elements that may also stand in
	// the network itself: <virbr:ipv6 advprefix=''/>, <virbr:ip type='auto'/>
	// and <virbr:bridge create='yes'/>.
	Advertise *Advertise
	Auto      bool
	Create    bool

	Forwards []PortForward // in order: the first that matches decides
	Publics  []PublicAddress
	Guards   []Guard  // at most one of the whole network, and of each port group
	Uplinks  []Uplink // in order: the first that can carry a family has its traffic
	Firewall Firewall
}

// Apply says when a running network becomes what virNetworkDefineXML says.
type Apply uint8

// The values of Apply.
const (
	ApplyUnset Apply = iota // as virbrd.conf has it
	ApplyStart              // when it starts next, as with libvirt
	ApplyLive               // at once
)

// Firewall is the <virbr:firewall> element.
type Firewall struct {
	// Coexist says whether accepting rules are put into the tables of others
	// that would drop the guests' traffic. Absent: as yes.
	Coexist Coexist

	// Mode gives a network of mode open the rules that a network of this mode
	// has. Only with Filter.
	Mode   ForwardMode // none, nat or route
	Filter bool        // the mode attribute was given

	// Services limits what guests reach of the host to what the network serves:
	// addresses, names and the like.
	Services bool

	// Offload has established connections go by a flowtable of the kernel, past
	// all rules.
	Offload bool
}

// Coexist says in which tables of others a network's traffic is accepted.
type Coexist uint8

// The values of Coexist.
const (
	CoexistUnset Coexist = iota
	CoexistYes           // at places that their owners have for rules of others
	CoexistNo            // in none
	CoexistAll           // in all that can be changed, also in those that their owner shut on purpose
)

// Family selects address families. The zero value is both.
type Family uint8

// The values of Family.
const (
	FamilyAll Family = iota
	FamilyIPv4
	FamilyIPv6
)

// Versions returns the families that are meant: IPv4 as true.
func (f Family) Versions() []bool {
	switch f {
	case FamilyIPv4:
		return []bool{true}
	case FamilyIPv6:
		return []bool{false}
	case FamilyAll:
	}
	return []bool{true, false}
}

// PortForward is one <virbr:portForward>: what arrives for a port of the host
// goes to a guest instead.
type PortForward struct {
	Proto   string         // "tcp", "udp" or "sctp"
	Family  Family         // of what arrives, and of the guest's address
	Address netip.Addr     // listen address; invalid: any of the host's; 0.0.0.0 and :: are any of their family
	Dev     string         // listen at the addresses of this host interface, as they are at the time; "": no limit
	Ignore  bool           // an exception: what matches is left alone
	Guest   string         // DHCP name, MAC address or IP address; "" with Ignore
	From    []netip.Prefix // who may use it, in order; none: everybody
	Ranges  []ForwardRange
}

// ForwardRange is one <virbr:range>. Ports of the host Start to End go to those
// of the guest from To on. None at all: all ports.
type ForwardRange struct {
	Start, End uint16 // End as written; 0: the same as Start
	To         uint16 // 0: the same as Start
	Exclude    bool   // these ports are not forwarded, though another range of the forward has them
}

// PublicAddress is one <virbr:address>: an address that belongs to one guest
// (one-to-one NAT).
type PublicAddress struct {
	Public    netip.Addr
	Guest     string // DHCP name, MAC address or IP address
	Stateless bool   // without connection tracking; the default is stateful
}
