package step

import (
	"fmt"
	"net/netip"
)

var routeOps = []Op{AddRoute{}, DelRoute{}}

// AddRoute adds a static route to the main table.
type AddRoute struct {
	Link    string
	Dest    netip.Prefix
	Gateway netip.Addr
	Metric  uint32
	Instead netip.Addr `json:",omitzero"` // the gateway that there is, and goes; invalid: there is no such route
}

func (o AddRoute) kind() kind { return kind{tag: "add-route", key: o.key(), scope: ScopeAddress} }

func (o AddRoute) key() string {
	return fmt.Sprintf("route %s %s metric %d", word(o.Link), o.Dest, o.Metric)
}

func (o AddRoute) String() string { return o.text("add") }

func (o AddRoute) text(do string) string {
	return fmt.Sprintf("route %s %s via %s dev %s metric %d", do, o.Dest, o.Gateway, word(o.Link), o.Metric)
}

// DelRoute removes a static route; a missing one is no error.
type DelRoute AddRoute

func (o DelRoute) kind() kind {
	return kind{tag: "del-route", key: AddRoute(o).key(), scope: ScopeAddress}
}

func (o DelRoute) String() string { return AddRoute(o).text("delete") }
