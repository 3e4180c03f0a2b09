package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// route looks where the host sends what guests send.
func (w *walker) route() bool {
	w.clashes()
	w.undelegated()
	w.astray()
	if !w.outward() {
		return w.worst != ""
	}
	if dev := w.n.Def.Forward.Dev(); dev != "" && !w.uplink(dev) {
		return true
	}
	if len(w.n.Def.Prefixes(netip.Addr.Is4)) > 0 {
		w.way("IPv4", netip.Addr.Is4, w.severity4())
	}
	if six := w.n.Def.Prefixes(netip.Addr.Is6); len(six) > 0 && !w.f.Plan.NoIPv6 {
		w.way("IPv6", netip.Addr.Is6, severity6(six))
	}
	return true
}

// uplink looks at the device that a network is limited to.
func (w *walker) uplink(dev string) bool {
	if _, ok := w.f.Plan.Links[dev]; !ok {
		w.tell(deviceMissing, Finding{
			Text:     fmt.Sprintf("the network may use device %s only, which does not exist: nothing gets out", dev),
			Evidence: []string{"no link " + dev}, Mend: virsh("net-edit", w.n.Name),
			Note: "correct or remove the dev attribute of <forward>; ip link shows the devices that there are",
		})
		return false
	}
	return w.up(dev)
}

// severity4: a network that is only routed may well be meant for its neighbours
// alone.
func (w *walker) severity4() Severity {
	if w.n.Def.Forward.Mode == xml.ForwardNAT {
		return Warning
	}
	return Hint
}

// severity6: guests prefer IPv4 to local addresses (RFC 6724), and global
// addresses to all others.
func severity6(subnets []netip.Prefix) Severity {
	if slices.ContainsFunc(subnets, func(p netip.Prefix) bool { return !xml.Local(p) }) {
		return Warning
	}
	return Hint
}

// way looks for a default route of a family.
func (w *walker) way(name string, family func(netip.Addr) bool, severity Severity) {
	if len(w.uplinks(family)) > 0 && w.forwards4(family) && w.refusedRoute(name, family) {
		return
	}
	if up := w.exits(family); len(up) > 0 {
		w.say(name + " leaves by " + strings.Join(up, " "))
		return
	}
	kind, command := noRoute4, "ip -4 route add default via "
	f := Finding{
		Severity: severity, Text: "the host has no IPv4 default route: guests get no further than the host's neighbours",
		Evidence: []string{"ip -4 route show default: nothing"},
	}
	if name == "IPv6" {
		kind, command = noRoute6, "ip -6 route add default via "
		f.Text = "the host has no IPv6 default route: guests have IPv6 among themselves and to the host only"
		if severity == Warning {
			f.Text = "guests have global IPv6 addresses, but the host has no IPv6 default route: they try IPv6 first, and time out"
		}
		f.Evidence = append([]string{"ip -6 route show default: nothing"}, w.unheard()...)
	}
	dev := w.n.Def.Forward.Dev()
	f.Mend, f.Note = command+"GATEWAY", "put your router's address in the place of GATEWAY"
	if dev != "" {
		f.Mend += " dev " + quote(dev)
		f.Text += fmt.Sprintf(" (the network may use %s only)", dev)
	}
	for _, r := range w.f.Routers {
		if family(r.Address) && !w.bridges(r.Link) && (dev == "" || dev == r.Link) {
			f.Mend = fmt.Sprintf("%s%s dev %s", command, r.Address, quote(r.Link))
			f.Note = "this neighbour says that it is a router"
			break
		}
	}
	w.tell(kind, f)
}

// bridges reports whether a link is the bridge of a network.
func (w *walker) bridges(link string) bool {
	return slices.ContainsFunc(w.f.Networks, func(n Network) bool { return n.Def != nil && n.Def.OwnsBridge() && n.Def.Bridge.Name == link })
}

// uplinks returns the interfaces with a default route of a family that the
// network may use, without bridges of networks.
func (w *walker) uplinks(family func(netip.Addr) bool) []string {
	var all []string
	only := w.n.Def.Forward.Dev()
	for _, r := range w.f.Plan.Routes {
		if r.Dest.Bits() == 0 && family(r.Dest.Addr()) && r.Link != "" && r.Link != w.n.Def.Bridge.Name &&
			(only == "" || only == r.Link) && !slices.Contains(all, r.Link) {
			all = append(all, r.Link)
		}
	}
	return all
}

// clashes tells of addresses that the host has elsewhere as well.
func (w *walker) clashes() {
	for _, p := range w.n.Def.Prefixes(nil) {
		var seen []step.Route
		for _, r := range w.f.Plan.Reached(w.n.Def.Bridge.Name) {
			same := func(o step.Route) bool { return o.Dest == r.Dest && o.Link == r.Link }
			if !p.Overlaps(r.Dest) || slices.ContainsFunc(seen, same) || w.answered(p) && r.Dest.Bits() <= p.Bits() {
				continue
			}
			seen = append(seen, r)
			w.clash(p, r)
		}
	}
}

// clash tells of one subnet and one route that share addresses; a wider route by
// a gateway is none, for the narrower one wins.
func (w *walker) clash(p netip.Prefix, r step.Route) {
	if w.unrouted(p, r) {
		return
	}
	kind, f := subnetClash, Finding{Evidence: []string{"route " + routeText(r)}}
	owner := "interface " + r.Link
	for i := range w.f.Networks {
		if n := &w.f.Networks[i]; n.Def != nil && n.Active && n.Def.Bridge.Name == r.Link {
			owner = fmt.Sprintf("network %s (%s)", n.Name, r.Link)
		}
	}
	switch {
	case r.Dest == p:
		f.Text = fmt.Sprintf("subnet %s is that of %s as well: packets for guests go there, or theirs come here", p, owner)
	case r.Dest.Bits() > p.Bits():
		f.Text = fmt.Sprintf("part of subnet %s, %s, is routed to %s: guests with these addresses get no answers", p, r.Dest, owner)
	case !r.Gateway.IsValid():
		kind = subnetInside
		f.Text = fmt.Sprintf("subnet %s lies within %s of %s: hosts there that have such addresses cannot be reached", p, r.Dest, owner)
	default:
		return
	}
	if !w.n.Active {
		f.Severity = Hint
		if w.refuses(p, r) {
			f.Severity = Warning
			f.Text += "; the network does not start as long"
			f.Evidence = append(f.Evidence, "Network is already in use by interface "+r.Link) // as a start says it
		}
	}
	f.Mend, f.Note = w.renumber(p)
	w.tell(kind, f)
}

// refuses reports whether a network does not start for a route: an IPv4 subnet that is
// there already, or NAT of addresses that another network translates.
func (w *walker) refuses(p netip.Prefix, r step.Route) bool {
	if p.Addr().Is4() && r.Dest == p {
		return true
	}
	return w.n.Def.Forward.Mode == xml.ForwardNAT && slices.ContainsFunc(w.f.Networks, func(n Network) bool {
		return n.Active && n.Def != nil && n.Def.Forward.Mode == xml.ForwardNAT && n.Def.Bridge.Name == r.Link
	})
}

// unrouted tells of a prefix of the provider's that is on the host's own link instead
// of being routed to the host.
func (w *walker) unrouted(p netip.Prefix, r step.Route) bool {
	a := w.n.Def.Advertise
	if a == nil || a.ProxyNDP != "" || p.Addr().Is4() || xml.Local(p) || r.Gateway.IsValid() || !slices.Contains(w.uplinks(netip.Addr.Is6), r.Link) {
		return false
	}
	f := Finding{
		Text: fmt.Sprintf("prefix %s is on the host's link %s: the provider's router does not send guests' packets to the host, but asks on that link "+
			"who has their addresses, and nobody answers", p, r.Link),
		Evidence: []string{"route " + routeText(r)}, Mend: virsh("net-edit", w.n.Name),
		Note: "put proxyndp='auto' into <ipv6 advprefix='...'>, so that the host answers for guests, then " + restart(w.n.Name) + "; or have the provider route the prefix to this host",
	}
	if !w.n.Active {
		f.Severity = Warning
		f.Text += "; the network does not start as long"
	}
	w.tell(prefixUnrouted, f)
	return true
}

func routeText(r step.Route) string {
	text := r.Dest.String()
	if r.Gateway.IsValid() {
		text += " via " + r.Gateway.String()
	}
	return text + " dev " + r.Link
}

// renumber is the command that gives the network a free subnet in the place of
// one. Only whole IPv4 /24s can be exchanged in a definition's text.
func (w *walker) renumber(p netip.Prefix) (mend, note string) {
	name := w.n.Name
	again := virsh("net-start", name)
	if w.n.Active {
		again = restart(name)
	}
	free, ok := w.free()
	if p.Bits() != 24 || !p.Addr().Is4() || !ok {
		return virsh("net-edit", name), "give the network a subnet that is free, then " + again
	}
	three := func(p netip.Prefix) string { return strings.TrimSuffix(p.Addr().String(), ".0") }
	old := strings.ReplaceAll(three(p), ".", `\.`)
	mend = fmt.Sprintf(`virsh -c network:///system net-dumpxml --inactive %s | sed 's/\b%s\./%s./g' > /run/virbr-renumbered.xml && `+
		`virsh -c network:///system net-define /run/virbr-renumbered.xml && %s`, operand(name), old, three(free), again)
	return mend, fmt.Sprintf("this moves the network to %s, which is free; guests must be plugged in again or restarted, and ask for new addresses", free)
}

// free returns a private IPv4 /24 that no route and no network has.
func (w *walker) free() (netip.Prefix, bool) {
	var used []netip.Prefix
	for _, r := range w.f.Plan.Reached("") {
		used = append(used, r.Dest)
	}
	for i := range w.f.Networks {
		if def := w.f.Networks[i].Def; def != nil {
			used = append(used, def.Prefixes(nil)...)
		}
	}
	for i := byte(123); i < 255; i++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, i, 0}), 24)
		if !slices.ContainsFunc(used, p.Overlaps) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
