package xml

import "strings"

// ParseNetwork reads a <network> document. It makes the checks that libvirt
// makes whenever it parses one, in libvirt's order, and refuses values that
// would be unsafe in a file, path or rule. [Network.Validate] makes those that
// belong to defining a network. Every error is an [*Error].
func ParseNetwork(doc []byte) (*Network, error) {
	root, err := parseDocument(doc, "network")
	if err != nil {
		return nil, err
	}
	return parseNetwork(root)
}

// parseNetwork reads a <network> element, perhaps inside another document.
func parseNetwork(root *node) (*Network, error) {
	n := &Network{}
	steps := []func(*node) error{
		n.parseHead, n.parseOptions, n.parseDomain, n.parsePortDefaults,
		n.parseBridge, n.parseMAC, n.parseMTU, n.parseDNS, n.parseVirtualPort,
		n.parsePortGroups, n.parseAdvertise, n.parseIPs, n.parseRoutes,
		n.parseForward, n.parseMetadata, n.checkMode, n.parseDnsmasq,
	}
	for _, step := range steps {
		if err := root.miss(step(root)); err != nil {
			return nil, err
		}
	}
	if n.Name == "" { // read leniently
		return nil, root.fail(KindNoName, OriginNetwork, "")
	}
	return n, nil
}

func (n *Network) parseHead(root *node) error {
	name := root.first("name")
	n.Name = name.content()
	if n.Name == "" {
		return root.fail(KindNoName, OriginNetwork, "")
	}
	if err := checkNetworkName(name, n.Name); err != nil {
		return err
	}
	if el := root.first("uuid"); el.content() != "" {
		uuid, ok := ParseUUID(el.content())
		if !ok {
			if err := el.miss(el.internal("malformed uuid element")); err != nil {
				return err
			}
		}
		n.UUID, n.NilUUID = uuid, ok && uuid.IsZero()
	}
	title := root.first("title")
	n.Title = title.content()
	if strings.Contains(n.Title, "\n") {
		if err := title.accept(title.bad("Network title can't contain newlines")); err != nil {
			return err
		}
	}
	n.Description = root.first("description").content()
	return nil
}

// parseOptions reads the attributes of <network> itself.
func (n *Network) parseOptions(root *node) (err error) {
	switch v := root.path("ipv6"); v {
	case "", "no":
	case "yes":
		n.IPv6 = true
	default:
		return root.bad("Invalid ipv6 setting '%s' in network '%s'", v, n.Name)
	}
	n.TrustGuestRxFilters, err = root.tristate("trustGuestRxFilters")
	return err
}

// parsePortDefaults reads what the network's ports inherit.
func (n *Network) parsePortDefaults(root *node) (err error) {
	if n.Bandwidth, n.VLAN, err = parseTraffic(root, false); err != nil {
		return err
	}
	n.Isolated, err = root.first("port").tristate("isolated")
	return err
}

func (n *Network) parseVirtualPort(root *node) (err error) {
	if el := root.first("virtualport"); el != nil {
		n.VirtualPort, err = parseVirtualPort(el, true)
	}
	return err
}

func (n *Network) parsePortGroups(root *node) (err error) {
	n.PortGroups, err = parseAll(root, "portgroup", parsePortGroup)
	return err
}

// parseDnsmasq reads the raw dnsmasq options. What they say is the
// administrator's business, but each must stay one line.
func (n *Network) parseDnsmasq(root *node) error {
	for _, c := range root.children {
		if c.kind != elementNode || c.name != "options" || c.space != dnsmasqNamespace {
			continue
		}
		for _, o := range c.children {
			if o.kind != elementNode || o.name != "option" || o.space != dnsmasqNamespace {
				continue
			}
			v, ok := o.attr("value")
			if !ok {
				return o.internal("No dnsmasq options value specified")
			}
			if err := o.accept(checkText(o, "dnsmasq option", v, "")); err != nil {
				return err
			}
			n.DnsmasqOptions = append(n.DnsmasqOptions, v)
		}
	}
	return nil
}
