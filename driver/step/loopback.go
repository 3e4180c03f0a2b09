package step

var loopbackOps = []Op{RouteLoopback{}, UnrouteLoopback{}}

// RouteLoopback is what earlier versions did, and only read from their records: a
// route "local ::1" of the bridge, behind the loopback device's own.
type RouteLoopback struct{ Bridge string }

func (o RouteLoopback) kind() kind {
	return kind{tag: "route-loopback", key: "loopback " + word(o.Bridge), scope: ScopeGuests}
}

func (o RouteLoopback) String() string { return "route add local ::1 dev " + word(o.Bridge) }

// UnrouteLoopback undoes RouteLoopback; a missing one is no error.
type UnrouteLoopback struct{ Bridge string }

func (o UnrouteLoopback) kind() kind {
	return kind{tag: "unroute-loopback", key: "loopback " + word(o.Bridge), scope: ScopeGuests}
}

func (o UnrouteLoopback) String() string { return "route delete local ::1 dev " + word(o.Bridge) }
