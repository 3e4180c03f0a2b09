package topology

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// guard is the port of the bridge that a guest sends by, and what that may send from.
func (w *tracer) guard() bool {
	if w.from == nil {
		return true
	}
	n, guarded := w.from.n, w.f.Guarded[w.in]
	mac, leased := macOf(n, w.p.From)
	at := slices.IndexFunc(guarded, func(p firewall.GuardPort) bool { return leased && slices.Contains(p.MACs, mac) })
	if at < 0 {
		at = slices.IndexFunc(guarded, func(p firewall.GuardPort) bool { return sends(&p, w.p.From) })
	}
	domain := ""
	for _, p := range w.f.Ports[n.Name] {
		if leased && p.MAC == mac {
			domain = nameOf(p.OwnerName)
		}
	}
	switch {
	case at >= 0:
		return w.guarded(&guarded[at], domain)
	case domain != "":
		w.say("port", "it comes by the port of domain %s, %s", domain, mac)
	}
	if slices.ContainsFunc(guarded, func(p firewall.GuardPort) bool { return slices.Contains(p.Stops, firewall.StopIP) }) {
		w.say("guard", "no guarded port of %s may send from %s, only one without a guard", w.in, w.p.From)
	}
	return true
}

// guarded says what the guard of a port makes of the packet.
func (w *tracer) guarded(p *firewall.GuardPort, domain string) bool {
	guest := cmp.Or(domain, nameOf(p.Guest), "a guest")
	w.say("port", "it comes by port %s of %s", p.Link, guest)
	switch {
	case slices.Contains(p.Stops, firewall.StopIP) && !sends(p, w.p.From):
		return w.stop("guard", doctor.Edit(w.from.n.Name), "the guard of port %s drops it: %s is not an address of %s", p.Link, w.p.From, guest)
	case slices.Contains(p.Stops, firewall.StopIP):
		w.say("guard", "the guard of port %s lets it pass: %s is an address of %s", p.Link, w.p.From, guest)
	case slices.Contains(p.Stops, firewall.StopMAC):
		w.say("guard", "the guard of port %s lets it pass from %s, whatever the IP address", p.Link, macs(p))
	default:
		w.say("guard", "the guard of port %s asks for no address", p.Link)
	}
	return true
}

// sends reports whether a port may send from an address.
func sends(p *firewall.GuardPort, from netip.Addr) bool {
	return slices.ContainsFunc(p.Addrs, func(prefix netip.Prefix) bool { return prefix.Contains(from) })
}

func macs(p *firewall.GuardPort) string {
	var list []string
	for _, mac := range p.MACs {
		list = append(list, mac.String())
	}
	return strings.Join(list, " or ")
}

// macOf returns who has a lease of an address, or has it by definition.
func macOf(n *doctor.Network, a netip.Addr) (xml.MAC, bool) {
	for i := range n.Def.IPs {
		for _, h := range n.Def.IPs[i].Hosts {
			if h.IP == a {
				return xml.ParseMAC(h.MAC)
			}
		}
	}
	for i := range n.Leases {
		if n.Leases[i].Address == a.String() {
			return n.Leases[i].HardwareAddress()
		}
	}
	return xml.MAC{}, false
}
