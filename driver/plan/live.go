package plan

import (
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// The source ports of NAT where <port> is not given. Source: libvirt's
// networkAddMasqueradingFirewallRules.
const (
	natPortStart = 1024
	natPortEnd   = 65535
)

// Live returns the definition that a network has while it runs: a copy in which
// NAT's default port range and the device pool of an SR-IOV physical function
// are filled in. libvirt writes both into the live definition when the network
// starts, so they show in live XML, in the status file and in hooks.
func Live(def *xml.Network, facts step.Facts) (*xml.Network, error) {
	live := *def
	if nat := &live.Forward.NAT; translates(def) && nat.PortStart == 0 && nat.PortEnd == 0 {
		nat.PortStart, nat.PortEnd = natPortStart, natPortEnd
	}
	pool, err := pool(def, facts)
	if err != nil {
		return nil, err
	}
	live.Forward.Interfaces = pool
	return &live, nil
}

// translates reports whether a network has NAT rules: mode nat, and an address
// of a family that is translated.
func translates(def *xml.Network) bool {
	return def.Forward.Mode == xml.ForwardNAT && slices.ContainsFunc(def.Subnets(), func(ip xml.IP) bool {
		subnet, ok := ip.Subnet()
		return ip.Address.Is4() || ok && ip.Is6() && def.Translates(subnet)
	})
}

// pool returns a network's forward devices. In the modes that give guests a
// device of their own, a physical function stands for its virtual functions:
// their netdevs, or their PCI addresses in mode hostdev. Source: libvirt's
// networkCreateInterfacePool.
func pool(def *xml.Network, facts step.Facts) ([]xml.ForwardInterface, error) {
	f := &def.Forward
	if f.PF == "" || len(f.Interfaces) > 0 || f.Mode.Routed() || f.Mode == xml.ForwardBridge && def.Bridge.Name != "" {
		return slices.Clone(f.Interfaces), nil
	}
	var list []xml.ForwardInterface
	for _, vf := range facts.VFs[f.PF] {
		switch {
		case f.Mode == xml.ForwardHostdev:
			list = append(list, xml.ForwardInterface{PCI: &vf.PCI})
		case vf.Netdev != "":
			list = append(list, xml.ForwardInterface{Dev: vf.Netdev})
		}
	}
	if len(list) == 0 {
		return nil, refuse(KindInternal, "No usable Vf's present on SRIOV PF %s", f.PF)
	}
	return list, nil
}
