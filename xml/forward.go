package xml

import (
	"fmt"
	"net/netip"
	"strings"
)

var forwardModes = [...]string{
	ForwardNone: "none", ForwardNAT: "nat", ForwardRoute: "route", ForwardOpen: "open",
	ForwardBridge: "bridge", ForwardPrivate: "private", ForwardVEPA: "vepa",
	ForwardPassthrough: "passthrough", ForwardHostdev: "hostdev",
}

// String returns libvirt's word for the mode.
func (m ForwardMode) String() string {
	if int(m) < len(forwardModes) {
		return forwardModes[m]
	}
	return fmt.Sprintf("ForwardMode(%d)", uint8(m))
}

func (n *Network) parseForward(root *node) error {
	el := root.first("forward")
	if el == nil {
		return nil
	}
	f := &n.Forward
	f.Mode = ForwardNAT
	if word := el.path("mode"); word != "" {
		mode, ok := parseForwardMode(word)
		if !ok {
			return el.unsupported("unknown forwarding type '%s'", word)
		}
		f.Mode = mode
	}
	f.Managed = strings.EqualFold(el.path("managed"), "yes")
	if err := f.parseDriver(el); err != nil {
		return err
	}
	if err := n.parseNAT(el); err != nil {
		return err
	}
	return n.parsePool(el)
}

func parseForwardMode(word string) (ForwardMode, bool) {
	for m, w := range forwardModes {
		if w == word {
			return ForwardMode(m), true
		}
	}
	return 0, false
}

func (f *Forward) parseDriver(el *node) (err error) {
	d := el.first("driver")
	if d == nil {
		return nil
	}
	f.DriverName, f.DriverModel, err = parseDriver(d)
	return err
}

// parseDriver reads the <driver> of a PCI device.
func parseDriver(el *node) (name, model string, err error) {
	if name, err = el.enum("name", "kvm", "vfio", "xen"); err != nil {
		return "", "", err
	}
	model, _ = el.attr("model")
	return name, model, el.accept(checkText(el, "driver model", model, "/"))
}

func (n *Network) parseNAT(forward *node) error {
	nats := forward.all("nat")
	if len(nats) == 0 {
		return nil
	}
	el := nats[0]
	if len(nats) > 1 {
		return nats[1].bad("Only one <nat> element is allowed in <forward> of network %s", n.Name)
	}
	if n.Forward.Mode != ForwardNAT {
		return el.bad("The <nat> element can only be used when <forward> 'mode' is 'nat' in network %s", n.Name)
	}
	var err error
	if n.Forward.NAT.IPv6, err = el.tristate("ipv6"); err != nil {
		return err
	}
	if err := n.parseNATAddress(el); err != nil {
		return err
	}
	return n.parseNATPort(el)
}

func (n *Network) parseNATAddress(nat *node) error {
	els := nat.all("address")
	if len(els) > 1 {
		return els[1].bad("Only one <address> element is allowed in <nat> in <forward> in network %s", n.Name)
	}
	if len(els) == 0 {
		return nil
	}
	var ends [2]netip.Addr
	for _, name := range []string{"start", "end"} { // both, before what they hold
		if _, ok := els[0].attr(name); !ok {
			return els[0].bad("missing '%s' attribute in <address> element in <nat> in <forward> in network %s", name, n.Name)
		}
	}
	for i, name := range []string{"start", "end"} {
		v, _ := els[0].attr(name)
		a, ok := parseAddr(v)
		if a = a.Unmap(); !ok || !a.Is4() { // getaddrinfo unmaps what is to be IPv4
			return els[0].bad("Bad ipv4 %s address '%s' in <nat> in <forward> in network '%s'", name, v, n.Name)
		}
		ends[i] = a
	}
	n.Forward.NAT.AddressStart, n.Forward.NAT.AddressEnd = ends[0], ends[1]
	return checkRange(els[0], ends[0], ends[1], netip.Addr{}, 0)
}

func (n *Network) parseNATPort(nat *node) error {
	els := nat.all("port")
	if len(els) > 1 {
		return els[1].bad("Only one <port> element is allowed in <nat> in <forward> in network %s", n.Name)
	}
	if len(els) == 0 {
		return nil
	}
	var ends [2]uint32
	for i, name := range []string{"start", "end"} {
		v, ok := parseUint(els[0].path(name), 10, 32)
		if !ok || v > 65535 || i == 1 && uint32(v) < ends[0] {
			return els[0].detail("Missing or invalid '%s' attribute in <port> in <nat> in <forward> in network %s", name, n.Name)
		}
		ends[i] = uint32(v)
	}
	n.Forward.NAT.PortStart, n.Forward.NAT.PortEnd = ends[0], ends[1]
	return nil
}

func (f *Forward) format(p *printer, flags FormatFlags) {
	if f.Mode == ForwardNone {
		return
	}
	a := &attrs{}
	if f.PF == "" {
		a.text("dev", f.Dev())
	}
	a.put("mode", f.Mode.String())
	if f.Mode == ForwardHostdev {
		if f.Managed {
			a.put("managed", "yes")
		} else {
			a.put("managed", "no")
		}
	}
	p.element("forward", a, func() {
		if f.DriverName != "" || f.DriverModel != "" {
			p.empty("driver", new(attrs).text("name", f.DriverName).text("model", f.DriverModel))
		}
		if f.Mode == ForwardNAT {
			f.NAT.format(p)
		}
		if f.PF != "" {
			p.empty("pf", new(attrs).put("dev", f.PF))
		}
		if f.PF == "" || flags&Inactive == 0 {
			f.formatPool(p, flags)
		}
	})
}

func (t *NAT) format(p *printer) {
	ports := t.PortStart > 0 || t.PortEnd > 0
	if t.IPv6 == Unset && !t.AddressStart.IsValid() && !ports {
		return
	}
	p.element("nat", new(attrs).state("ipv6", t.IPv6), func() {
		if t.AddressStart.IsValid() {
			p.empty("address", new(attrs).addr("start", t.AddressStart).addr("end", t.AddressEnd))
		}
		if ports {
			p.empty("port", new(attrs).put("start", decimal(t.PortStart)).put("end", decimal(t.PortEnd)))
		}
	})
}
