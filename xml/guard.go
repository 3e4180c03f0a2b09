package xml

import (
	"net/netip"
	"slices"
)

// Limits of guards. maxAllowed bounds the declarations of one guard.
const (
	maxGuards  = 100
	maxAllowed = 1000
)

// Guard is one <virbr:guard>: what the guests of a network, or of one of its port
// groups, are kept from on the bridge. Unset: what the parts of the network say;
// there it is [Yes], and for RA, DHCP and Rate that the host does it where it serves
// the network itself.
type Guard struct {
	PortGroup string // ""; the whole network

	MAC  Tristate // source MAC addresses other than the port's
	IP   Tristate // IPv4 and IPv6 addresses, ARP and ND of others
	RA   Tristate // router advertisements and redirects (RFC 6105)
	DHCP Tristate // answers of DHCP servers
	STP  Tristate // frames of bridges (IEEE 802.1D)
	VLAN Tristate // VLAN tags (IEEE 802.1Q)
	Rate Tristate // address resolution of the host, faster than honest guests need it

	Unknown UnknownPorts // of the whole network only
	Allow   []GuardAllow // of the whole network only
}

// UnknownPorts says what becomes of what ports of the bridge send that no guest of
// the network has.
type UnknownPorts uint8

// The values of UnknownPorts.
const (
	UnknownUnset  UnknownPorts = iota // as UnknownAccept
	UnknownAccept                     // it passes
	UnknownDrop                       // it is dropped
)

// unknowns are the words for the values of UnknownPorts.
var unknowns = []string{UnknownUnset: "", UnknownAccept: "accept", UnknownDrop: "drop"}

// GuardAllow is one <virbr:allow>: what a guest may send from beside its own
// addresses, such as an address that it takes over when another guest fails.
type GuardAllow struct {
	Guest   string       // name of the domain, DHCP name or MAC address
	Address netip.Prefix // of one address or of a network behind the guest; invalid: none
	MAC     MAC          // zero: none
}

// parts are the attributes of a guard that are yes or no, in order. Those that can
// be "auto" are so where they are absent.
func (g *Guard) parts() []guardPart {
	return []guardPart{
		{"mac", &g.MAC, false}, {"ip", &g.IP, false}, {"ra", &g.RA, true}, {"dhcp", &g.DHCP, true},
		{"stp", &g.STP, false}, {"vlan", &g.VLAN, false}, {"rate", &g.Rate, true},
	}
}

type guardPart struct {
	name  string
	value *Tristate
	auto  bool
}

// Guard returns the guard of a network's ports that are in a port group, or in none:
// where the network has no such element, only RA, DHCP and Rate are not No.
func (e *Extensions) Guard(group string) Guard {
	made := Guard{MAC: No, IP: No, STP: No, VLAN: No}
	if i := e.indexGuard(""); i >= 0 {
		made = e.Guards[i]
		for _, p := range made.parts() {
			if !p.auto && *p.value == Unset {
				*p.value = Yes
			}
		}
	}
	i := e.indexGuard(group)
	if group == "" || i < 0 {
		return made
	}
	own := e.Guards[i]
	for i, p := range own.parts() {
		if *p.value != Unset {
			*made.parts()[i].value = *p.value
		}
	}
	made.PortGroup = group
	return made
}

func (e *Extensions) indexGuard(group string) int {
	return slices.IndexFunc(e.Guards, func(g Guard) bool { return g.PortGroup == group })
}

func (e *Extensions) parseGuard(el *node) error {
	g := Guard{}
	if err := el.only("portgroup", "mac", "ip", "ra", "dhcp", "stp", "vlan", "rate", "unknown"); err != nil {
		return err
	}
	group, given := el.attr("portgroup")
	if given && group == "" {
		return el.bad("Invalid portgroup '' in element 'guard': leave the attribute out for the whole network")
	}
	g.PortGroup = group
	for _, p := range g.parts() {
		if v, _ := el.attr(p.name); p.auto && v == "auto" {
			continue
		}
		var err error
		if *p.value, err = el.tristate(p.name); err != nil {
			return err
		}
	}
	var err error
	if g.Unknown, err = wordOf[UnknownPorts](el, "unknown", unknowns); err != nil {
		return err
	}
	if err := g.parseAllow(el); err != nil {
		return err
	}
	switch {
	case given && g.Unknown != UnknownUnset:
		return el.bad("unknown='%s' is of the whole network: a port that is not known is in no port group", unknowns[g.Unknown])
	case given && len(g.Allow) > 0:
		return el.bad("element 'allow' belongs into the guard of the whole network: it names its guest")
	case e.indexGuard(group) >= 0 && !given:
		return el.bad("element 'guard' may be given only once for the whole network")
	case e.indexGuard(group) >= 0:
		return el.bad("element 'guard' may be given only once for port group '%s'", group)
	case len(e.Guards) == maxGuards:
		return el.bad("more than %d elements 'guard'", maxGuards)
	}
	e.Guards = append(e.Guards, g)
	return nil
}

func (g *Guard) parseAllow(el *node) error {
	list, err := el.elements()
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.name != "allow" {
			return c.bad("unknown element '%s' in element 'guard'", c.name)
		}
		if len(g.Allow) == maxAllowed {
			return c.bad("more than %d elements 'allow'", maxAllowed)
		}
		a, err := parseAllow(c)
		if err != nil {
			return err
		}
		g.Allow = append(g.Allow, a)
	}
	return nil
}

func parseAllow(el *node) (a GuardAllow, err error) {
	if err := el.leaf("guest", "address", "mac"); err != nil {
		return a, err
	}
	text, given := el.attr("guest")
	if !given {
		return a, el.missingAttr("guest")
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return a, el.bad("Invalid guest '%s' in <allow>: want a name or a MAC address", text)
	}
	if a.Guest, err = parseGuest(el, text); err != nil {
		return a, err
	}
	address, addressed := el.attr("address")
	mac, identified := el.attr("mac")
	if !addressed && !identified {
		return a, el.bad("element 'allow' of guest '%s' needs an address or a mac", a.Guest)
	}
	if addressed {
		if a.Address, err = parseAllowed(el, address); err != nil {
			return a, err
		}
	}
	if identified {
		var ok bool
		if a.MAC, ok = ParseMAC(mac); !ok || a.MAC.IsMulticast() || a.MAC.IsZero() {
			return a, el.bad("Invalid mac '%s' in <allow>: want the MAC address of one interface", mac)
		}
	}
	return a, nil
}

// parseAllowed reads an address, or the subnet of a network behind a guest.
func parseAllowed(el *node, text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if problem := unreachable(addr); problem != "" && !addr.IsLinkLocalUnicast() {
			return netip.Prefix{}, el.bad("Invalid address '%s' in <allow>: %s", text, problem)
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, el.bad("Invalid address '%s' in <allow>: a zone means nothing to others", text)
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, el.bad("Invalid address '%s' in <allow>: want an address, or a subnet without host bits", text)
	}
	return p, nil
}

func (g *Guard) element() *node {
	a := kept().text("portgroup", g.PortGroup)
	for _, p := range g.parts() {
		a.state(p.name, *p.value)
	}
	a.text("unknown", unknowns[g.Unknown])
	var list []*node
	for i := range g.Allow {
		list = append(list, g.Allow[i].element())
	}
	return ours("guard", a, list...)
}

func (g *GuardAllow) element() *node {
	a := kept().put("guest", g.Guest)
	switch {
	case !g.Address.IsValid():
	case g.Address.IsSingleIP():
		a.put("address", g.Address.Addr().String())
	default:
		a.put("address", g.Address.String())
	}
	if !g.MAC.IsZero() {
		a.put("mac", g.MAC.String())
	}
	return ours("allow", a)
}

// checkGuards refuses guards of port groups that the network does not have, which
// would guard nobody.
func (n *Network) checkGuards(e *Extensions) error {
	for i := range e.Guards {
		group := e.Guards[i].PortGroup
		if group != "" && !slices.ContainsFunc(n.PortGroups, func(g PortGroup) bool { return g.Name == group }) {
			return n.extension().unsupported("guard is for port group '%s', which network '%s' does not have", group, n.Name)
		}
	}
	return nil
}
