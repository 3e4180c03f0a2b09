package plan

import (
	"net/netip"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Op is one small change to the host. Each op prints as one line and survives
// a round trip through JSON (see [MarshalOps]), because undo records are data.
type Op interface {
	String() string
	op() // closes the set: every op is declared in this package
}

// AddBridge makes a bridge with the given MAC address in one request.
// It fails with EEXIST when the name is taken.
type AddBridge struct {
	Name string
	MAC  xml.MAC
}

// DelLink removes a link; a missing one is no error. With MAC it removes that of
// this address only: what is not known to have been made may be somebody else's.
type DelLink struct {
	Name string
	MAC  xml.MAC `json:",omitzero"`
}

// SetMTU sets a link's MTU, in bytes.
type SetMTU struct {
	Link string
	MTU  uint32
}

// SetBridge writes one attribute of a bridge: "forward_delay" (centiseconds),
// "stp_state" or "vlan_filtering" (0 or 1).
type SetBridge struct {
	Bridge, Attr string
	Value        uint64
}

// SetSysctl writes a sysctl, given as a path below /proc/sys. With IfExists a
// missing file is no error.
type SetSysctl struct {
	Key, Value string
	IfExists   bool
}

// AddAddress adds an address to a link. Broadcast is set for IPv4 only.
// IPv6 addresses skip duplicate address detection (IFA_F_NODAD): the bridge is
// ours alone, nobody can have the address. A Deprecated one, IPv6 only, is not
// what the host sends from unless asked to.
type AddAddress struct {
	Link       string
	Address    netip.Prefix
	Broadcast  netip.Addr
	Deprecated bool `json:",omitzero"`
	Routeless  bool `json:",omitzero"` // the subnet is not routed to the link (IFA_F_NOPREFIXROUTE): it is on another one
}

// DelAddress removes an address from a link; a missing one is no error.
type DelAddress struct {
	Link    string
	Address netip.Prefix
}

// SetUp brings a link up.
type SetUp struct{ Link string }

// SetDown brings a link down; a missing one is no error.
type SetDown struct{ Link string }

// AddRoute adds a static route to the main table.
type AddRoute struct {
	Link    string
	Dest    netip.Prefix
	Gateway netip.Addr
	Metric  uint32
}

// AddRules installs a network's firewall rules in one batch, making the table
// and its base chains where they are missing, and replacing what an earlier
// set for the same bridge left.
type AddRules struct{ Rules *firewall.Network }

// DelRules removes the firewall rules of a bridge; missing ones are no error.
type DelRules struct{ Bridge string }

// FillChecksums has the kernel fill in the UDP checksums of DHCP replies that
// leave the bridge, which guests that read raw packets need.
type FillChecksums struct{ Bridge string }

// UnfillChecksums undoes FillChecksums where that is not tied to the link.
type UnfillChecksums struct{ Bridge string }

// SetZone puts an interface into a firewalld zone. An empty Zone means
// libvirt's own choice: "libvirt-routed" for Routed networks where firewalld
// has it, else "libvirt", and nothing where firewalld does not run.
type SetZone struct {
	Link, Zone string
	Routed     bool
	Network    string // the network's name, for messages

	// Own: where firewalld lacks libvirt's zones, virbr's own is taken, and made
	// if need be. Otherwise that is an error.
	Own bool `json:",omitzero"`
}

// UnsetZone takes an interface out of its firewalld zone.
type UnsetZone struct{ Link string }

// WriteFile writes a file atomically with the given permissions.
type WriteFile struct {
	Path string
	Mode uint32
	Data string
}

// StartDnsmasq starts dnsmasq with a configuration file and waits until it
// serves; its environment holds VIR_BRIDGE_NAME=Bridge, and what the
// lease helper inherits from it.
type StartDnsmasq struct {
	Conf, PidFile, Bridge string

	// Wide: its configuration has lines that are not ours, which may be about
	// other links than the bridge.
	Wide bool

	// Aside: it is on its way when the op is done, and an AwaitDnsmasq follows.
	Aside bool `json:",omitzero"`
}

// AwaitDnsmasq waits until the dnsmasq of a pid file serves that was started
// Aside, and says why if it does not.
type AwaitDnsmasq struct{ PidFile string }

// SignalDnsmasq asks the dnsmasq of a pid file to leave (SIGTERM) and does not
// wait for it; StopDnsmasq does, later. One that is gone is no error.
type SignalDnsmasq struct{ PidFile string }

// StopDnsmasq ends the dnsmasq of a pid file: SIGTERM, and SIGKILL if it does not
// leave. Where the pid file does not lead to it, it is looked for.
type StopDnsmasq struct{ PidFile string }

// RegisterDNS tells systemd-resolved that a domain is served on a link.
type RegisterDNS struct {
	Link, Domain string
	Server       netip.Addr
}

// ShapeNetwork limits what a bridge carries (HTB towards guests, a policer from
// them). Rates are kilobytes per second, bursts KiB.
type ShapeNetwork struct {
	Bridge    string
	Bandwidth xml.Bandwidth
}

// UnshapeNetwork removes the limits of ShapeNetwork.
type UnshapeNetwork struct{ Bridge string }

func (AddBridge) op()       {}
func (DelLink) op()         {}
func (SetMTU) op()          {}
func (SetBridge) op()       {}
func (SetSysctl) op()       {}
func (AddAddress) op()      {}
func (DelAddress) op()      {}
func (SetUp) op()           {}
func (SetDown) op()         {}
func (AddRoute) op()        {}
func (AddRules) op()        {}
func (DelRules) op()        {}
func (FillChecksums) op()   {}
func (UnfillChecksums) op() {}
func (SetZone) op()         {}
func (UnsetZone) op()       {}
func (WriteFile) op()       {}
func (StartDnsmasq) op()    {}
func (AwaitDnsmasq) op()    {}
func (SignalDnsmasq) op()   {}
func (StopDnsmasq) op()     {}
func (RegisterDNS) op()     {}
func (ShapeNetwork) op()    {}
func (UnshapeNetwork) op()  {}
