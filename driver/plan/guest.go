package plan

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Observations is what is known about who is on a network, beside its definition.
type Observations struct {
	Leases     []dnsmasq.Entry         // of the network's DHCP server
	Neighbours []step.Neighbour        // on the bridge
	Ports      []Port                  // of guests that a hypervisor driver plugged in
	Members    []step.BridgePort       // links that are ports of the bridge, in the order of their names
	Asked      *Asked                  // nil: nobody was asked
	Devices    map[string][]netip.Addr // addresses of the host's links, of each link
	Now        int64                   // seconds since the epoch

	Bridges  []string                    // of other networks
	Uplinks  map[string][]step.Neighbour // who else is on the links of [Uplinks]
	Routes   []step.Route                // main table
	Defaults [2][]policy.Default         // of IPv4 and IPv6, in all tables that the host looks into
	Links    map[string]step.Link        // of the host
}

// Asked is what came of asking for addresses (ARP, neighbour discovery).
type Asked struct {
	Addresses []netip.Addr
	Answers   []step.Neighbour // who has some of them
}

// Memory is what was found out earlier and keeps its place: it survives a
// restart of whoever remembers it.
type Memory struct {
	// Names says who has a DHCP name that several guests claim: the first.
	Names map[string]xml.MAC `json:"names,omitempty"`
	// Domains are the names of domains whose guests have such names, in lower case.
	Domains map[string]string `json:"domains,omitempty"`
	// Held are the addresses that guests are reached at, at most one of each family.
	Held map[xml.MAC][]netip.Addr `json:"held,omitempty"`
	// Learned are the addresses that guests gave themselves.
	Learned map[xml.MAC][]netip.Addr `json:"learned,omitempty"`
	// Claimed are the addresses that guarded guests took first, the oldest first.
	Claimed map[xml.MAC][]netip.Addr `json:"claimed,omitempty"`
	// Plugged are guests that have, or had, a port of the network.
	Plugged []xml.MAC `json:"plugged,omitempty"`
	// Withheld is what somebody else had when the network wanted it.
	Withheld []Withheld `json:"withheld,omitempty"`
	// Egress is by which uplink guests left, in IPv4 and IPv6.
	Egress [2]*Egress `json:"egress,omitzero"`
}

// Equal reports whether both remember the same.
func (m Memory) Equal(o Memory) bool {
	lists := func(a, b map[xml.MAC][]netip.Addr) bool { return maps.EqualFunc(a, b, slices.Equal[[]netip.Addr]) }
	return reflect.DeepEqual(m.Egress, o.Egress) && maps.Equal(m.Names, o.Names) && maps.Equal(m.Domains, o.Domains) && slices.Equal(m.Plugged, o.Plugged) && slices.Equal(m.Withheld, o.Withheld) && lists(m.Held, o.Held) && lists(m.Learned, o.Learned) && lists(m.Claimed, o.Claimed)
}

// maxLearned bounds the addresses that one guest can have by saying so, maxBehind
// those of all that are behind one port of the bridge, where a guest may have guests
// of its own, and maxGuests the guests that can have any: what a guest claims costs
// the host.
const (
	maxLearned = 16
	maxBehind  = 256
	maxGuests  = 4096
)

// locator finds guests. An address counts only if it lies in a subnet of the
// network and is not the host's, so no guest can draw traffic to somewhere else
// by what it says about itself.
//
// The definition's static hosts come first, for each family by itself, and then the
// names and UUIDs of domains that ports tell of: they are what the administrator
// said. All else is what guests say about themselves and about others: any guest can
// have a lease written for another one's MAC address (chaddr, RFC 2131), end one, or
// ask for any name. See candidates and holder.
type locator struct {
	seen    Observations
	before  Memory
	subnets []netip.Prefix
	own     map[netip.Addr]bool // the host's own

	names   map[string][]xml.DHCPHost // static hosts, lower case
	hosts   map[xml.MAC][]netip.Addr  // static hosts
	dns     map[string][]netip.Addr   // lower case
	claims  map[string][]xml.MAC      // names of leases, lower case, in the order of the file
	leases  map[xml.MAC][]netip.Addr
	near    map[xml.MAC][]netip.Addr // neighbours
	holders map[netip.Addr]xml.MAC   // whose an address is by definition or lease
	shown   map[netip.Addr]xml.MAC   // whose an address is by the kernel's table
	asked   map[netip.Addr]bool
	answers map[step.Neighbour]bool
	plugged map[xml.MAC]bool     // has a port
	ports   map[xml.MAC]int      // of the bridge, behind which somebody was heard
	owners  map[xml.MAC]xml.UUID // of ports
	called  map[xml.MAC]string   // the domains of ports, lower case
	domains map[string][]xml.MAC // by name, lower case, and by UUID
	domain  string

	after   Memory
	doubts  map[netip.Addr]bool // addresses to ask for
	usurper step.Neighbour      // somebody else at an address of the guest that is looked at
	usurped map[string]step.Neighbour
	asking  map[string]Port // by guest: somebody else who asks for its name
}

// Locate returns the addresses of the guests and links that a network's
// extensions name, at most one of each family for a guest, and what is to be
// remembered for the next time. The definition is the running one: its
// addresses are chosen.
func Locate(def *xml.Network, ext *xml.Extensions, seen Observations, before Memory) (firewall.Where, Memory) {
	l := newLocator(def, seen, before)
	return l.where(ext), l.after
}

func (l *locator) where(ext *xml.Extensions) firewall.Where {
	where := firewall.Where{Guests: map[string][]netip.Addr{}, Devices: map[string][]netip.Addr{}}
	for _, guest := range Guests(ext) {
		l.usurper = step.Neighbour{}
		found := l.guest(guest)
		if len(found) > 0 {
			where.Guests[guest] = found
		}
		at := l.usurper.Address
		if at.IsValid() && !slices.ContainsFunc(found, func(a netip.Addr) bool { return a.Is4() == at.Is4() }) {
			l.usurped[guest] = l.usurper
		}
	}
	if l.quiet(ext, where) {
		l.doubts[netip.IPv6LinkLocalAllNodes()] = true
	}
	for i := range ext.Forwards {
		dev := ext.Forwards[i].Dev
		if _, known := where.Devices[dev]; dev == "" || known {
			continue
		}
		usable := func(a netip.Addr) bool { return !a.IsLinkLocalUnicast() }
		if found := filter(l.seen.Devices[dev], usable); len(found) > 0 {
			where.Devices[dev] = found
		}
	}
	return where
}

// quiet reports whether a guest is waited for whose IPv6 address only itself knows,
// as one that it made of a random number (RFC 7217).
func (l *locator) quiet(ext *xml.Extensions, where firewall.Where) bool {
	return slices.ContainsFunc(l.subnets, func(p netip.Prefix) bool { return p.Addr().Is6() }) &&
		slices.ContainsFunc(followed6(ext), func(guest string) bool { return !slices.ContainsFunc(where.Guests[guest], netip.Addr.Is6) })
}

// followed6 returns the guests to whose IPv6 addresses something leads, whatever
// these are.
func followed6(ext *xml.Extensions) []string {
	var list []string
	add := func(guest string) {
		if _, err := netip.ParseAddr(guest); err != nil {
			list = append(list, guest)
		}
	}
	for i := range ext.Forwards {
		if f := &ext.Forwards[i]; !f.Ignore && f.Families() != xml.FamilyIPv4 {
			add(f.Guest)
		}
	}
	for i := range ext.Publics {
		if ext.Publics[i].Public.Is6() {
			add(ext.Publics[i].Guest)
		}
	}
	return list
}

// Guests returns the guests that a network's extensions name, each once.
func Guests(ext *xml.Extensions) []string {
	known := map[string]bool{"": true} // an exception has none
	var list []string
	add := func(guest string) {
		if !known[guest] {
			known[guest] = true
			list = append(list, guest)
		}
	}
	for i := range ext.Forwards {
		add(ext.Forwards[i].Guest)
	}
	for i := range ext.Publics {
		add(ext.Publics[i].Guest)
	}
	return list
}

func newLocator(def *xml.Network, seen Observations, before Memory) *locator {
	l := &locator{
		seen: seen, before: before, own: map[netip.Addr]bool{}, domain: strings.ToLower(def.Domain.Name),
		names: map[string][]xml.DHCPHost{}, hosts: map[xml.MAC][]netip.Addr{}, dns: map[string][]netip.Addr{},
		claims: map[string][]xml.MAC{}, leases: map[xml.MAC][]netip.Addr{}, near: map[xml.MAC][]netip.Addr{},
		holders: map[netip.Addr]xml.MAC{}, shown: map[netip.Addr]xml.MAC{}, asked: map[netip.Addr]bool{}, answers: map[step.Neighbour]bool{},
		plugged: map[xml.MAC]bool{}, owners: map[xml.MAC]xml.UUID{}, called: map[xml.MAC]string{}, domains: map[string][]xml.MAC{}, asking: map[string]Port{}, ports: map[xml.MAC]int{}, doubts: map[netip.Addr]bool{}, usurped: map[string]step.Neighbour{},
		after: Memory{Names: map[string]xml.MAC{}, Domains: map[string]string{}, Held: map[xml.MAC][]netip.Addr{}, Learned: map[xml.MAC][]netip.Addr{}},
	}
	ips := def.Subnets()
	for i := range ips {
		if p, ok := ips[i].Subnet(); ok && ips[i].Address.IsValid() {
			l.subnets = append(l.subnets, p)
			l.own[ips[i].Address] = true
			if p.Addr().Is4() && p.Bits() < 31 {
				l.own[p.Addr()], l.own[xml.LastOf(p)] = true, true
			}
		}
	}
	for _, list := range seen.Devices {
		for _, a := range list {
			l.own[a] = true
		}
	}
	l.readDefinition(def)
	l.readPorts()
	l.readLeases()
	l.readNeighbours()
	return l
}

func (l *locator) readPorts() {
	for _, p := range l.seen.Ports {
		l.plugged[p.MAC], l.owners[p.MAC], l.called[p.MAC] = true, p.Owner, strings.ToLower(p.Name)
		for _, name := range []string{strings.ToLower(p.Name), p.Owner.String()} {
			l.domains[name] = append(l.domains[name], p.MAC)
		}
	}
}

// inside reports whether an address can be that of a guest.
func (l *locator) inside(a netip.Addr) bool {
	return !l.own[a] && slices.ContainsFunc(l.subnets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// may reports whether a guest can have an address: one of the network that is
// nobody else's.
func (l *locator) may(mac xml.MAC, a netip.Addr) bool {
	holder := l.holders[a]
	return l.inside(a) && (holder.IsZero() || holder == mac)
}

func (l *locator) readDefinition(def *xml.Network) {
	for i := range def.IPs {
		for _, h := range def.IPs[i].Hosts {
			if !l.inside(h.IP) {
				continue
			}
			if h.Name != "" {
				name := strings.ToLower(h.Name)
				l.names[name] = append(l.names[name], h)
			}
			mac, ok := xml.ParseMAC(h.MAC)
			l.holders[h.IP] = mac // zero: of somebody whose MAC address is not known
			if ok {
				l.hosts[mac] = append(l.hosts[mac], h.IP)
			}
		}
	}
	for _, h := range def.DNS.Hosts {
		for _, name := range h.Hostnames {
			if name = strings.ToLower(name); l.inside(h.IP) {
				l.dns[name] = append(l.dns[name], h.IP)
			}
		}
	}
}

func (l *locator) readLeases() {
	for i := range l.seen.Leases {
		e := &l.seen.Leases[i]
		mac, known := e.HardwareAddress()
		addr, err := netip.ParseAddr(e.Address)
		if !known || err != nil || e.Expiry > 0 && e.Expiry < l.seen.Now {
			continue
		}
		if !l.may(mac, addr) {
			continue
		}
		l.holders[addr] = mac
		l.leases[mac] = append(l.leases[mac], addr)
		if name := strings.ToLower(e.Hostname); name != "" && !slices.Contains(l.claims[name], mac) {
			l.claims[name] = append(l.claims[name], mac)
		}
	}
}

// readNeighbours takes what guests say about themselves for true unless the
// address is somebody else's. A guest whose port is gone says nothing any more,
// though the kernel may remember it for a while.
func (l *locator) readNeighbours() {
	if a := l.seen.Asked; a != nil {
		for _, addr := range a.Addresses {
			l.asked[addr] = true
		}
		for _, n := range a.Answers {
			l.answers[n] = true
		}
	}
	for _, n := range l.seen.Neighbours {
		l.shown[n.Address], l.ports[n.MAC] = n.MAC, n.Port
		if !l.may(n.MAC, n.Address) || l.unplugged(n.MAC) {
			continue
		}
		if len(l.near) < maxGuests || l.near[n.MAC] != nil {
			l.near[n.MAC] = append(l.near[n.MAC], n.Address)
		}
	}
	for mac, list := range l.before.Learned {
		if l.near[mac] == nil && l.plugged[mac] && len(l.near) < maxGuests {
			l.near[mac] = filter(list, func(a netip.Addr) bool { return l.may(mac, a) })
		}
	}
	l.learnAll()
	l.rememberPlugs()
}

// learnAll bounds what guests say about themselves: for each of them, and for all
// that send by one port of the bridge, for these may be one guest. Those that were
// known before come first.
func (l *locator) learnAll() {
	list := slices.SortedFunc(maps.Keys(l.near), func(a, b xml.MAC) int {
		if x, y := l.before.Learned[a] != nil, l.before.Learned[b] != nil; x != y {
			if x {
				return -1
			}
			return 1
		}
		return slices.Compare(a[:], b[:])
	})
	behind := map[int]int{}
	for _, mac := range list {
		port := l.ports[mac]
		addrs := l.learn(mac, l.near[mac])
		addrs = addrs[:min(len(addrs), maxBehind-behind[port])]
		behind[port] += len(addrs)
		l.near[mac] = addrs
		if len(addrs) > 0 {
			l.after.Learned[mac] = addrs
		}
	}
}

// learn returns a guest's addresses with those that it had before in front, in
// their order, and at most maxLearned of them: the place that an address has
// does not depend on which others there are, as those for privacy, which come
// and go (RFC 8981). Among new ones the one made from the MAC address comes
// first (RFC 4291 appendix A).
func (l *locator) learn(mac xml.MAC, list []netip.Addr) []netip.Addr {
	kept := filter(l.before.Learned[mac], func(a netip.Addr) bool { return slices.Contains(list, a) })
	fresh := filter(list, func(a netip.Addr) bool { return !slices.Contains(kept, a) })
	slices.SortFunc(fresh, func(a, b netip.Addr) int {
		if x, y := fromMAC(a, mac), fromMAC(b, mac); x != y {
			if x {
				return -1
			}
			return 1
		}
		return a.Compare(b)
	})
	kept = slices.Compact(append(kept, fresh...))
	return kept[:min(len(kept), maxLearned)]
}

// fromMAC reports whether the last 64 bits of an address are a MAC address's.
func fromMAC(a netip.Addr, mac xml.MAC) bool {
	if !a.Is6() {
		return false
	}
	b := a.As16()
	return [8]byte(b[8:]) == [8]byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
}

// unplugged reports whether a guest had a port and has none.
func (l *locator) unplugged(mac xml.MAC) bool {
	return !l.plugged[mac] && slices.Contains(l.before.Plugged, mac)
}

// rememberPlugs keeps who was unplugged for as long as something still tells
// of it.
func (l *locator) rememberPlugs() {
	told := map[xml.MAC]bool{}
	for _, n := range l.seen.Neighbours {
		told[n.MAC] = true
	}
	for mac := range l.leases {
		told[mac] = true
	}
	var list []xml.MAC
	for mac := range l.plugged {
		list = append(list, mac)
	}
	for _, mac := range l.before.Plugged {
		if told[mac] {
			list = append(list, mac)
		}
	}
	slices.SortFunc(list, func(a, b xml.MAC) int { return slices.Compare(a[:], b[:]) })
	l.after.Plugged = slices.Compact(list)
}

// guest returns the addresses of a guest as it is written.
func (l *locator) guest(text string) []netip.Addr {
	if addr, err := netip.ParseAddr(text); err == nil {
		return filter([]netip.Addr{addr}, l.inside)
	}
	if mac, ok := xml.ParseMAC(text); ok {
		return l.mac(mac)
	}
	name := strings.ToLower(text)
	if l.domain != "" {
		name = strings.TrimSuffix(name, "."+l.domain)
	}
	found, own := l.name(name)
	for _, mac := range l.claims[name] {
		if !slices.ContainsFunc(own, func(o xml.MAC) bool { return l.same(o, mac) }) {
			l.asking[text] = Port{MAC: mac, Name: l.called[mac]}
		}
	}
	return found
}

func (l *locator) mac(mac xml.MAC) []netip.Addr {
	return pick(l.hosts[mac], l.reached(mac))
}

// name returns where the guest of a name is, and its MAC addresses: the static host
// of that name, the domain, or the guest that asked for it by DHCP.
func (l *locator) name(name string) (found []netip.Addr, own []xml.MAC) {
	static := l.names[name]
	var lists [][]netip.Addr
	for _, h := range static {
		lists = append(lists, []netip.Addr{h.IP})
		if mac, ok := xml.ParseMAC(h.MAC); ok {
			own = append(own, mac)
		}
	}
	lists = append(lists, l.dns[name])
	if len(static)+len(l.dns[name]) == 0 {
		if own = l.domains[name]; len(own) > 0 {
			l.after.Domains[name] = l.called[own[0]]
		} else if mac, known := l.holder(name); known {
			l.after.Names[name] = mac
			own = []xml.MAC{mac}
		}
	}
	for _, mac := range own {
		lists = append(lists, l.mac(mac))
	}
	return pick(lists...), own
}

// pick returns the first address of each family, IPv4 first.
func pick(lists ...[]netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, list := range lists {
		for _, a := range list {
			switch {
			case a.Is4() && len(v4) == 0:
				v4 = []netip.Addr{a}
			case a.Is6() && len(v6) == 0:
				v6 = []netip.Addr{a}
			}
		}
	}
	return append(v4, v6...)
}

func filter(list []netip.Addr, keep func(netip.Addr) bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !keep(a) })
}
