package step

import (
	"net/netip"
	"strings"
)

var uplinkOps = []Op{RouteNetwork{}, UnrouteNetwork{}}

// RouteNetwork keeps the rules and routes of routing as a running network needs them
// (see package policy): its guests are found although a VPN catches everything, answers
// leave by the link that a connection came in by, and guests leave by their uplinks. On
// a host with one way out and no rules of others, and without uplinks, that is nothing.
type RouteNetwork struct {
	Bridge    string
	Addresses []netip.Prefix // of the bridge: its guests' subnets
	Through   []netip.Prefix `json:",omitempty"` // some guests are in, for whom the main table has routes
	IPv4      *Way           `json:",omitempty"` // nil: guests leave as the host does
	IPv6      *Way           `json:",omitempty"`
}

// Way is how guests leave in one family.
type Way struct {
	Link    string     // "": no uplink can carry it
	Gateway netip.Addr // invalid: a line with two ends
	Guard   bool       // by nothing else
}

func (o RouteNetwork) kind() kind {
	return kind{tag: "route-network", key: "routing " + word(o.Bridge), scope: ScopeGuests}
}

func (o RouteNetwork) String() string {
	var words []string
	for _, p := range append(o.Addresses[:len(o.Addresses):len(o.Addresses)], o.Through...) {
		words = append(words, p.Masked().String())
	}
	text := "routing keep " + word(o.Bridge)
	if len(words) > 0 {
		text += " for " + strings.Join(words, " ")
	}
	for _, w := range []struct {
		name string
		way  *Way
	}{{"ipv4", o.IPv4}, {"ipv6", o.IPv6}} {
		if w.way != nil {
			text += " " + w.name + " " + w.way.String()
		}
	}
	return text
}

// String prints the way as ip-route(8) does.
func (w *Way) String() string {
	text := "unreachable"
	switch {
	case w.Link != "" && w.Gateway.IsValid():
		text = "via " + w.Gateway.String() + " dev " + word(w.Link)
	case w.Link != "":
		text = "dev " + word(w.Link)
	case !w.Guard:
		text = "as the host"
	}
	return text
}

// UnrouteNetwork undoes RouteNetwork; a missing one is no error.
type UnrouteNetwork struct{ Bridge string }

func (o UnrouteNetwork) kind() kind {
	return kind{tag: "unroute-network", key: "routing " + word(o.Bridge), scope: ScopeGuests, phase: PhaseRouting} // guests can send until the link is down
}

func (o UnrouteNetwork) String() string { return "routing forget " + word(o.Bridge) }
