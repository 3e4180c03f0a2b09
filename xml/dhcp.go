package xml

import (
	"net/netip"
	"strconv"
	"strings"
)

func (ip *IP) parseDHCP(dhcp *node, network string) error {
	for _, el := range dhcp.children {
		if el.kind != elementNode {
			continue
		}
		if ip.Auto && (el.name == "range" || el.name == "host") {
			return el.bad("<%s> not allowed in <ip type='auto'> in network '%s'", el.name, network)
		}
		switch el.name {
		case "range":
			r, err := ip.parseRange(el, network)
			if err != nil {
				return err
			}
			ip.Ranges = append(ip.Ranges, *r)
		case "host":
			h, err := ip.parseHost(el, network, false)
			if err != nil {
				return err
			}
			ip.Hosts = append(ip.Hosts, *h)
		case "bootp":
			if err := ip.parseBootp(el, network); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ip *IP) parseRange(el *node, network string) (*Range, error) {
	var ends [2]netip.Addr
	for i, name := range []string{"start", "end"} {
		v, ok := el.attr(name)
		if !ok {
			return nil, el.bad("Missing '%s' attribute in dhcp range for network '%s'", name, network)
		}
		if ends[i], ok = parseAddr(v); !ok {
			return nil, el.fail(KindSystem, OriginHelper, "Cannot parse socket address '%s': Name or service not known", v)
		}
	}
	if err := checkRange(el, ends[0], ends[1], ip.Address, ip.prefixLen()); err != nil {
		return nil, err
	}
	lease, err := parseLease(el)
	return &Range{Start: ends[0], End: ends[1], Lease: lease}, err
}

// parseHost reads a <host> of <dhcp>. A partial one, which an update uses to
// find an entry, needs any one of its attributes.
func (ip *IP) parseHost(el *node, network string, partial bool) (*DHCPHost, error) {
	h := &DHCPHost{}
	mac, hasMAC := el.attr("mac")
	if err := ip.checkHostMAC(el, mac, hasMAC, network); err != nil {
		return nil, err
	}
	h.MAC = flat(mac)
	h.ID, _ = el.attr("id")
	for _, c := range h.ID {
		if c != ':' && (c > 'f' || hexDigit(byte(c)) > 15) {
			return nil, el.bad("Invalid character '%c' in id '%s' of network '%s'", c, h.ID, network)
		}
	}
	name, hasName := el.attr("name")
	if hasName && (name == "" || !onlyAlnum(name[:1], "")) {
		return nil, el.bad("Cannot use host name '%s' in network '%s'", name, network)
	}
	h.Name = flat(name)
	addr, hasIP := el.attr("ip")
	if hasIP {
		var ok bool
		if h.IP, ok = parseAddr(addr); !ok {
			return nil, el.bad("Invalid IP address in static host definition for network '%s'", network)
		}
	}
	if partial && !hasMAC && !hasName && !hasIP {
		return nil, el.bad("At least one of name, mac, or ip attribute must be specified for static host definition in network '%s'", network)
	}
	if !partial {
		if err := ip.checkHostComplete(el, h, network); err != nil {
			return nil, err
		}
	}
	if hasName {
		if err := el.accept(dhcpNamePlace.check(el, name)); err != nil {
			return nil, err
		}
	}
	lease, err := parseLease(el)
	h.Lease = lease
	return h, err
}

// checkHostMAC is stricter than libvirt about what follows the address, which
// may be anything behind a blank with libvirt: nothing but blanks.
func (ip *IP) checkHostMAC(el *node, mac string, given bool, network string) error {
	if !given {
		return nil
	}
	if ip.Is6() {
		return el.bad("Invalid to specify MAC address '%s' in network '%s' IPv6 static host definition", mac, network)
	}
	parsed, ok := ParseMAC(mac)
	if !ok {
		return el.bad("Cannot parse MAC address '%s' in network '%s'", mac, network)
	}
	if !onlyAlnum(strings.TrimRight(mac, " \t"), ":") {
		if err := el.accept(el.bad("Cannot parse MAC address '%s' in network '%s'", mac, network)); err != nil {
			return err
		}
	}
	if parsed.IsMulticast() {
		return el.bad("expected unicast mac address, found multicast '%s' in network '%s'", mac, network)
	}
	return nil
}

func (ip *IP) checkHostComplete(el *node, h *DHCPHost, network string) error {
	switch {
	case ip.Is6() && h.ID == "" && h.Name == "":
		return el.bad("Static host definition in IPv6 network '%s' must have id or name attribute", network)
	case !ip.Is6() && h.MAC == "" && h.Name == "":
		return el.bad("Static host definition in IPv4 network '%s' must have mac or name attribute", network)
	case !h.IP.IsValid():
		return el.bad("Missing IP address in static host definition for network '%s'", network)
	}
	return nil
}

// parseLease reads the <lease> below a range or host. One without expiry says
// nothing.
func parseLease(parent *node) (*Lease, error) {
	el := parent.anyNS("lease")
	if el == nil {
		return nil, nil
	}
	expiry, given, err := el.uintAttr("expiry", 10, 64)
	if err != nil || !given {
		return nil, err
	}
	unit, err := el.enum("unit", "seconds", "minutes", "hours")
	if err != nil {
		return nil, err
	}
	if unit == "" || expiry == 0 {
		unit = "minutes"
	}
	if expiry > 0 && (unit == "seconds" && expiry < 120 || unit == "minutes" && expiry < 2) {
		return nil, el.unsupported("The minimum lease time should be greater than 2 minutes")
	}
	return &Lease{Expiry: expiry, Unit: unit}, nil
}

// parseBootp reads <bootp>, which libvirt ignores for IPv6. Of several the
// last one counts.
func (ip *IP) parseBootp(el *node, network string) error {
	if ip.Is6() {
		return nil
	}
	b := &Bootp{}
	var ok bool
	if b.File, ok = el.attr("file"); !ok {
		return el.missingAttr("file")
	}
	if err := el.accept(checkText(el, "bootp file", b.File, "")); err != nil {
		return err
	}
	if v, given := el.attr("server"); given {
		if b.Server, ok = parseAddr(v); !ok {
			return el.fail(KindSystem, OriginHelper, "Cannot parse socket address '%s': Name or service not known", v)
		}
	}
	ip.Bootp = b
	return nil
}

func (ip *IP) formatDHCP(p *printer) {
	p.open("dhcp", &attrs{})
	for _, r := range ip.Ranges {
		formatLeased(p, "range", new(attrs).addr("start", r.Start).addr("end", r.End), r.Lease)
	}
	for i := range ip.Hosts {
		ip.Hosts[i].format(p)
	}
	if b := ip.Bootp; b != nil {
		p.empty("bootp", new(attrs).put("file", b.File).addr("server", b.Server))
	}
	p.end("dhcp")
}

// XML returns a static host as a definition and an update of one have it.
func (h *DHCPHost) XML() string {
	p := &printer{}
	h.format(p)
	return string(p.b)
}

func (h *DHCPHost) format(p *printer) {
	formatLeased(p, "host", new(attrs).text("mac", h.MAC).text("id", h.ID).text("name", h.Name).addr("ip", h.IP), h.Lease)
}

func formatLeased(p *printer, name string, a *attrs, lease *Lease) {
	if lease == nil {
		p.empty(name, a)
		return
	}
	p.open(name, a)
	la := new(attrs).put("expiry", strconv.FormatUint(lease.Expiry, 10))
	if lease.Expiry > 0 {
		la.put("unit", lease.Unit)
	}
	p.empty("lease", la)
	p.end(name)
}

// sameMAC compares two addresses as written; "" is like nothing.
func sameMAC(a, b string) bool {
	x, okX := ParseMAC(a)
	y, okY := ParseMAC(b)
	return okX && okY && x == y || a != "" && strings.EqualFold(a, b)
}
