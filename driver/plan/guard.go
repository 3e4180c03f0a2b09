package plan

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Learns reports whether the ports of a network may send from addresses that only
// leases, neighbours and their own claims tell of.
func Learns(ext *xml.Extensions) bool {
	return ext.Guard("").IP == xml.Yes || slices.ContainsFunc(ext.Guards, func(g xml.Guard) bool { return g.IP == xml.Yes })
}

// Guards reports whether some ports of a network may be guarded, which are then to be
// followed. The definition is one with what its metadata adds.
func Guards(def *xml.Network, ext *xml.Extensions) bool {
	g := ext.Guard("")
	plain := len(ext.Guards) == 0 && len(servedBy(def).stops(&g)) == 0
	return def.OwnsBridge() && def.Bridge.Name != "" && !plain
}

// NewGuarded returns the resolution of a network that leads nothing to its guests, and whose
// guard needs no addresses of theirs.
func NewGuarded(def *xml.Network, ext *xml.Extensions, seen Observations) *Resolution {
	r := &Resolution{Ext: ext}
	r.Where.Ports = newLocator(def, seen, Memory{}).guard(def, ext)
	return r
}

// served is what the host does for the guests of a network.
type served struct {
	dhcp, dhcp6, routes bool
	own                 []netip.Addr // addresses of the bridge
}

func servedBy(def *xml.Network) (s served) {
	for _, ip := range def.Subnets() {
		if ip.Address.IsValid() {
			s.own = append(s.own, ip.Address)
		}
	}
	if !dnsmasq.Wanted(def) {
		return s
	}
	s.routes = slices.ContainsFunc(s.own, netip.Addr.Is6)
	for _, service := range firewall.Services(def) {
		s.dhcp = s.dhcp || service.Port == firewall.PortDHCP4
		s.dhcp6 = s.dhcp6 || service.Port == firewall.PortDHCP6
	}
	return s
}

// stops returns what a port with a guard is kept from, in the order of
// [firewall.Causes].
func (s served) stops(g *xml.Guard) []firewall.Cause {
	on := func(t xml.Tristate, auto bool) bool { return t == xml.Yes || t == xml.Unset && auto }
	wants := map[firewall.Cause]bool{
		firewall.StopSTP: g.STP == xml.Yes, firewall.StopVLAN: g.VLAN == xml.Yes, firewall.StopMAC: g.MAC == xml.Yes, firewall.StopIP: g.IP == xml.Yes,
		firewall.StopDHCP: on(g.DHCP, s.dhcp), firewall.StopDHCP6: on(g.DHCP, s.dhcp6), firewall.StopRA: on(g.RA, s.routes),
		firewall.StopRate: len(s.own) > 0 && on(g.Rate, true),
	}
	wants[firewall.StopHidden] = wants[firewall.StopIP] || wants[firewall.StopDHCP] || wants[firewall.StopDHCP6] || wants[firewall.StopRA]
	return slices.DeleteFunc(firewall.Causes(), func(c firewall.Cause) bool { return !wants[c] })
}

// guard returns the ports of the bridge that are guarded, and notes which addresses
// they have claimed.
func (l *locator) guard(def *xml.Network, ext *xml.Extensions) []firewall.GuardPort {
	s, network := servedBy(def), ext.Guard("")
	behind := l.behind()
	l.claim(behind)
	var list []firewall.GuardPort
	for _, m := range l.seen.Members {
		ports := behind[m.Link]
		p := firewall.GuardPort{Link: m.Link}
		if len(ports) > 0 {
			p.Guest = cmp.Or(ports[0].Name, ports[0].MAC.String())
		}
		if len(ports) == 0 && network.Unknown == xml.UnknownDrop {
			p.Stops = []firewall.Cause{firewall.StopUnknown}
		}
		for _, port := range ports {
			g := ext.Guard(port.Group)
			if port.Moves {
				g.MAC = xml.No
			}
			p.Stops = append(p.Stops, s.stops(&g)...)
			l.mayUse(&p, port, network.Allow)
		}
		if len(p.Stops) == 0 || firewall.CheckDevice(p.Link) != nil {
			continue
		}
		slices.SortFunc(p.Stops, func(a, b firewall.Cause) int {
			return slices.Index(firewall.Causes(), a) - slices.Index(firewall.Causes(), b)
		})
		p.Stops = slices.Compact(p.Stops)
		if slices.Contains(p.Stops, firewall.StopRate) {
			p.Asks = s.own
		}
		list = append(list, tidy(p))
	}
	slices.SortFunc(list, func(a, b firewall.GuardPort) int { return cmp.Compare(a.Link, b.Link) })
	return list
}

// behind returns the ports of guests by the links that lead to them. libvirt gives a tap
// the MAC address of the guest's interface but for the first byte, which is 0xfe
// (virNetDevTapCreateInBridgePort); where two guests' addresses differ in that only,
// either may be there.
func (l *locator) behind() map[string][]Port {
	type tail [5]byte
	known := map[tail][]Port{}
	for _, p := range l.seen.Ports {
		t := tail(p.MAC[1:])
		known[t] = append(known[t], p)
	}
	all := map[string][]Port{}
	for _, m := range l.seen.Members {
		if m.MAC[0] == 0xfe {
			all[m.Link] = known[tail(m.MAC[1:])]
		}
	}
	return all
}

// mayUse adds what a port may send from.
func (l *locator) mayUse(p *firewall.GuardPort, port Port, allow []xml.GuardAllow) {
	p.MACs = append(p.MACs, port.MAC)
	for mac := range l.owners { // a guest answers for all its addresses on each of its interfaces
		if l.same(mac, port.MAC) {
			for _, list := range [][]netip.Addr{l.hosts[mac], l.leases[mac], l.near[mac], l.after.Claimed[mac], l.named(port.Name)} {
				for _, a := range list {
					p.Addrs = append(p.Addrs, netip.PrefixFrom(a, a.BitLen()))
				}
			}
			p.Addrs = append(p.Addrs, netip.PrefixFrom(linkLocal(mac), 128))
		}
	}
	for i := range allow {
		if !l.means(allow[i].Guest, port) {
			continue
		}
		if allow[i].Address.IsValid() {
			p.Addrs = append(p.Addrs, allow[i].Address)
		}
		if !allow[i].MAC.IsZero() {
			p.MACs = append(p.MACs, allow[i].MAC)
		}
	}
}

// named returns the addresses that the definition gives to a guest by its name alone.
func (l *locator) named(name string) (list []netip.Addr) {
	for _, h := range l.names[strings.ToLower(name)] {
		if h.MAC == "" {
			list = append(list, h.IP)
		}
	}
	return list
}

// means reports whether a guest is written so: by its MAC address, by its name, or by
// that of a static host with its MAC address. What it calls itself does not count.
func (l *locator) means(guest string, port Port) bool {
	if mac, ok := xml.ParseMAC(guest); ok && strings.Contains(guest, ":") {
		return mac == port.MAC
	}
	if strings.EqualFold(guest, port.Name) {
		return true
	}
	return slices.ContainsFunc(l.names[strings.ToLower(guest)], func(h xml.DHCPHost) bool {
		mac, ok := xml.ParseMAC(h.MAC)
		return ok && mac == port.MAC
	})
}

// claim has guests keep the addresses that they took first, and gives them those that
// they take and nobody has. A guest that takes more than maxLearned loses the oldest.
func (l *locator) claim(behind map[string][]Port) {
	taken := map[netip.Addr]xml.MAC{}
	keep := func(mac xml.MAC, a netip.Addr) {
		list := slices.DeleteFunc(l.after.Claimed[mac], func(o netip.Addr) bool { return o == a })
		list = append(list, a)
		for len(list) > maxLearned {
			delete(taken, list[0])
			list = list[1:]
		}
		if l.after.Claimed == nil {
			l.after.Claimed = map[xml.MAC][]netip.Addr{}
		}
		l.after.Claimed[mac], taken[a] = list, mac
	}
	for _, p := range l.seen.Ports {
		for _, a := range l.before.Claimed[p.MAC] {
			if l.claimable(p.MAC, a) {
				keep(p.MAC, a)
			}
		}
	}
	for mac, list := range l.near {
		for _, a := range list {
			if taken[a].IsZero() {
				taken[a] = mac
			}
		}
	}
	for _, m := range l.seen.Members {
		if len(behind[m.Link]) != 1 {
			continue
		}
		mac := behind[m.Link][0].MAC
		for _, a := range m.Claims {
			if holder := taken[a]; (holder.IsZero() || l.same(holder, mac)) && l.claimable(mac, a) {
				keep(mac, a)
			}
		}
	}
}

// claimable reports whether a guest can have an address by being the first to say so:
// one of the network's subnets, or of none where the network has none of its family,
// that is nobody's by definition, lease or MAC address.
func (l *locator) claimable(mac xml.MAC, a netip.Addr) bool {
	holder, held := l.holders[a]
	if held && holder != mac || l.own[a] || !a.IsGlobalUnicast() && !(a.Is6() && a.IsLinkLocalUnicast()) {
		return false
	}
	subnets := func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() }
	if !a.IsLinkLocalUnicast() && slices.ContainsFunc(l.subnets, subnets) && !l.inside(a) {
		return false
	}
	return !slices.ContainsFunc(l.seen.Ports, func(p Port) bool { return p.MAC != mac && fromMAC(a, p.MAC) })
}

// linkLocal returns the link-local address of a MAC address (RFC 4291 appendix A).
func linkLocal(mac xml.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// tidy sorts what a port may send from, and leaves out what it is not asked about and
// subnets within others.
func tidy(p firewall.GuardPort) firewall.GuardPort {
	if !slices.Contains(p.Stops, firewall.StopMAC) && !slices.Contains(p.Stops, firewall.StopIP) {
		p.MACs = nil
	}
	if !slices.Contains(p.Stops, firewall.StopIP) {
		p.Addrs = nil
	}
	slices.SortFunc(p.MACs, func(a, b xml.MAC) int { return slices.Compare(a[:], b[:]) })
	p.MACs = slices.Compact(p.MACs)
	slices.SortFunc(p.Addrs, func(a, b netip.Prefix) int { return cmp.Or(a.Bits()-b.Bits(), a.Addr().Compare(b.Addr())) })
	var wide []netip.Prefix
	p.Addrs = slices.DeleteFunc(slices.Compact(p.Addrs), func(a netip.Prefix) bool {
		if a.IsSingleIP() {
			return false
		}
		if slices.ContainsFunc(wide, a.Overlaps) {
			return true
		}
		wide = append(wide, a)
		return false
	})
	return p
}

// sameGuards reports whether two reaches guard ports in the same way.
func sameGuards(a, b []firewall.GuardPort) bool {
	return slices.EqualFunc(a, b, func(x, y firewall.GuardPort) bool { return reflect.DeepEqual(x, y) })
}
