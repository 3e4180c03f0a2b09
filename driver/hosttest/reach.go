package hosttest

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/virbr/virbr/driver/step"
)

// at is an address on a link.
type at struct {
	link string
	addr netip.Addr
}

// reach is what leads from elsewhere to guests.
type reach struct {
	proxies map[at]bool
	routes  map[netip.Addr]string // to the bridge
	accepts map[string]string     // bridge to what is accepted
	routing map[string]string     // by bridge
}

func newReach() reach {
	return reach{make(map[at]bool), make(map[netip.Addr]string), make(map[string]string), make(map[string]string)}
}

// forget is what the end of a link takes with it.
func (r *reach) forget(link string) {
	maps.DeleteFunc(r.proxies, func(p at, _ bool) bool { return p.link == link })
	maps.DeleteFunc(r.routes, func(_ netip.Addr, bridge string) bool { return bridge == link })
}

func (r *reach) lines() []string {
	var lines []string
	for p := range r.proxies {
		lines = append(lines, fmt.Sprintf("proxy %s %s", p.link, p.addr))
	}
	for addr, bridge := range r.routes {
		lines = append(lines, fmt.Sprintf("route %s %s", addr, bridge))
	}
	for bridge, what := range r.accepts {
		lines = append(lines, fmt.Sprintf("accepts %s %s", bridge, what))
	}
	for _, line := range r.routing {
		lines = append(lines, line)
	}
	return lines
}

// extend does the ops of plan's reach.go.
func (f *Fake) extend(op step.Op) error {
	switch o := op.(type) {
	case step.ProxyNeighbour:
		return f.onLink(o.Link, func(*link) { f.reach.proxies[at{o.Link, o.Address}] = true })
	case step.UnproxyNeighbour:
		delete(f.reach.proxies, at{o.Link, o.Address})
	case step.RouteGuest:
		return f.onLink(o.Bridge, func(*link) { f.reach.routes[o.Address] = o.Bridge })
	case step.UnrouteGuest:
		if f.reach.routes[o.Address] == o.Bridge {
			delete(f.reach.routes, o.Address)
		}
	case step.UnrouteLoopback, step.EndConnections, step.EndUntranslated, step.RetractPrefixes, step.HearRouters, step.UnhearRouters, step.SnoopGuests, step.UnsnoopGuests, step.RepairForeignTables:
	case step.RouteNetwork:
		return f.onLink(o.Bridge, func(*link) { f.reach.routing[o.Bridge] = o.String() })
	case step.UnrouteNetwork:
		delete(f.reach.routing, o.Bridge)
	case step.AcceptInForeignTables:
		f.reach.accepts[o.Bridge] = fmt.Sprintf("forward %v serve %v", o.Forward, o.Serve)
	case step.UnacceptInForeignTables:
		delete(f.reach.accepts, o.Bridge)
	case step.AcceptInLibvirtChains:
		f.reach.accepts[o.Bridge+" beside libvirt"] = fmt.Sprint(o.Own, o.Stray)
	case step.UnacceptInLibvirtChains:
		delete(f.reach.accepts, o.Bridge+" beside libvirt")
	default:
		return fmt.Errorf("hosttest knows no %T", op)
	}
	return nil
}
