package step

import (
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// ChangeKind is what changed on the host without us.
type ChangeKind uint8

// The kinds of Change.
const (
	ChangeRules      ChangeKind = iota // somebody else changed an nftables ruleset; By says who
	ChangeLeases                       // the lease file of a bridge; Link is the bridge
	ChangeNeighbours                   // who is on a bridge; Link is the bridge
	ChangeAddresses                    // an address of the host's link Link, a default route by it, or whether it is up
	ChangeDnsmasq                      // the dnsmasq of a network ended; Network is its name
	ChangeFirewalld                    // firewalld started or was reloaded
	ChangeForwarding                   // whether the host forwards, or a link of it does
	ChangePorts                        // which links are ports of the bridge Link, or what they claim
	ChangeRoutes                       // rules of routing, default routes, or whether a link carries something
)

// Change is one change of the host. One without the name of its link or network
// is about all of them: something was missed.
type Change struct {
	Kind    ChangeKind
	Link    string
	Network string
	By      string // the program that did it, where the kernel says so: "nft (pid 4711)"
	Ours    bool   // ChangeRules: our table, or a rule of ours elsewhere, was hurt
	Missed  bool   // with Ours: nobody listened then, so it may have been

	// Elsewhere says of ChangeRules that only the rules of others were changed, so
	// that guests' traffic does not pass them now: that of the bridge Link, or of
	// any.
	Elsewhere bool
}

// Listener is one socket that waits on a port of the host.
type Listener struct {
	Proto   string     // "tcp", "udp" or "sctp"
	Address netip.Addr // unspecified: any of its family
	Both    bool       // an IPv6 wildcard that takes IPv4 too
	Port    uint16
	Dev     string // bound to this device; "": none
	Inode   uint32 // of the socket; 0: not known
	Process Process
}

// Meets reports whether a listener and another socket at an address, unspecified: any
// of its family, want the same packets.
func (l Listener) Meets(a netip.Addr) bool {
	at := l.Address.Unmap().WithZone("")
	if at.Is4() != a.Is4() {
		return l.Both && a.Is4() && at.IsUnspecified()
	}
	return at.IsUnspecified() || a.IsUnspecified() || at == a
}

// Blocks reports whether a listener keeps another socket on a device from a port.
func (l Listener) Blocks(proto string, port uint16, a netip.Addr, dev string) bool {
	return l.Proto == proto && l.Port == port && (l.Dev == "" || l.Dev == dev) && l.Meets(a)
}

// Process is a program that runs. The zero value is an unknown one.
type Process struct {
	PID  int
	Name string
	Unit string // its systemd service; "": none, or it was not asked for
}

// String names a process as people do: "named (pid 812)".
func (p Process) String() string {
	switch {
	case p.PID == 0:
		return "an unknown program"
	case p.Name == "":
		return fmt.Sprintf("process %d", p.PID)
	}
	return fmt.Sprintf("%s (pid %d)", p.Name, p.PID)
}

// Neighbour is one entry of a neighbour table (RFC 4861 section 5.1, ARP).
type Neighbour struct {
	Address netip.Addr
	MAC     xml.MAC
	Port    int // index of the bridge's port behind which it was heard last; 0: not known
}

// BridgePort is a link that is a port of a bridge.
type BridgePort struct {
	Link   string
	MAC    xml.MAC      // of the link, not of a guest behind it
	Claims []netip.Addr // what was sent from it lately and dropped, the oldest first
}
