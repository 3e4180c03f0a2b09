package xml

import "strconv"

func decimal(v uint32) string { return strconv.FormatUint(uint64(v), 10) }

func (n *Network) parseBridge(root *node) error {
	el := root.first("bridge")
	b := &n.Bridge
	b.Name, b.Zone = el.path("name"), el.path("zone")
	if b.Name != "" {
		if err := el.accept(checkBridge(el, b.Name)); err != nil {
			return err
		}
	}
	if err := el.accept(checkText(el, "bridge zone", b.Zone, "")); err != nil {
		return err
	}
	b.NoSTP = el.path("stp") == "off"
	if v := el.path("delay"); v != "" {
		delay, ok := parseUint(v, 10, 64)
		if !ok {
			return el.bad("Invalid delay value in network '%s'", n.Name)
		}
		b.Delay = delay
	}
	switch b.MACTableManager = el.path("macTableManager"); b.MACTableManager {
	case "", "kernel", "libvirt":
	default:
		return el.bad("Invalid macTableManager setting '%s' in network '%s'", b.MACTableManager, n.Name)
	}
	create, err := el.tristate("create")
	b.Create = create == Yes
	return err
}

func (n *Network) parseMAC(root *node) error {
	el := root.first("mac")
	v := el.path("address")
	if v == "" {
		return nil
	}
	mac, ok := ParseMAC(v)
	if !ok {
		return el.bad("Invalid bridge mac address '%s' in network '%s'", v, n.Name)
	}
	if mac.IsMulticast() {
		return el.bad("Invalid multicast bridge mac address '%s' in network '%s'", v, n.Name)
	}
	n.MAC = mac
	return nil
}

func (n *Network) parseMTU(root *node) error {
	el := root.first("mtu")
	v := el.path("size")
	if v == "" {
		return nil
	}
	size, ok := parseUint(v, 10, 32)
	if !ok {
		return el.bad("Invalid mtu size '%s' in network '%s'", v, n.Name)
	}
	n.MTU = uint32(size)
	return nil
}

func (n *Network) parseDomain(root *node) (err error) {
	el := root.first("domain")
	if el == nil {
		return nil
	}
	d := &n.Domain
	if d.Name, _ = el.attr("name"); d.Name != "" {
		d.Name = flat(d.Name)
		if err := el.accept(domainPlace.check(el, d.Name)); err != nil {
			return err
		}
	}
	if d.LocalOnly, err = el.tristate("localOnly"); err != nil {
		return err
	}
	if d.Register, err = el.tristate("register"); err != nil {
		return err
	}
	if d.Register == Yes && d.LocalOnly != Yes {
		return el.unsupported("attribute 'register=yes' in <domain> element requires 'localOnly=yes' in network %s", n.Name)
	}
	return nil
}

// checkMode makes the checks between the forward mode and the other elements.
func (n *Network) checkMode(root *node) error {
	mode, el := n.Forward.Mode, root.first("forward")
	switch mode {
	case ForwardNone:
	case ForwardNAT, ForwardRoute:
		if len(n.IPs) == 0 && n.Advertise == nil && !n.addressed() {
			return el.bad("%s forwarding requested, but no IP address provided for network '%s'", mode, n.Name)
		}
		if len(n.Forward.Interfaces) > 1 {
			return el.bad("multiple forwarding interfaces specified for network '%s', only one is supported", n.Name)
		}
	case ForwardOpen:
		if len(n.Forward.Interfaces) > 0 {
			return el.bad("forward dev not allowed for network '%s' with forward mode='%s'", n.Name, mode)
		}
	case ForwardBridge, ForwardPrivate, ForwardVEPA, ForwardPassthrough, ForwardHostdev:
		if err := n.checkForeignBridge(root); err != nil {
			return err
		}
	}
	if n.MTU > 0 && !n.OwnsBridge() {
		return root.first("mtu").bad("mtu size only allowed in open, route, nat, and isolated mode, not in %s (network '%s')", mode, n.Name)
	}
	return n.checkCreate(root)
}

// OwnsBridge reports whether we make the network's bridge: in the routed modes,
// and with virbr's create='yes'.
func (n *Network) OwnsBridge() bool { return n.Forward.Mode.Routed() || n.Bridge.Create }

// checkForeignBridge makes the checks for modes in which libvirt makes no
// bridge of its own.
func (n *Network) checkForeignBridge(root *node) error {
	mode, b, el := n.Forward.Mode, &n.Bridge, root.first("bridge")
	if mode != ForwardBridge {
		for _, s := range []struct{ value, what string }{
			{b.Name, "name"}, {b.Zone, "zone"}, {b.MACTableManager, "macTableManager setting"},
		} {
			if s.value != "" {
				return el.bad("bridge %s not allowed in %s mode (network '%s')", s.what, mode, n.Name)
			}
		}
	}
	if !b.Create && (b.Delay > 0 || el.path("stp") != "") || b.Zone != "" {
		return el.bad("bridge delay/stp/zone options only allowed in open, route, nat, and isolated mode, not in %s (network '%s')", mode, n.Name)
	}
	if (b.Name != "" || b.Create) && (len(n.Forward.Interfaces) > 0 || n.Forward.PF != "") {
		return el.bad("A network with forward mode='%s' can specify a bridge name or a forward dev, but not both (network '%s')", mode, n.Name)
	}
	if _, template := BridgeTemplate(b.Name); template && b.Name != "" && !b.Create {
		return el.accept(invalidChar(el, "bridge name", '%'))
	}
	return nil
}

// checkCreate holds virbr's create='yes' to the one mode that it is for: in
// the others the bridge is ours anyway, or there is none.
func (n *Network) checkCreate(root *node) error {
	el := root.first("bridge")
	switch {
	case !n.Bridge.Create:
		return nil
	case n.Forward.Mode != ForwardBridge:
		return el.bad("bridge create='yes' only allowed in bridge mode, not in %s (network '%s')", n.Forward.Mode, n.Name)
	}
	return nil
}

func (n *Network) formatBridge(p *printer) {
	b, a := &n.Bridge, &attrs{}
	a.text("name", b.Name).text("zone", b.Zone)
	if n.OwnsBridge() {
		stp := "on"
		if b.NoSTP {
			stp = "off"
		}
		a.put("stp", stp).put("delay", strconv.FormatUint(b.Delay, 10))
	}
	a.text("macTableManager", b.MACTableManager).yes("create", b.Create)
	if n.OwnsBridge() || b.Name != "" || b.MACTableManager != "" {
		p.empty("bridge", a)
	}
	if n.MTU > 0 {
		p.empty("mtu", new(attrs).number("size", uint64(n.MTU)))
	}
	if !n.MAC.IsZero() {
		p.empty("mac", new(attrs).put("address", n.MAC.String()))
	}
}

func (d *Domain) format(p *printer) {
	if d.Name != "" {
		p.empty("domain", new(attrs).put("name", d.Name).state("localOnly", d.LocalOnly).state("register", d.Register))
	}
}
