package doctor

import (
	"net/netip"

	"github.com/virbr/virbr/delegation"
	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

// Facts is all that is asked of a host, read at one time.
type Facts struct {
	Plan    step.Facts // links, routes of the main table, dnsmasq
	Links   map[string]Link
	Routers []Router // neighbours that say that they are routers

	// Sysctls are those that matter, by their path below /proc/sys. The kernel
	// does not have the ones that are missing.
	Sysctls map[string]string

	Listeners []step.Listener
	Resolv    Resolv
	Daemons   Daemons
	Libvirt   Libvirt

	DnsmasqPackage Package

	Hook      Hook
	Firewalld *Firewalld // nil: it does not run
	Limits    []step.Limit
	Networks  []Network // in the order of their names

	// Policies are rules of routing and routes that refuse; nil where nothing is
	// refused to guests.
	Policies []Policy

	// Delegations are what upstream routers delegate to virbrd, by link.
	Delegations map[string]delegation.Holding

	// Filters are the packet filters of other programs; nil: not known.
	Filters *coexist.Survey

	// Modules says of kernel modules that may be missing what is known.
	Modules map[string]Module

	Checked   int64    // when, in seconds since the epoch
	Unchecked []string // what could not be looked at, and why
}

// Link is what plans do not need to know of a network interface.
type Link struct {
	Up        bool // switched on
	Addresses []netip.Prefix
	Tentative []netip.Addr // those that are not used yet (RFC 4862 section 5.4)
	Duplicate []netip.Addr // those that another machine has
	STP       string       // of a bridge: "", or "on"
	PortState string       // of a bridge's port: "disabled", "listening", "learning", "forwarding" or "blocking"
}

// Router is a neighbour that is a router (RFC 4861 section 6.2.8, the R flag).
type Router struct {
	Link    string
	Address netip.Addr
}

// Process is a program that runs.
type Process = step.Process

// Resolv is the host's /etc/resolv.conf.
type Resolv struct {
	Target  string       // where a symbolic link leads; "": it is none
	Missing bool         // there is no such file, or the link leads nowhere
	Servers []netip.Addr // without zones
}

// Daemons are the programs that keep networks.
type Daemons struct {
	Systemd bool    // the host was started by systemd
	Virbrd  Process // PID 0: it does not run
	Holder  Process // who keeps the networks' state: virbrd or a libvirt daemon; PID 0: nobody
}

// Libvirt is how libvirt's daemon on this host comes by its networks.
type Libvirt struct {
	Monolithic bool    // libvirtd is installed
	Modular    bool    // virtqemud is
	Module     string  // the file that libvirtd loads for networks; "": there is none
	Original   string  // libvirt's own, moved aside by package virbr-libvirtd; "": it is not
	Libvirtd   Process // PID 0: it does not run
	Loaded     bool    // it has loaded Module
	Beside     bool    // it has loaded Original
	Disabled   bool    // virbrd.conf says libvirtd_module = "disabled"
	Listens    bool    // there is a socket of virbrd's, or of systemd for it
	Ordered    bool    // the unit of libvirtd waits for virbrd's socket
	Excluded   bool    // the unit of virbrd conflicts with libvirtd's
}

// Module is what is known of a kernel module.
type Module uint8

// The values of Module.
const (
	ModuleUnknown   Module = iota
	ModulePresent          // loaded or built in
	ModuleAvailable        // modprobe finds it
	ModuleAbsent           // the kernel has none
)

// Keeper is who runs a network.
type Keeper uint8

// The values of Keeper.
const (
	KeeperNobody Keeper = iota
	KeeperVirbrd
	KeeperLibvirt
)

// String returns the word for a keeper.
func (k Keeper) String() string { return [...]string{"nobody", "virbrd", "libvirt"}[k%3] }

// Network is one network of the host.
type Network struct {
	Name      string
	Def       *xml.Network // the running definition, else the persistent one; nil: Unread says why
	Unread    string
	Active    bool
	Autostart bool
	Failed    string // what virbrd's last try to start it ended with, and when; "": it did not fail
	Started   Keeper // who started it, as far as files tell

	Extended bool         // it has extensions, in its metadata or in File
	File     string       // "": in its metadata
	Added    *plan.Report // what the hook reports of them; nil: nothing

	// Resolutions is what virbrd says of the running network's forwards and public
	// addresses; nil: it was not asked, or does not run it.
	Resolutions *Resolutions

	Dnsmasq Process         // PID 0: none runs
	Leases  []dnsmasq.Entry // of the bridge
	Paths   []Path          // of its subnets, in their order
	Rules   Rules
	Stopped []Stopped // what guards have dropped on the bridge

	// Checksums says that the kernel fills in checksums of DHCP replies.
	Checksums bool
	// Shaped are the kinds of queues on the bridge: "htb", "ingress", "clsact".
	Shaped []string
}

// Stopped is how many frames of a guest a guard has dropped since its port is guarded.
type Stopped struct {
	Link, Guest string // Guest: "" where none is known
	Cause       string // why: the name of its set of nftables without "stop_"
	Packets     uint64
}

// Rules is what the kernel has of a network's firewall rules.
type Rules struct {
	Own     bool     // virbr's table has something for the bridge
	Missing []string // what it lacks: "chain leave_virbr0"
	Libvirt bool     // libvirt's rules name the bridge
	Legacy  bool     // the older iptables is in use, which cannot be looked into
}
