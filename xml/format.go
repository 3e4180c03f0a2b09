package xml

import "strconv"

// FormatFlags choose between the forms of a definition.
type FormatFlags uint32

// Inactive leaves out what only a running network has: connection counts, the
// virtual functions that were found below a physical function, and where an
// advertised prefix is from (VIR_NETWORK_XML_INACTIVE).
const Inactive FormatFlags = 1

const dnsmasqNamespace = "http://libvirt.org/schemas/network/dnsmasq/1.0"

// Format writes the definition in libvirt's canonical form, ending in a
// newline. The result depends on nothing but the definition and the flags.
func (n *Network) Format(flags FormatFlags) string { return n.FormatIndent(0, flags) }

// FormatIndent is Format for a network inside another document: every line is
// indented by level times two spaces.
func (n *Network) FormatIndent(level int, flags FormatFlags) string {
	p := &printer{level: level}
	a := &attrs{}
	if len(n.DnsmasqOptions) > 0 {
		a.put("xmlns:dnsmasq", dnsmasqNamespace)
	}
	if flags&Inactive == 0 && n.Connections > 0 {
		a.put("connections", strconv.Itoa(n.Connections))
	}
	a.yes("ipv6", n.IPv6).state("trustGuestRxFilters", n.TrustGuestRxFilters)
	p.open("network", a)
	n.formatHead(p)
	n.Forward.format(p, flags)
	n.formatBridge(p)
	n.Domain.format(p)
	n.DNS.format(p)
	n.VLAN.format(p)
	n.Bandwidth.format(p)
	formatIsolated(p, n.Isolated)
	n.Advertise.format(p, flags)
	for i := range n.IPs {
		if n.IPs[i].Until == 0 || flags&Inactive == 0 {
			n.IPs[i].format(p)
		}
	}
	for i := range n.Routes {
		n.Routes[i].format(p)
	}
	n.VirtualPort.format(p)
	for i := range n.PortGroups {
		n.PortGroups[i].format(p)
	}
	formatOptions(p, n.DnsmasqOptions)
	p.end("network")
	return string(p.b)
}

func (n *Network) formatHead(p *printer) {
	p.leaf("name", n.Name)
	if n.HasUUID() {
		p.leaf("uuid", n.UUID.String())
	}
	p.leaf("title", n.Title)
	p.leaf("description", n.Description)
	n.Metadata.format(p)
}

func formatIsolated(p *printer, isolated Tristate) {
	if isolated != Unset {
		p.empty("port", new(attrs).state("isolated", isolated))
	}
}

func formatOptions(p *printer, options []string) {
	if len(options) == 0 {
		return
	}
	p.open("dnsmasq:options", &attrs{})
	for _, o := range options {
		p.empty("dnsmasq:option", new(attrs).put("value", o))
	}
	p.end("dnsmasq:options")
}
