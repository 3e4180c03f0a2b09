package driver

import (
	"context"
	"net/netip"
	"time"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// System is the host as the driver sees it. Package host satisfies it.
type System interface {
	// Facts reads what plans need to know, once per operation.
	Facts(ctx context.Context) (step.Facts, error)
	// Limits reads the bounds of the kernel that one more network may run into.
	Limits(ctx context.Context) ([]step.Limit, error)
	// Run applies one op. It returns nil where an op asks for what is
	// already so and says that this is no error.
	Run(ctx context.Context, op step.Op) error
	// DnsmasqAlive reports whether the pid file names a running dnsmasq.
	DnsmasqAlive(pidFile string) bool
	// Answers returns those of some IPv4 addresses that a neighbour on one of
	// the host's links has.
	Answers(ctx context.Context, addrs []netip.Addr) ([]netip.Addr, error)
	// Members returns the links that are ports of a bridge, and which of some guests'
	// MAC addresses are behind each.
	Members(ctx context.Context, bridge string, guests []xml.MAC) ([]step.Member, error)
	// VirtualFunction reports whether a PCI device is an SR-IOV virtual
	// function.
	VirtualFunction(addr xml.PCIAddress) bool
	// Reload has a running dnsmasq read its hosts files again (SIGHUP).
	Reload(pidFile string) error
}

// Ref names a network. Networks are found by UUID; Name is for messages.
type Ref struct {
	Name string
	UUID xml.UUID
}

// ListFilter selects networks in List: libvirt's VIR_CONNECT_LIST_NETWORKS_*
// bits. Bits of one pair are alternatives, pairs are all required.
type ListFilter uint32

// The bits of a ListFilter.
const (
	ListInactive ListFilter = 1 << iota
	ListActive
	ListPersistent
	ListTransient
	ListAutostart
	ListNoAutostart
)

// EventKind is what happened to a network.
type EventKind uint8

// The events of libvirt's virNetworkEventLifecycleType, the change of metadata,
// and, unknown to libvirt, what happens to running networks by itself.
const (
	EventDefined EventKind = iota
	EventUndefined
	EventStarted
	EventStopped
	EventMetadata
	EventHealed         // another program removed firewall rules; they are restored
	EventAccepted       // the rules of others stopped guests' traffic; it passes again
	EventDnsmasqDied    // it is started again after Wait
	EventDnsmasqStarted // after it had died
	EventDnsmasqFailed  // to start, after it had died; Reason says why
	EventGuest          // a guest that something leads to came, moved or went
	EventUplink         // guests leave by other links; Reason says by which, and why
	EventNameClaimed    // By is a guest that asks for the name of another, Guest
	EventRestored       // an address or the like was taken away, Reason; Networks of these are back, 0: it is not
)

// Event is one change of a network, told after the work succeeded.
type Event struct {
	Kind    EventKind
	Network Ref
	// MetadataType and URI are set for EventMetadata: 0 description, 1 title,
	// 2 element, and the element's namespace.
	MetadataType int
	URI          string
	// Of EventHealed and EventAccepted: the program that changed the rules, where
	// the kernel says so ("nft (pid 4711)"), how many networks were mended at once,
	// and how long that took.
	By       string
	Networks int
	Took     time.Duration

	// Of events of dnsmasq: how often it died in a row, how long its next start
	// waits, and why it failed.
	Deaths int
	Wait   time.Duration
	Reason string

	// Of EventGuest: the guest's address, name or MAC address as forwards and public
	// addresses have it, how many of these there are, and where it was and is now.
	Guest    string
	Leading  int
	Was, Now []netip.Addr
}

// Kind is the class of an Error. Room rpc maps it to libvirt's error code.
type Kind uint8

// The kinds of Error, named after libvirt's error codes.
const (
	KindInternal             Kind = iota // VIR_ERR_INTERNAL_ERROR
	KindNoNetwork                        // VIR_ERR_NO_NETWORK
	KindNoPort                           // VIR_ERR_NO_NETWORK_PORT
	KindPortExists                       // VIR_ERR_NETWORK_PORT_EXIST
	KindOperationInvalid                 // VIR_ERR_OPERATION_INVALID
	KindOperationFailed                  // VIR_ERR_OPERATION_FAILED
	KindOperationUnsupported             // VIR_ERR_OPERATION_UNSUPPORTED
	KindConfigUnsupported                // VIR_ERR_CONFIG_UNSUPPORTED
	KindInvalidArg                       // VIR_ERR_INVALID_ARG
	KindInvalidMAC                       // VIR_ERR_INVALID_MAC
	KindHook                             // VIR_ERR_HOOK_SCRIPT_FAILED
	KindSystem                           // VIR_ERR_SYSTEM_ERROR; Err holds the errno
	KindNoMetadata                       // VIR_ERR_NO_NETWORK_METADATA
	KindNoSupport                        // VIR_ERR_NO_SUPPORT
	KindOperationTimeout                 // VIR_ERR_OPERATION_TIMEOUT
)

// Error is a refused or failed operation. Msg is libvirt's wording without the
// prefix for the code. With KindSystem the cause's text is appended by the
// reader of the error: "Msg: strerror".
type Error struct {
	Kind Kind
	Msg  string
	Err  error // cause; may be nil
}

func (e *Error) Error() string {
	if e.Kind == KindSystem && e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Affect says which definition a change is for: libvirt's
// VIR_NETWORK_UPDATE_AFFECT_* bits. Zero is the running definition of an active
// network, else the persistent one.
type Affect uint32

// The bits of an Affect.
const (
	AffectLive Affect = 1 << iota
	AffectConfig
)

// PortRef names a port of a network.
type PortRef struct {
	Network Ref
	UUID    xml.UUID
}

// Lease is one DHCP lease. Strings that a lease does not have are empty.
type Lease struct {
	Interface string
	Expiry    int64 // seconds since the epoch; 0: never
	IPv6      bool
	MAC       string
	IAID      string
	Address   string
	Prefix    uint32
	Hostname  string
	ClientID  string // DHCPv4 client id or DHCPv6 DUID
}

// UpdateRequest is one virNetworkUpdate call.
type UpdateRequest struct {
	Command     xml.UpdateCommand
	Section     xml.UpdateSection
	ParentIndex int // -1: not given
	Document    string
	Affect      Affect
}

// MetadataRequest names a piece of metadata: libvirt's virNetworkMetadataType
// (0 description, 1 title, 2 element with namespace URI).
type MetadataRequest struct {
	Type   int
	URI    string
	Affect Affect
}
