package step

import (
	"net/netip"
)

var routerOps = []Op{HearRouters{}, UnhearRouters{}, RetractPrefixes{}}

// HearRouters has the host go on hearing router advertisements when it becomes a
// router for a bridge: on links that have routes by them, and, where it was none
// before, on network cards, also on those that come later.
type HearRouters struct{ Bridge string }

func (o HearRouters) kind() kind {
	return kind{tag: "hear-routers", key: "routers " + word(o.Bridge), scope: ScopeGuests}
}

func (o HearRouters) String() string { return "router advertisements: hear for " + word(o.Bridge) }

// UnhearRouters undoes HearRouters for links that come later.
type UnhearRouters struct{ Bridge string }

func (o UnhearRouters) kind() kind {
	return kind{tag: "unhear-routers", key: "routers " + word(o.Bridge), scope: ScopeGuests}
}

func (o UnhearRouters) String() string { return "router advertisements: forget " + word(o.Bridge) }

// RetractPrefixes tells everybody on a link that prefixes which were advertised there
// are not to be used any more, and, unless Router, that the host is no router.
type RetractPrefixes struct {
	Link     string
	Prefixes []netip.Prefix
	Router   bool // others are advertised on
}

func (o RetractPrefixes) kind() kind {
	return kind{tag: "retract-prefixes", key: o.String(), scope: ScopeMoment}
}

func (o RetractPrefixes) String() string {
	text := "retract"
	for _, p := range o.Prefixes {
		text += " " + p.String()
	}
	if !o.Router {
		text += " and the router"
	}
	return text + " on " + word(o.Link)
}
