package xml

import (
	"net/netip"
	"slices"
)

// Limits of an advertised prefix's lifetime, in seconds: dnsmasq's least lease
// time, and the largest value of the field in a router advertisement
// (RFC 4861 section 4.6.2).
const (
	minLifetime = 120
	maxLifetime = 1<<32 - 1
)

// slaacBits is the length that address autoconfiguration wants
// (RFC 4862 section 5.5.3, RFC 7421).
const slaacBits = 64

// parseAdvertise reads virbr's <ipv6>.
func (n *Network) parseAdvertise(root *node) error {
	el := root.first("ipv6")
	if el == nil {
		return nil
	}
	a, err := parseAdvertise(el, "network '"+n.Name+"'")
	n.Advertise = a
	return err
}

// parseAdvertise reads the element; where says in messages what it stands in.
func parseAdvertise(el *node, where string) (*Advertise, error) {
	a := &Advertise{}
	prefix, given := el.attr("advprefix")
	if !given {
		return nil, el.missingAttr("advprefix")
	}
	a.Prefix = prefix
	for _, f := range []struct {
		name  string
		words []string
		into  *string
	}{
		{"dhcp", []string{"no", "stateless", "stateful"}, &a.DHCP},
		{"nat", []string{"auto", "yes", "no"}, &a.NAT},
		{"inbound", []string{"reject", "accept"}, &a.Inbound},
		{"hostid", []string{"ipv4"}, &a.HostID},
		{"from", []string{"ula", "auto"}, &a.From},
	} {
		v, err := el.enum(f.name, f.words...)
		if err != nil {
			return nil, err
		}
		*f.into = v
	}
	force, err := el.tristate("force")
	if err != nil {
		return nil, err
	}
	a.Force = force == Yes
	lifetime, given, err := el.uintAttr("lifetime", 10, 64)
	if err != nil {
		return nil, err
	}
	if given && (lifetime < minLifetime || lifetime > maxLifetime) {
		return nil, el.bad("Invalid lifetime '%d' of advprefix in %s: must be %d to %d seconds",
			lifetime, where, minLifetime, uint64(maxLifetime))
	}
	a.Lifetime = lifetime
	if err := a.parseLinks(el); err != nil {
		return nil, err
	}
	if err := a.Live.parse(el); err != nil {
		return nil, err
	}
	if problem := a.problem(); problem != "" {
		return nil, el.bad("Invalid advprefix '%s' in %s: %s", a.Prefix, where, problem)
	}
	return a, a.parseDeprecated(el, where)
}

// parseLinks reads the attributes that are links of the host.
func (a *Advertise) parseLinks(el *node) error {
	for name, into := range map[string]*string{"proxyndp": &a.ProxyNDP, "uplink": &a.Uplink, "via": &a.Live.Via} {
		dev, given := el.attr(name)
		if !given {
			continue
		}
		*into = dev
		if err := checkDevice(el, name, dev); err != nil {
			return err
		}
	}
	return nil
}

// parse reads what live XML has of a prefix that follows a delegation.
func (l *Advertised) parse(el *node) error {
	valid, _, err := el.uintAttr("valid", 10, 64)
	if err != nil {
		return err
	}
	router, err := el.tristate("router")
	l.Valid, l.Routerless = valid, router == No
	return err
}

// maxDeprecated bounds the prefixes that are on their way out.
const maxDeprecated = 16

// parseDeprecated reads what live XML has of earlier prefixes.
func (a *Advertise) parseDeprecated(el *node, where string) error {
	for _, old := range el.all("deprecated") {
		text := old.path("address")
		p, err := netip.ParsePrefix(text)
		if err != nil || unadvertisable(p.Addr()) != "" || len(a.Deprecated) == maxDeprecated {
			return old.bad("Invalid deprecated address '%s' in %s", text, where)
		}
		a.Deprecated = append(a.Deprecated, p)
	}
	return nil
}

// problem says why the prefix cannot be advertised; "" if it can.
func (a *Advertise) problem() string {
	if a.HostID != "" && (a.DHCP == "no" || a.DHCP == "stateless") {
		return "hostid='" + a.HostID + "' needs dhcp='stateful'"
	}
	if a.ProxyNDP != "" && (a.Prefix == "ula" || a.NAT == "yes") {
		return "proxyndp needs a prefix that others can reach, without nat='yes'"
	}
	if a.Uplink != "" && a.Prefix != "auto" && a.From != "auto" {
		return "uplink needs advprefix='auto'"
	}
	if !a.Chosen() {
		return ""
	}
	p, ok := a.parse()
	if !ok {
		return "want an IPv6 prefix, an IPv6 address, ula or auto"
	}
	if problem := unadvertisable(p.Addr()); problem != "" {
		return problem
	}
	switch bits := p.Bits(); {
	case bits < slaacBits:
		return "guests cannot use a prefix shorter than /64"
	case bits > 126:
		return "there is no room for guests"
	case bits > slaacBits && a.DHCP != "stateful" && a.HostID == "":
		return "a prefix longer than /64 needs dhcp='stateful' or hostid='ipv4'"
	}
	return ""
}

func unadvertisable(addr netip.Addr) string {
	switch compatible := netip.MustParsePrefix("::/96"); {
	case !addr.Is6():
		return "this is an IPv4 address"
	case addr.Is4In6():
		return "this is an IPv4-mapped address"
	case addr.IsUnspecified():
		return "this is the unspecified address"
	case addr.IsLoopback():
		return "this is the loopback address"
	case addr.IsLinkLocalUnicast():
		return "this is a link-local address"
	case addr.IsMulticast():
		return "this is a multicast address"
	case compatible.Contains(addr):
		return "this is an IPv4-compatible address"
	}
	return ""
}

// parse reads the prefix, or an address with its /64.
func (a *Advertise) parse() (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(a.Prefix); err == nil {
		return p, true
	}
	addr, err := netip.ParseAddr(a.Prefix)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, slaacBits), true
}

// Address returns the address that the bridge gets in the advertised prefix,
// with the prefix's length: what was written, or ::1 in the prefix where the
// host bits are zero. ok is false for "ula" and "auto", whose prefix is chosen
// elsewhere.
func (a *Advertise) Address() (addr netip.Prefix, ok bool) {
	if !a.Chosen() {
		return netip.Prefix{}, false
	}
	p, ok := a.parse()
	if ok && p == p.Masked() {
		p = netip.PrefixFrom(p.Addr().Next(), p.Bits())
	}
	return p, ok
}

// Chosen reports whether the prefix is one, not "ula" or "auto".
func (a *Advertise) Chosen() bool { return a.Prefix != "ula" && a.Prefix != "auto" }

// Mode returns how guests get addresses: the dhcp attribute or its default,
// which is "stateless", and "stateful" with hostid.
func (a *Advertise) Mode() string {
	switch {
	case a.DHCP != "":
		return a.DHCP
	case a.HostID != "":
		return "stateful"
	}
	return "stateless"
}

// defaultLifetime is the valid lifetime that RFC 9096 section 3.4 asks for
// where a prefix may change, in seconds.
const defaultLifetime = 5400

// Valid returns how long guests may use an address after the last
// advertisement, in seconds.
func (a *Advertise) Valid() uint64 {
	valid := a.Lifetime
	if valid == 0 {
		valid = defaultLifetime
	}
	if a.Live.Valid > 0 {
		valid = min(valid, max(a.Live.Valid, minLifetime))
	}
	return valid
}

// Subnets returns the <ip> elements and, as if they were such, the addresses of
// the advertised prefix and of its deprecated predecessors.
func (n *Network) Subnets() []IP {
	if n.Advertise == nil {
		return n.IPs
	}
	list := slices.Clone(n.IPs)
	for _, p := range n.Advertise.addresses() {
		list = append(list, IP{Family: "ipv6", Address: p.Addr(), Prefix: uint32(p.Bits())})
	}
	return list
}

// Prefixes returns the subnets of a family, each once; nil: of both.
func (n *Network) Prefixes(family func(netip.Addr) bool) []netip.Prefix {
	var list []netip.Prefix
	ips := n.Subnets()
	for i := range ips {
		if p, ok := ips[i].Subnet(); ok && (family == nil || family(p.Addr())) && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func (a *Advertise) addresses() []netip.Prefix {
	if p, ok := a.Address(); ok {
		return append([]netip.Prefix{p}, a.Deprecated...)
	}
	return a.Deprecated
}

// ula is the space of unique local addresses (RFC 4193).
func ula() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfc}), 7) }

// Local reports whether a prefix is one of unique local addresses (RFC 4193).
func Local(p netip.Prefix) bool { return p.IsValid() && ula().Contains(p.Addr()) }

// Translates reports whether a network's IPv6 subnet has its addresses
// translated: one of <ip> by <nat ipv6='yes'>, an advertised one by its own nat
// attribute, for which auto means that unique local addresses are.
func (n *Network) Translates(subnet netip.Prefix) bool {
	if n.Forward.Mode != ForwardNAT {
		return false
	}
	if !n.advertises(subnet) {
		return n.Forward.NAT.IPv6 == Yes
	}
	switch n.Advertise.NAT {
	case "yes":
		return true
	case "no":
		return false
	}
	return Local(subnet)
}

// Replies reports whether only replies may enter an IPv6 subnet: always where
// addresses are translated, and in an advertised one unless inbound='accept'.
func (n *Network) Replies(subnet netip.Prefix) bool {
	if n.advertises(subnet) {
		return n.Advertise.Inbound != "accept"
	}
	return n.Translates(subnet)
}

func (n *Network) advertises(subnet netip.Prefix) bool {
	return n.Advertise != nil && slices.ContainsFunc(n.Advertise.addresses(), func(p netip.Prefix) bool { return p.Masked() == subnet })
}

// format prints the element; a may be nil.
func (a *Advertise) format(p *printer, flags FormatFlags) {
	if a == nil {
		return
	}
	list := new(attrs)
	a.fill(list, flags)
	if len(a.Deprecated) == 0 || flags&Inactive != 0 {
		p.empty("ipv6", list)
		return
	}
	p.open("ipv6", list)
	for _, old := range a.Deprecated {
		p.empty("deprecated", new(attrs).put("address", old.String()))
	}
	p.end("ipv6")
}

// fill adds the element's attributes to a list.
func (a *Advertise) fill(list *attrs, flags FormatFlags) {
	switch {
	case a.From == "":
		list.put("advprefix", a.Prefix)
	case flags&Inactive != 0:
		list.put("advprefix", a.From) // what was asked for
	default:
		list.put("advprefix", a.Prefix).put("from", a.From)
	}
	list.text("dhcp", a.DHCP).text("nat", a.NAT).text("inbound", a.Inbound).text("hostid", a.HostID).number("lifetime", a.Lifetime)
	list.yes("force", a.Force).text("proxyndp", a.ProxyNDP).text("uplink", a.Uplink)
	if flags&Inactive == 0 {
		list.text("via", a.Live.Via).number("valid", a.Live.Valid)
		if a.Live.Routerless {
			list.put("router", "no")
		}
	}
}
