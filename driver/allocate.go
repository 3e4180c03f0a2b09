package driver

import (
	"fmt"
	"slices"

	"github.com/virbr/virbr/xml"
)

// allocate completes a port that wants a place in a running network: with what
// the network and its port groups say about ports, and with a plug. used counts
// the ports of each device. Source: libvirt's networkAllocatePort.
func allocate(live *xml.Network, used map[string]int, p *xml.Port) error {
	if p.Bandwidth != nil {
		p.Bandwidth.ClassID = 0 // it is ours to say
	}
	group := portGroup(live, p.Group)
	inherit(live, group, p)
	merged, err := mergeVirtualPorts(p.VirtualPort, live.VirtualPort, group.VirtualPort)
	if err != nil {
		return err
	}
	p.VirtualPort = merged
	*p = *p.Clone() // nothing of it is the network's from here on
	switch live.Forward.Mode {
	case xml.ForwardNone, xml.ForwardNAT, xml.ForwardRoute, xml.ForwardOpen:
		return plugNetwork(live, p)
	case xml.ForwardBridge:
		if live.Bridge.Name != "" {
			return plugBridge(live, p)
		}
		return plugDirect(live, used, p)
	case xml.ForwardPrivate, xml.ForwardVEPA, xml.ForwardPassthrough:
		return plugDirect(live, used, p)
	case xml.ForwardHostdev:
		return plugHostdev(live, used, p)
	}
	return &Error{Kind: KindInternal, Msg: fmt.Sprintf("unknown forward mode %d", live.Forward.Mode)}
}

// portGroup returns the port group that a port asks for, or the default one. An
// unknown name is one without settings, as is none at all.
func portGroup(live *xml.Network, name string) *xml.PortGroup {
	i := slices.IndexFunc(live.PortGroups, func(g xml.PortGroup) bool {
		if name == "" {
			return g.Default
		}
		return g.Name == name
	})
	if i < 0 {
		return &xml.PortGroup{}
	}
	return &live.PortGroups[i]
}

// inherit sets what the port leaves open.
func inherit(live *xml.Network, group *xml.PortGroup, p *xml.Port) {
	if p.Bandwidth == nil {
		p.Bandwidth = group.Bandwidth
	}
	if p.VLAN == nil {
		p.VLAN = group.VLAN
	}
	if p.VLAN == nil {
		p.VLAN = live.VLAN
	}
	for _, trust := range []xml.Tristate{group.TrustGuestRxFilters, live.TrustGuestRxFilters} {
		if p.TrustGuestRxFilters == xml.Unset {
			p.TrustGuestRxFilters = trust
		}
	}
	if p.Isolated == xml.Unset {
		p.Isolated = live.Isolated
	}
}

func plugNetwork(live *xml.Network, p *xml.Port) error {
	p.Plug = xml.Plug{Type: xml.PlugNetwork, Bridge: live.Bridge.Name, MACTableManager: live.Bridge.MACTableManager}
	return allowVirtualPort(live, p, "uses IP forwarding")
}

func plugBridge(live *xml.Network, p *xml.Port) error {
	p.Plug = xml.Plug{Type: xml.PlugBridge, Bridge: live.Bridge.Name, MACTableManager: live.Bridge.MACTableManager}
	return allowVirtualPort(live, p, "uses a bridge device", typeOpenvswitch)
}

func plugDirect(live *xml.Network, used map[string]int, p *xml.Port) error {
	if err := allowVirtualPort(live, p, "uses a macvtap device", type8021Qbg, type8021Qbh); err != nil {
		return err
	}
	if len(live.Forward.Interfaces) == 0 {
		return noPool(live)
	}
	dev, ok := idlest(live, used)
	if !ok || exclusive(live, p) && used[entryKey(dev)] > 0 {
		return noneFree(live)
	}
	p.Plug = xml.Plug{Type: xml.PlugDirect, Dev: dev.Dev, Mode: live.Forward.Mode.String()}
	return nil
}

func plugHostdev(live *xml.Network, used map[string]int, p *xml.Port) error {
	dev, ok := idlest(live, used)
	if !ok || used[entryKey(dev)] > 0 {
		return noneFree(live)
	}
	f := &live.Forward
	addr := *dev.PCI
	p.Plug = xml.Plug{Type: xml.PlugHostdevPCI, PCI: &addr, Managed: xml.No, DriverName: f.DriverName, DriverModel: f.DriverModel}
	if f.Managed {
		p.Plug.Managed = xml.Yes
	}
	return allowVirtualPort(live, p, "uses an SR-IOV Virtual Function via PCI passthrough", type8021Qbg, type8021Qbh)
}
