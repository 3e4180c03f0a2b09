package xml

// ParsePort reads a <networkport> document. Every error is an [*Error].
func ParsePort(doc []byte) (*Port, error) {
	root, err := parseDocument(doc, "networkport")
	if err != nil {
		return nil, err
	}
	p := &Port{}
	for _, step := range []func(*node) error{p.parseOwner, p.parseSettings, p.parsePlug} {
		if err := step(root); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Port) parseOwner(root *node) error {
	uuid := root.first("uuid")
	if uuid.content() == "" {
		return root.internal("network port has no uuid")
	}
	var err error
	if p.UUID, err = portUUID(uuid); err != nil {
		return err
	}
	owner := root.first("owner")
	name := owner.first("name")
	if p.OwnerName = name.content(); p.OwnerName == "" {
		return root.internal("network port has no owner name")
	}
	if err := checkText(name, "owner name", p.OwnerName, ""); err != nil {
		return err
	}
	id := owner.first("uuid")
	if id.content() == "" {
		return root.internal("network port has no owner UUID")
	}
	if p.OwnerUUID, err = portUUID(id); err != nil {
		return err
	}
	p.Group = root.first("group").content()
	return checkText(root.first("group"), "group", p.Group, "")
}

func portUUID(el *node) (UUID, error) {
	uuid, ok := ParseUUID(el.content())
	if !ok {
		return UUID{}, el.internal("Unable to parse UUID '%s'", el.content())
	}
	return uuid, nil
}

func (p *Port) parseSettings(root *node) (err error) {
	if el := root.first("virtualport"); el != nil {
		if p.VirtualPort, err = parseVirtualPort(el, false); err != nil {
			return err
		}
	}
	mac := root.first("mac").path("address")
	if mac == "" {
		return root.internal("network port has no mac")
	}
	var ok bool
	if p.MAC, ok = ParseMAC(mac); !ok {
		return root.first("mac").internal("Unable to parse MAC '%s'", mac)
	}
	if p.Bandwidth, p.VLAN, err = parseTraffic(root, true); err != nil {
		return err
	}
	if p.Isolated, err = root.first("port").tristate("isolated"); err != nil {
		return err
	}
	p.TrustGuestRxFilters, err = root.first("rxfilters").tristate("trustGuest")
	return err
}

var plugTypes = [...]string{PlugNone: "none", PlugNetwork: "network", PlugBridge: "bridge", PlugDirect: "direct", PlugHostdevPCI: "hostdev-pci"}

// String returns libvirt's word for the plug type.
func (t PlugType) String() string {
	if int(t) < len(plugTypes) {
		return plugTypes[t]
	}
	return "PlugType(" + decimal(uint32(t)) + ")"
}

func (p *Port) parsePlug(root *node) error {
	el := root.first("plug")
	switch kind := el.path("type"); kind {
	case "", "none":
		return nil
	case "network":
		p.Plug.Type = PlugNetwork
		return p.Plug.parseBridge(el)
	case "bridge":
		p.Plug.Type = PlugBridge
		return p.Plug.parseBridge(el)
	case "direct":
		p.Plug.Type = PlugDirect
		return p.Plug.parseDirect(el)
	case "hostdev-pci":
		p.Plug.Type = PlugHostdevPCI
		return p.Plug.parseHostdev(el)
	default:
		return el.invalidAttr("type", kind, "")
	}
}

func (g *Plug) parseBridge(el *node) error {
	if g.Bridge = el.path("bridge"); g.Bridge == "" {
		return el.bad("Missing network port bridge name")
	}
	switch g.MACTableManager = el.path("macTableManager"); g.MACTableManager {
	case "", "kernel", "libvirt":
	default:
		return el.bad("Invalid macTableManager setting '%s' in network port", g.MACTableManager)
	}
	return checkDevice(el, "bridge name", g.Bridge)
}

func (g *Plug) parseDirect(el *node) error {
	if g.Dev = el.path("dev"); g.Dev == "" {
		return el.bad("Missing network port link device name")
	}
	switch g.Mode = el.path("mode"); g.Mode {
	case "":
		g.Mode = "vepa"
	case "vepa", "private", "bridge", "passthrough":
	default:
		return el.bad("Invalid mode setting '%s' in network port", g.Mode)
	}
	return checkDevice(el, "device name", g.Dev)
}

func (g *Plug) parseHostdev(el *node) (err error) {
	switch managed := el.path("managed"); managed {
	case "":
	case "yes":
		g.Managed = Yes
	case "no":
		g.Managed = No
	default:
		return el.invalidAttr("managed", managed, "")
	}
	if d := el.first("driver"); d != nil {
		if g.DriverName, g.DriverModel, err = parseDriver(d); err != nil {
			return err
		}
	}
	addr := el.first("address")
	if addr == nil {
		return el.bad("Missing network port PCI address")
	}
	g.PCI, err = parsePCI(addr)
	return err
}

// Format writes the port in libvirt's canonical form, ending in a newline.
func (p *Port) Format() string { return p.FormatIndent(0) }

// FormatIndent is Format for a port inside another document: every line is
// indented by level times two spaces.
func (p *Port) FormatIndent(level int) string {
	out := &printer{level: level}
	out.open("networkport", &attrs{})
	out.leaf("uuid", p.UUID.String())
	out.open("owner", &attrs{})
	out.leaf("name", p.OwnerName)
	out.leaf("uuid", p.OwnerUUID.String())
	out.end("owner")
	out.leaf("group", p.Group)
	out.empty("mac", new(attrs).put("address", p.MAC.String()))
	p.VirtualPort.format(out)
	p.Bandwidth.format(out)
	p.VLAN.format(out)
	formatIsolated(out, p.Isolated)
	if p.TrustGuestRxFilters != Unset {
		out.empty("rxfilters", new(attrs).state("trustGuest", p.TrustGuestRxFilters))
	}
	p.Plug.format(out)
	out.end("networkport")
	return string(out.b)
}

func (g *Plug) format(out *printer) {
	a := new(attrs).put("type", g.Type.String())
	switch g.Type {
	case PlugNone:
	case PlugNetwork, PlugBridge:
		out.empty("plug", a.put("bridge", g.Bridge).text("macTableManager", g.MACTableManager))
	case PlugDirect:
		out.empty("plug", a.put("dev", g.Dev).put("mode", g.Mode))
	case PlugHostdevPCI:
		out.open("plug", a.state("managed", g.Managed))
		if g.DriverName != "" || g.DriverModel != "" {
			out.empty("driver", new(attrs).text("name", g.DriverName).text("model", g.DriverModel))
		}
		if g.PCI != nil {
			out.empty("address", g.PCI.attrs(&attrs{}))
		}
		out.end("plug")
	}
}
