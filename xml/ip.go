package xml

func (n *Network) parseIPs(root *node) (err error) {
	n.IPs, err = parseAll(root, "ip", func(el *node) (*IP, error) { return parseIP(el, n.Name) })
	return err
}

func parseIP(el *node, network string) (*IP, error) {
	ip := &IP{Family: el.path("family")}
	prefix, _, err := el.uintAttr("prefix", 10, 32)
	if err != nil {
		return nil, err
	}
	ip.Prefix = uint32(prefix)
	if ip.Until, _, err = el.uintAttr("until", 10, 63); err != nil {
		return nil, err
	}
	if ip.LocalPtr, err = el.tristate("localPtr"); err != nil {
		return nil, err
	}
	if err := ip.parseType(el, network); err != nil {
		return nil, err
	}
	if !ip.Auto {
		if err := ip.parseAddress(el, network); err != nil {
			return nil, err
		}
	}
	if dhcp := el.first("dhcp"); dhcp != nil {
		if err := ip.parseDHCP(dhcp, network); err != nil {
			return nil, err
		}
	}
	tftp := el.first("tftp")
	if tftp != nil && ip.Is6() {
		return nil, tftp.unsupported("Unsupported <tftp> element in an IPv6 element in network '%s'", network)
	}
	ip.TFTPRoot = tftp.path("root")
	return ip, tftp.accept(checkText(tftp, "tftp root", ip.TFTPRoot, ""))
}

// parseType reads virbr's type='auto': no address, because one is chosen when
// the network first starts.
func (ip *IP) parseType(el *node, network string) error {
	kind, err := el.enum("type", "auto")
	if err != nil || kind == "" {
		return err
	}
	ip.Auto = true
	for _, name := range []string{"address", "netmask", "prefix"} {
		if _, given := el.attr(name); given {
			return el.bad("attribute '%s' not allowed in <ip type='auto'> in network '%s'", name, network)
		}
	}
	if ip.Family != "" && ip.Family != "ipv4" {
		return el.bad("family '%s' not allowed in <ip type='auto'> in network '%s'", ip.Family, network)
	}
	return nil
}

func (ip *IP) parseAddress(el *node, network string) error {
	address, netmask := el.path("address"), el.path("netmask")
	if address == "" {
		return el.bad("Missing required address attribute in network '%s'", network)
	}
	var ok bool
	if ip.Address, ok = parseAddr(address); !ok {
		return el.bad("Invalid address '%s' in network '%s'", address, network)
	}
	if netmask != "" {
		if ip.Netmask, ok = parseAddr(netmask); !ok {
			return el.bad("Invalid netmask '%s' in network '%s'", netmask, network)
		}
	}
	return ip.checkFamily(el, address, netmask, network)
}

func (ip *IP) checkFamily(el *node, address, netmask, network string) error {
	switch ip.Family {
	case "", "ipv4":
		said := "no"
		if ip.Family != "" {
			said = "ipv4"
		}
		switch {
		case !ip.Address.Is4():
			return el.unsupported("%s family specified for non-IPv4 address '%s' in network '%s'", said, address, network)
		case ip.Netmask.IsValid() && !ip.Netmask.Is4():
			return el.unsupported("Invalid netmask '%s' for address '%s' in network '%s' (both must be IPv4)", netmask, address, network)
		case ip.Netmask.IsValid() && ip.Prefix > 0:
			return el.unsupported("Network '%s' IP address cannot have both a prefix and a netmask", network)
		case ip.Prefix > 32:
			return el.unsupported("Invalid IPv4 prefix '%d' in network '%s'", ip.Prefix, network)
		}
	case "ipv6":
		switch {
		case !ip.Address.Is6():
			return el.unsupported("Family 'ipv6' specified for non-IPv6 address '%s' in network '%s'", address, network)
		case ip.Netmask.IsValid():
			return el.unsupported("netmask not allowed for IPv6 address '%s' in network '%s'", address, network)
		case ip.Prefix > 128:
			return el.unsupported("Invalid IPv6 prefix '%d' in network '%s'", ip.Prefix, network)
		}
	default:
		return el.bad("Unrecognized family '%s' in network '%s'", ip.Family, network)
	}
	return nil
}

// format prints the element, which libvirt never writes as an empty one.
func (ip *IP) format(p *printer) {
	a := new(attrs).text("family", ip.Family)
	if ip.Auto {
		a.put("type", "auto")
	}
	a.addr("address", ip.Address).addr("netmask", ip.Netmask).number("prefix", uint64(ip.Prefix))
	p.open("ip", a.state("localPtr", ip.LocalPtr).number("until", ip.Until))
	if ip.TFTPRoot != "" {
		p.empty("tftp", new(attrs).put("root", ip.TFTPRoot))
	}
	if ip.HasDHCP() {
		ip.formatDHCP(p)
	}
	p.end("ip")
}
