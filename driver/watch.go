package driver

import (
	"context"
	"net/netip"

	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
)

// Watcher is the part of the host that tells what changed by itself. Package
// host satisfies it.
type Watcher interface {
	// Watch calls tell for every change until ctx ends, and returns its error.
	// tell must not block. Changes that come fast may be told once.
	Watch(ctx context.Context, tell func(Change)) error
	// Listeners returns who listens on ports of the host (TCP, UDP, SCTP).
	// Their programs are not named, for that takes long: see Holder.
	Listeners(ctx context.Context) ([]Listener, error)
	// Holder names the program of a listener: "nginx (pid 812)"; "": not known.
	Holder(ctx context.Context, l Listener) string
	// Neighbours returns what the kernel knows about who is on a bridge.
	Neighbours(ctx context.Context, bridge string) ([]Neighbour, error)
	// BridgePorts returns the links that are ports of a bridge, in order.
	BridgePorts(ctx context.Context, bridge string) ([]step.BridgePort, error)
	// Ask asks on a bridge who has some addresses, and returns who says so.
	Ask(ctx context.Context, bridge string, addrs []netip.Addr) ([]Neighbour, error)
	// Addresses returns the addresses of the host's links by name.
	Addresses(ctx context.Context) (map[string][]netip.Addr, error)
	// Defaults returns the default routes of IPv4 and IPv6, in all tables that the
	// host looks into.
	Defaults(ctx context.Context) ([2][]policy.Default, error)
	// Missing returns those of some ops whose results others took away since.
	Missing(ctx context.Context, ops []step.Op) ([]step.Op, error)
}

// What a Watcher tells is made of values that package host shares.
type (
	// ChangeKind is what changed on the host without us.
	ChangeKind = step.ChangeKind
	// Change is one change of the host.
	Change = step.Change
	// Listener is one socket that waits on a port of the host.
	Listener = step.Listener
	// Neighbour is one entry of a neighbour table.
	Neighbour = step.Neighbour
)

// The kinds of Change.
const (
	ChangeRules      = step.ChangeRules
	ChangeLeases     = step.ChangeLeases
	ChangeNeighbours = step.ChangeNeighbours
	ChangeAddresses  = step.ChangeAddresses
	ChangeDnsmasq    = step.ChangeDnsmasq
	ChangeFirewalld  = step.ChangeFirewalld
	ChangeForwarding = step.ChangeForwarding
	ChangePorts      = step.ChangePorts
	ChangeRoutes     = step.ChangeRoutes
)
