package plan

import (
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
	ChangeForwarding                   // whether the host forwards
)

// Change is one change of the host. One without the name of its link or network
// is about all of them: something was missed.
type Change struct {
	Kind    ChangeKind
	Link    string
	Network string
	By      string // the program that did it, where the kernel says so: "nft (pid 4711)"
	Ours    bool   // ChangeRules: our table, or a rule of ours elsewhere, was hurt

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
	Program string // "nginx (pid 812)"; "": not known
	Inode   uint32 // of the socket; 0: not known
}

// Neighbour is one entry of a neighbour table (RFC 4861 section 5.1, ARP).
type Neighbour struct {
	Address netip.Addr
	MAC     xml.MAC
	Port    int // index of the bridge's port behind which it was heard last; 0: not known
}
