package step

import (
	"net/netip"
)

var guestOps = []Op{SnoopGuests{}, UnsnoopGuests{}, RouteGuest{}, UnrouteGuest{}}

// SnoopGuests listens on a bridge for guests that take an IPv6 address, so that the
// host knows of them before it has something to send to them.
type SnoopGuests struct{ Bridge string }

func (o SnoopGuests) kind() kind {
	return kind{tag: "snoop-guests", key: "snoop " + word(o.Bridge), scope: ScopeGuests}
}

func (o SnoopGuests) String() string { return "guests listen on " + word(o.Bridge) }

// UnsnoopGuests undoes SnoopGuests. It need not be done where the process that
// listened has ended.
type UnsnoopGuests struct{ Bridge string }

func (o UnsnoopGuests) kind() kind {
	return kind{tag: "unsnoop-guests", key: "snoop " + word(o.Bridge), scope: ScopeGuests}
}

func (o UnsnoopGuests) String() string { return "guests leave alone " + word(o.Bridge) }

// RouteGuest leads an address to a bridge: a host route in the main table.
type RouteGuest struct {
	Bridge  string
	Address netip.Addr
}

func (o RouteGuest) kind() kind {
	return kind{tag: "route-guest", key: "guest " + word(o.Bridge) + " " + o.Address.String(), scope: ScopeGuests}
}

func (o RouteGuest) String() string {
	return "route add " + o.Address.String() + " dev " + word(o.Bridge)
}

// UnrouteGuest undoes RouteGuest; a missing one is no error.
type UnrouteGuest struct {
	Bridge  string
	Address netip.Addr
}

func (o UnrouteGuest) kind() kind {
	return kind{tag: "unroute-guest", key: "guest " + word(o.Bridge) + " " + o.Address.String(), scope: ScopeGuests}
}

func (o UnrouteGuest) String() string {
	return "route delete " + o.Address.String() + " dev " + word(o.Bridge)
}
