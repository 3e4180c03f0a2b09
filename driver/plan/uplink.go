package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Uplinks returns the links on which the host answers for a whole prefix, guest
// by guest: those whose neighbours [NewResolution] wants to know.
func Uplinks(def *xml.Network, routes []step.Route) []string {
	if link := uplink(def, routes); link != "" {
		return []string{link}
	}
	return nil
}

// uplink returns the device of <ipv6 proxyndp='...'>; "": there is none.
func uplink(def *xml.Network, routes []step.Route) string {
	a := def.Advertise
	if a == nil || a.ProxyNDP == "" || a.ProxyNDP == def.Bridge.Name {
		return ""
	}
	if a.ProxyNDP != "auto" {
		return a.ProxyNDP
	}
	for _, r := range routes {
		if r.Dest == netip.PrefixFrom(netip.IPv6Unspecified(), 0) && r.Link != def.Bridge.Name {
			return r.Link
		}
	}
	return ""
}

// onLink returns the link that an address is on by the routes; "": behind a
// gateway, on the bridge itself, or anywhere (the default route of a line with two
// ends).
func onLink(a netip.Addr, bridge string, routes []step.Route) string {
	link, bits := "", -1
	for _, r := range routes {
		if r.Dest.Bits() > 0 && r.Dest.Contains(a) && r.Dest.Bits() > bits && r.Dest.Bits() < a.BitLen() {
			link, bits = r.Link, r.Dest.Bits()
			if r.Gateway.IsValid() || r.Link == bridge {
				link = ""
			}
		}
	}
	return link
}

// maxOutward bounds the links that clients outside come by: each is a rule that
// packets of guests with a stateless public address go through, and an element for
// each guest with a public address.
const maxOutward = 16

// outward returns the links beyond which the clients of public addresses are
// outside: those of default routes, those that the addresses are on, and those
// of hardware that the host has a route by, also below a bridge of somebody else.
// What is behind others, tunnels and networks and containers of this host, does not
// see guests by their public addresses: it may know no way back to these.
//
// None: the forward device says it, or there is no public address. On a host that has
// no such link it is all that the host has a route by, but bridges.
func outward(def *xml.Network, ext *xml.Extensions, seen Observations, both [2]*Egress) []string {
	if def.Forward.Dev() != "" || len(ext.Publics) == 0 {
		return nil
	}
	if len(ext.Uplinks) > 0 {
		return uplinksOf(both)
	}
	far, near, rest := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range ext.Publics {
		far[onLink(ext.Publics[i].Public, def.Bridge.Name, seen.Routes)] = true
	}
	hard := hardware(seen.Links)
	for _, r := range seen.Routes {
		switch {
		case r.Dest.Bits() == 0:
			far[r.Link] = true
		case hard[r.Link]:
			near[r.Link] = true
		case seen.Links[r.Link].Kind != "bridge":
			rest[r.Link] = true
		}
	}
	usable := func(link string) bool {
		return link != "" && link != "lo" && link != def.Bridge.Name && firewall.CheckDevice(link) == nil
	}
	var list []string
	add := func(links map[string]bool) {
		for _, link := range slices.Sorted(maps.Keys(links)) {
			if usable(link) && !slices.Contains(list, link) && len(list) < maxOutward {
				list = append(list, link)
			}
		}
	}
	add(far)
	add(near)
	if len(list) == 0 {
		add(rest)
	}
	return list
}

// maxExits bounds the links by which guests leave: each is a rule for each bridge in
// the tables of others.
const maxExits = 16

// Exits returns the links by which guests leave the host: those that the host's own
// packets leave by, and others on which it has an address, but for bridges that have
// no hardware behind them. These are networks of this host, of containers or ours.
func Exits(links map[string]step.Link, addresses map[string][]netip.Addr, ways []string) []string {
	hard := hardware(links)
	var list []string
	add := func(name string) {
		if name != "lo" && firewall.CheckDevice(name) == nil && !slices.Contains(list, name) && len(list) < maxExits {
			list = append(list, name)
		}
	}
	for _, name := range slices.Sorted(slices.Values(ways)) {
		add(name)
	}
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		l := links[name]
		global := slices.ContainsFunc(addresses[name], func(a netip.Addr) bool { return !a.IsLinkLocalUnicast() })
		switch {
		case !global, l.Master != "":
		case l.Kind == "bridge" && !hard[name], l.Kind == "dummy", l.Kind == "vxlan", l.Kind == "geneve":
		default:
			add(name)
		}
	}
	return list
}

// Cards returns the links on which the host hears routers: network cards and what is
// made of them, and lines with two ends. Ports of others are none. In a container,
// which has no cards, they are its pairs of virtual ones.
func Cards(links map[string]step.Link) []string {
	list := map[string]bool{}
	for name, card := range hardware(links) {
		list[name] = card && links[name].Master == ""
	}
	cards := false
	for name, l := range links {
		cards = cards || l.Kind == "" && name != "lo"
	}
	for name, l := range links {
		switch {
		case l.Master != "":
		case l.Kind == "ppp", l.Kind == "wwan", l.Kind == "veth" && !cards:
			list[name] = true
		}
	}
	maps.DeleteFunc(list, func(_ string, card bool) bool { return !card })
	return slices.Sorted(maps.Keys(list))
}

// hardware returns the links that are network cards, or made of some: bonds, VLANs,
// and bridges that have one as a port.
func hardware(links map[string]step.Link) map[string]bool {
	list := map[string]bool{}
	for name, l := range links {
		switch l.Kind {
		case "", "bond", "team", "vlan":
			list[name] = name != "lo"
			if links[l.Master].Kind == "bridge" {
				list[l.Master] = true
			}
		}
	}
	return list
}
