package xml

import "slices"

// Limits of the traffic control that libvirt uses, in the units of Rate.
const (
	maxRate  = 1 << 54
	maxBurst = 4194303
)

// Validate makes the checks that belong to defining or creating a network and
// need to know nothing of the host: libvirt's networkValidate. Definitions
// that are loaded from disk and results of updates are not held to them.
//
// The caller's part is what needs other networks or the host: bridge names in
// use, and PCI addresses that are no virtual functions.
func (n *Network) Validate() error {
	for _, check := range []func() error{
		n.validateElements, n.validateBandwidth, n.validatePool, n.validateDHCP,
		n.validateGroups, n.validateCreate, n.validateAuto, n.validateAdvertise, n.CheckHostIDs, n.validateSize,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func unfit(format string, args ...any) error {
	return (*node)(nil).unsupported(format, args...)
}

// validateElements refuses what only a network with a bridge of our own has.
func (n *Network) validateElements() error {
	if n.OwnsBridge() {
		return nil
	}
	for _, e := range []struct {
		name  string
		given bool
	}{
		{"mac", !n.MAC.IsZero()}, {"ip", len(n.IPs) > 0}, {"dns", n.DNS.hasRecords()},
		{"domain", n.Domain.Name != ""}, {"ipv6", n.Advertise != nil},
	} {
		if e.given {
			return unfit("Unsupported <%s> element in network %s with forward mode='%s'", e.name, n.Name, n.Forward.Mode)
		}
	}
	return nil
}

// shapesBridge reports whether there is a bridge whose traffic can be limited.
func (n *Network) shapesBridge() bool {
	return n.Forward.Mode.Routed() || n.Forward.Mode == ForwardBridge && n.Bridge.Name != ""
}

func (n *Network) validateBandwidth() error {
	b := n.Bandwidth
	if b == nil {
		return nil
	}
	if !n.shapesBridge() {
		return unfit("Unsupported network-wide <bandwidth> element in network %s with forward mode='%s'", n.Name, n.Forward.Mode)
	}
	for _, r := range []*Rate{b.Inbound, b.Outbound} {
		if r == nil {
			continue
		}
		for _, f := range []struct {
			name       string
			value, max uint64
		}{{"average", r.Average, maxRate}, {"peak", r.Peak, maxRate}, {"burst", r.Burst, maxBurst}} {
			if f.value > f.max {
				return (*node)(nil).fail(KindOverflow, OriginNetwork,
					"value '%d' is too big for '%s' parameter, maximum is '%d'", f.value, f.name, f.max)
			}
		}
	}
	return nil
}

func (n *Network) validatePool() error {
	hostdev := n.Forward.Mode == ForwardHostdev
	for _, in := range n.Forward.Interfaces {
		if hostdev && in.PCI == nil {
			return unfit("hostdev network '%s' lists '%s' in the device pool, but hostdev networks require all devices to be listed by PCI address, not network device name", n.Name, in.Dev)
		}
		if !hostdev && in.PCI != nil {
			return unfit("network '%s' has forward mode '%s' but lists a device by PCI address in the device pool. This is only supported for networks with forward mode 'hostdev'", n.Name, n.Forward.Mode)
		}
	}
	return nil
}

func (n *Network) validateDHCP() error {
	for _, six := range []bool{false, true} {
		count := 0
		for i := range n.IPs {
			if n.IPs[i].HasDHCP() && n.IPs[i].Is6() == six {
				count++
			}
		}
		if count > 1 {
			return unfit("Multiple %s dhcp sections found -- dhcp is supported only for a single %s address on each network",
				familyName(six), familyName(six))
		}
	}
	return nil
}

func (n *Network) validateGroups() error {
	var standard string // the default group
	names := make(map[string]bool)
	for _, g := range n.PortGroups {
		if g.Default && standard != "" {
			return unfit("network '%s' has multiple default <portgroup> elements (%s and %s), but only one default is allowed", n.Name, standard, g.Name)
		}
		if g.Default {
			standard = g.Name
		}
		if names[g.Name] {
			return unfit("multiple <portgroup> elements with the same name (%s) in network '%s'", g.Name, n.Name)
		}
		names[g.Name] = true
		if g.Bandwidth != nil && !n.shapesBridge() {
			return unfit("Unsupported <bandwidth> element in network '%s' in portgroup '%s' with forward mode='%s'", n.Name, g.Name, n.Forward.Mode)
		}
	}
	if !n.mayTag(standard != "") {
		return unfit("<vlan> element specified for network %s, whose type doesn't support vlan configuration", n.Name)
	}
	return nil
}

// mayTag reports whether every <vlan> that a port can get is one that the network's mode
// has a place for: its own counts for each group, and by itself where no group is the
// default.
func (n *Network) mayTag(hasDefault bool) bool {
	mode, own := n.Forward.Mode, n.VLAN != nil
	openvswitch := func(v *VirtualPort) bool { return mode == ForwardBridge && v.Type == vportOpenvswitch }
	plain := mode == ForwardHostdev || mode == ForwardPassthrough || mode == ForwardBridge && n.VirtualPort == nil ||
		n.VirtualPort != nil && openvswitch(n.VirtualPort)
	for _, g := range n.PortGroups {
		tags, fits := own || g.VLAN != nil, plain
		if g.VirtualPort != nil {
			fits = openvswitch(g.VirtualPort)
		}
		if tags && !fits {
			return false
		}
	}
	return plain || !own || hasDefault
}

// validateCreate refuses a virtual port where virbr makes a Linux bridge.
func (n *Network) validateCreate() error {
	if n.Bridge.Create && n.VirtualPort != nil {
		return unfit("Unsupported <virtualport> element in network %s with bridge create='yes'", n.Name)
	}
	return nil
}

// validateAuto refuses a second <ip> that wants an address chosen.
func (n *Network) validateAuto() error {
	count := 0
	for i := range n.IPs {
		if n.IPs[i].Auto {
			count++
		}
	}
	if count > 1 {
		return unfit("Multiple <ip type='auto'> elements in network %s, only one is supported", n.Name)
	}
	return nil
}

func (n *Network) validateAdvertise() error {
	a := n.Advertise
	if a == nil {
		return nil
	}
	if a.NAT == "yes" && n.Forward.Mode != ForwardNAT {
		return unfit("nat='yes' in <ipv6> not supported in network %s with forward mode='%s'", n.Name, n.Forward.Mode)
	}
	if a.Inbound == "reject" && (n.Forward.Mode == ForwardOpen || n.Bridge.Create) {
		return unfit("inbound='reject' in <ipv6> not supported in network %s with forward mode='%s', which has no firewall rules", n.Name, n.Forward.Mode)
	}
	addr, ok := a.Address()
	if !ok {
		return nil
	}
	clash := slices.IndexFunc(n.IPs, func(ip IP) bool {
		subnet, ok := ip.Subnet()
		return ok && subnet.Overlaps(addr)
	})
	if clash >= 0 {
		return unfit("advprefix '%s' in network '%s' overlaps with <ip address='%s'>", a.Prefix, n.Name, formatAddr(n.IPs[clash].Address))
	}
	return nil
}

// maxDefinition bounds the canonical form without metadata, in bytes. It can be
// longer than the document, and must be readable from a file, where metadata may
// have grown to maxMetadata.
const maxDefinition = maxDocument * 3 / 8

func (n *Network) validateSize() error {
	bare := *n
	bare.Metadata = nil
	if len(bare.FormatIndent(1, 0)) > maxDefinition {
		return (*node)(nil).fail(KindInvalidArg, OriginNetwork, "definition of network '%s' is larger than %d bytes", n.Name, maxDefinition)
	}
	return nil
}
