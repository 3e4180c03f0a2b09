package xml

import "net/netip"

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
	a, err := parseAdvertise(el, n.Name)
	n.Advertise = a
	return err
}

func parseAdvertise(el *node, network string) (*Advertise, error) {
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
		return nil, el.bad("Invalid lifetime '%d' of advprefix in network '%s': must be %d to %d seconds",
			lifetime, network, minLifetime, uint64(maxLifetime))
	}
	a.Lifetime = lifetime
	if problem := a.problem(); problem != "" {
		return nil, el.bad("Invalid advprefix '%s' in network '%s': %s", a.Prefix, network, problem)
	}
	return a, nil
}

// problem says why the prefix cannot be advertised; "" if it can.
func (a *Advertise) problem() string {
	if a.HostID != "" && (a.DHCP == "no" || a.DHCP == "stateless") {
		return "hostid='" + a.HostID + "' needs dhcp='stateful'"
	}
	if a.Prefix == "ula" || a.Prefix == "auto" {
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
	if a.Prefix == "ula" || a.Prefix == "auto" {
		return netip.Prefix{}, false
	}
	p, ok := a.parse()
	if ok && p == p.Masked() {
		p = netip.PrefixFrom(p.Addr().Next(), p.Bits())
	}
	return p, ok
}

// format prints the element; a may be nil.
func (a *Advertise) format(p *printer) {
	if a == nil {
		return
	}
	list := new(attrs).put("advprefix", a.Prefix).text("dhcp", a.DHCP).text("nat", a.NAT).
		text("inbound", a.Inbound).text("hostid", a.HostID).number("lifetime", a.Lifetime)
	if a.Force {
		list.put("force", "yes")
	}
	p.empty("ipv6", list)
}
