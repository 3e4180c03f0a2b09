package xml

import (
	"fmt"
	"strconv"
)

// String returns the address as sysfs writes it: 0000:06:00.0.
func (a PCIAddress) String() string {
	return fmt.Sprintf("%04x:%02x:%02x.%x", a.Domain, a.Bus, a.Slot, a.Function)
}

// parsePool reads the devices of <forward>. As in libvirt interfaces win over
// addresses and both win over a physical function.
func (n *Network) parsePool(el *node) error {
	ifs, addrs, pfs := el.all("interface"), el.all("address"), el.all("pf")
	dev := el.path("dev")
	switch {
	case dev != "" && len(addrs)+len(pfs) > 0:
		return el.bad("the <forward> 'dev' attribute cannot be used when <address> or <pf> sub-elements are present in network %s", n.Name)
	case dev != "" || len(ifs) > 0:
		return n.parseInterfaces(el, dev, ifs)
	case len(addrs) > 0:
		return n.parseAddresses(addrs)
	case len(pfs) > 1:
		return pfs[1].bad("Only one <pf> element is allowed in <forward> of network %s", n.Name)
	case len(pfs) == 0:
		return nil
	}
	pf, ok := pfs[0].attr("dev")
	if !ok {
		return pfs[0].bad("Missing required dev attribute in <pf> element of network '%s'", n.Name)
	}
	n.Forward.PF = pf
	return pfs[0].accept(checkDevice(pfs[0], "device name", pf))
}

func (n *Network) parseInterfaces(el *node, dev string, ifs []*node) error {
	f := &n.Forward
	if dev != "" {
		if err := el.accept(checkDevice(el, "device name", dev)); err != nil {
			return err
		}
		f.Interfaces = append(f.Interfaces, ForwardInterface{Dev: dev})
	}
	seen := make(map[string]bool)
	for i, in := range ifs {
		name, ok := in.attr("dev")
		switch {
		case !ok:
			return in.bad("Missing required dev attribute in <forward> <interface> element of network %s", n.Name)
		case i == 0 && dev != "" && name != dev:
			return in.bad("<forward dev='%s'> must match first <interface dev='%s'/> in network %s", dev, name, n.Name)
		case seen[name]:
			return in.bad("interface '%s' can only be listed once in network %s", name, n.Name)
		}
		seen[name] = true
		if i == 0 && dev != "" {
			continue
		}
		if err := in.accept(checkDevice(in, "device name", name)); err != nil {
			return err
		}
		f.Interfaces = append(f.Interfaces, ForwardInterface{Dev: name})
	}
	return nil
}

func (n *Network) parseAddresses(els []*node) error {
	seen := make(map[PCIAddress]bool)
	for _, el := range els {
		switch kind, ok := el.attr("type"); {
		case !ok:
			return el.bad("missing address type in network %s", n.Name)
		case kind == "none" || kind == "netdev":
			return el.bad("unsupported address type '%s' in network %s", kind, n.Name)
		case kind != "pci":
			return el.unsupported("unknown address type '%s' in network %s", kind, n.Name)
		}
		a, err := parsePCI(el)
		if err != nil {
			return err
		}
		if seen[*a] {
			return el.bad("PCI device '%s' can only be listed once in network %s", a, n.Name)
		}
		seen[*a] = true
		n.Forward.Interfaces = append(n.Forward.Interfaces, ForwardInterface{PCI: a})
	}
	return nil
}

// parsePCI reads domain, bus, slot and function; missing ones are zero.
func parsePCI(el *node) (*PCIAddress, error) {
	var v [4]uint64
	for i, name := range []string{"domain", "bus", "slot", "function"} {
		var err error
		if v[i], _, err = el.uintAttr(name, 0, 32); err != nil {
			return nil, err
		}
	}
	for i, limit := range []struct {
		max  uint64
		text string
	}{
		{1<<32 - 1, ""}, {0xff, "bus='0x%x', must be <= 0xFF"}, {0x1f, "slot='0x%x', must be <= 0x1F"},
		{7, "function=0x%x, must be <= 7"},
	} {
		if v[i] > limit.max {
			return nil, el.fail(KindXML, OriginHelper, "Invalid PCI address "+limit.text, v[i])
		}
	}
	return &PCIAddress{Domain: uint32(v[0]), Bus: uint8(v[1]), Slot: uint8(v[2]), Function: uint8(v[3])}, nil
}

func (f *Forward) formatPool(p *printer, flags FormatFlags) {
	for _, in := range f.Interfaces {
		switch {
		case in.PCI != nil:
			p.empty("address", in.PCI.attrs(new(attrs).put("type", "pci")))
		case flags&Inactive == 0 && in.Connections > 0:
			p.empty("interface", new(attrs).put("dev", in.Dev).put("connections", strconv.Itoa(in.Connections)))
		default:
			p.empty("interface", new(attrs).put("dev", in.Dev))
		}
	}
}

func (a *PCIAddress) attrs(list *attrs) *attrs {
	return list.put("domain", fmt.Sprintf("0x%04x", a.Domain)).put("bus", fmt.Sprintf("0x%02x", a.Bus)).
		put("slot", fmt.Sprintf("0x%02x", a.Slot)).put("function", fmt.Sprintf("0x%d", a.Function))
}
