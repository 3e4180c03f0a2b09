package driver

import (
	"context"
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// Watcher is the part of the host that tells what changed by itself. Package
// host satisfies it.
type Watcher interface {
	// Watch calls tell for every change until ctx ends, and returns its error.
	// tell must not block. Changes that come fast may be told once.
	Watch(ctx context.Context, tell func(Change)) error
	// Listeners returns who listens on ports of the host (TCP, UDP, SCTP).
	Listeners(ctx context.Context) ([]Listener, error)
	// Neighbours returns what the kernel knows about who is on a bridge.
	Neighbours(ctx context.Context, bridge string) ([]Neighbour, error)
	// Addresses returns the addresses of the host's links by name.
	Addresses(ctx context.Context) (map[string][]netip.Addr, error)
}

// ChangeKind is what changed on the host without us.
type ChangeKind uint8

// The kinds of Change.
const (
	ChangeRules      ChangeKind = iota // somebody else changed an nftables ruleset; By says who
	ChangeLeases                       // the lease file of a bridge; Link is the bridge
	ChangeNeighbours                   // who is on a bridge; Link is the bridge
	ChangeAddresses                    // an address of the host's link Link
	ChangeDnsmasq                      // the dnsmasq of a network ended; Network is its name
	ChangeFirewalld                    // firewalld started or was reloaded
)

// Change is one change of the host.
type Change struct {
	Kind    ChangeKind
	Link    string
	Network string
	By      string // the program that did it, where the kernel says so: "nft (pid 4711)"
	Ours    bool   // ChangeRules: our table, or a rule of ours elsewhere, was hurt
}

// Listener is one socket that waits on a port of the host.
type Listener struct {
	Proto   string     // "tcp", "udp" or "sctp"
	Address netip.Addr // unspecified: any of its family
	Both    bool       // an IPv6 wildcard that takes IPv4 too
	Port    uint16
	Dev     string // bound to this device; "": none
	Program string // "nginx (pid 812)"; "": not known
}

// Neighbour is one entry of a neighbour table (RFC 4861 section 5.1, ARP).
type Neighbour struct {
	Address netip.Addr
	MAC     xml.MAC
}
