package xml

import "net/netip"

func (n *Network) parseRoutes(root *node) error {
	var err error
	n.Routes, err = parseAll(root, "route", func(el *node) (*Route, error) { return parseRoute(el, n.Name) })
	if err != nil {
		return err
	}
	for i, el := range root.all("route") {
		gateway := n.Routes[i].Gateway
		if !n.reaches(gateway) {
			return el.unsupported("unreachable static route gateway '%s' specified for network '%s'", formatAddr(gateway), n.Name)
		}
	}
	return nil
}

// reaches reports whether an address is in the subnet of an <ip>.
func (n *Network) reaches(a netip.Addr) bool {
	for i := range n.IPs {
		if subnet, ok := n.IPs[i].Subnet(); ok && subnet.Contains(a) {
			return true
		}
	}
	return false
}

func parseRoute(el *node, network string) (*Route, error) {
	r := &Route{Family: el.path("family")}
	prefix, given, err := el.uintAttr("prefix", 10, 32)
	if err != nil {
		return nil, err
	}
	r.Prefix, r.HasPrefix = uint32(prefix), given
	metric, given, err := el.uintAttr("metric", 10, 32)
	if err != nil {
		return nil, err
	}
	if given && metric == 0 {
		return nil, el.zeroAttr("metric")
	}
	r.Metric = uint32(metric)
	if err := r.parseAddresses(el, network); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Route) parseAddresses(el *node, network string) error {
	refuse := func(format string, args ...any) error {
		return el.fail(KindXML, OriginNetwork, "%s: "+format, append([]any{network}, args...)...)
	}
	address, netmask, gateway := el.path("address"), el.path("netmask"), el.path("gateway")
	if address == "" {
		return refuse("Missing required address attribute in route definition")
	}
	if gateway == "" {
		return refuse("Missing required gateway attribute in route definition")
	}
	var ok bool
	if r.Address, ok = parseAddr(address); !ok {
		return refuse("Bad network address '%s' in route definition", address)
	}
	if netmask != "" {
		if r.Netmask, ok = parseAddr(netmask); !ok {
			return refuse("Bad netmask address '%s' in route definition", netmask)
		}
	}
	if r.Gateway, ok = parseAddr(gateway); !ok {
		return refuse("Bad gateway address '%s' in route definition", gateway)
	}
	switch r.Family {
	case "", "ipv4":
		if err := r.check4(refuse, address, netmask); err != nil {
			return err
		}
	case "ipv6":
		if err := r.check6(refuse, address, gateway); err != nil {
			return err
		}
	default:
		return refuse("Unrecognized family '%s' in route definition", r.Family)
	}
	return r.checkHostBits(refuse, address)
}

func (r *Route) check4(refuse func(string, ...any) error, address, netmask string) error {
	said := "No family"
	if r.Family != "" {
		said = "IPv4 family"
	}
	switch {
	case !r.Address.Is4():
		return refuse("%s specified for non-IPv4 address '%s' in route definition", said, address)
	case !r.Gateway.Is4(): // the address, not the gateway: libvirt's own slip
		return refuse("%s specified for non-IPv4 gateway '%s' in route definition", said, address)
	case r.Netmask.IsValid() && !r.Netmask.Is4():
		return refuse("Invalid netmask '%s' for address '%s' (both must be IPv4)", netmask, address)
	case r.Netmask.IsValid() && r.HasPrefix:
		return refuse("Route definition cannot have both a prefix and a netmask")
	case r.Prefix > 32:
		return refuse("Invalid prefix %d specified in route definition, must be 0 - 32", r.Prefix)
	}
	return nil
}

func (r *Route) check6(refuse func(string, ...any) error, address, gateway string) error {
	switch {
	case !r.Address.Is6():
		return refuse("ipv6 family specified for non-IPv6 address '%s' in route definition", address)
	case r.Netmask.IsValid():
		return refuse("Specifying netmask invalid for IPv6 address '%s' in route definition", address)
	case !r.Gateway.Is6():
		return refuse("ipv6 specified for non-IPv6 gateway address '%s' in route definition", gateway)
	case r.Prefix > 128:
		return refuse("Invalid prefix %d specified in route definition, must be 0 - 128", r.Prefix)
	}
	return nil
}

// checkHostBits refuses an address with bits outside its mask, and a mask with
// holes. Without prefix and netmask libvirt takes the mask to be empty.
func (r *Route) checkHostBits(refuse func(string, ...any) error, address string) error {
	bits := int(r.Prefix)
	if r.Netmask.IsValid() {
		bits = maskLen(r.Netmask)
	}
	if bits < 0 || netip.PrefixFrom(r.Address, bits).Masked().Addr() != r.Address {
		return refuse("Address '%s' in route definition is not a network address", address)
	}
	return nil
}

// Subnet returns the destination of the route.
func (r *Route) Subnet() netip.Prefix {
	bits := int(r.Prefix)
	if r.Netmask.IsValid() {
		bits = maskLen(r.Netmask)
	}
	return netip.PrefixFrom(r.Address, bits)
}

func (r *Route) format(p *printer) {
	a := new(attrs).text("family", r.Family).addr("address", r.Address).addr("netmask", r.Netmask)
	if r.HasPrefix {
		a.put("prefix", decimal(r.Prefix))
	}
	p.empty("route", a.addr("gateway", r.Gateway).number("metric", uint64(r.Metric)))
}
