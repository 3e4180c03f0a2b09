package step

import (
	"fmt"
	"net/netip"
)

var routeOps = []Op{AddRoute{}}

// AddRoute adds a static route to the main table.
type AddRoute struct {
	Link    string
	Dest    netip.Prefix
	Gateway netip.Addr
	Metric  uint32
}

func (o AddRoute) kind() kind {
	return kind{tag: "add-route", key: fmt.Sprintf("route %s %s via %s metric %d", word(o.Link), o.Dest, o.Gateway, o.Metric), scope: ScopeAddress}
}

func (o AddRoute) String() string {
	return fmt.Sprintf("route add %s via %s dev %s metric %d", o.Dest, o.Gateway, word(o.Link), o.Metric)
}
