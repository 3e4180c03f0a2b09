package xml

import "slices"

// Clone returns a deep copy: nothing that is done to one network shows in the
// other.
func (n *Network) Clone() *Network {
	c := *n
	c.Forward.Interfaces = slices.Clone(n.Forward.Interfaces)
	for i, in := range c.Forward.Interfaces {
		c.Forward.Interfaces[i].PCI = clonePtr(in.PCI)
	}
	c.DNS.Forwarders = slices.Clone(n.DNS.Forwarders)
	c.DNS.TXT = slices.Clone(n.DNS.TXT)
	c.DNS.SRV = slices.Clone(n.DNS.SRV)
	c.DNS.Hosts = slices.Clone(n.DNS.Hosts)
	for i, h := range c.DNS.Hosts {
		c.DNS.Hosts[i].Hostnames = slices.Clone(h.Hostnames)
	}
	c.VLAN = n.VLAN.clone()
	c.Bandwidth = n.Bandwidth.clone()
	c.IPs = slices.Clone(n.IPs)
	for i := range c.IPs {
		c.IPs[i].detach()
	}
	c.Routes = slices.Clone(n.Routes)
	c.VirtualPort = n.VirtualPort.clone()
	c.PortGroups = slices.Clone(n.PortGroups)
	for i := range c.PortGroups {
		g := &c.PortGroups[i]
		g.VLAN, g.VirtualPort, g.Bandwidth = g.VLAN.clone(), g.VirtualPort.clone(), g.Bandwidth.clone()
	}
	c.DnsmasqOptions = slices.Clone(n.DnsmasqOptions)
	c.Advertise = clonePtr(n.Advertise)
	if c.Advertise != nil {
		c.Advertise.Deprecated = slices.Clone(n.Advertise.Deprecated)
	}
	return &c
}

// Clone returns a deep copy of the port.
func (p *Port) Clone() *Port {
	c := *p
	c.VirtualPort, c.Bandwidth, c.VLAN = p.VirtualPort.clone(), p.Bandwidth.clone(), p.VLAN.clone()
	c.Plug.PCI = clonePtr(p.Plug.PCI)
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func (v *VLAN) clone() *VLAN {
	if v == nil {
		return nil
	}
	return &VLAN{Trunk: v.Trunk, Tags: slices.Clone(v.Tags)}
}

func (b *Bandwidth) clone() *Bandwidth {
	if b == nil {
		return nil
	}
	return &Bandwidth{Inbound: clonePtr(b.Inbound), Outbound: clonePtr(b.Outbound), ClassID: b.ClassID}
}

func (v *VirtualPort) clone() *VirtualPort {
	if v == nil {
		return nil
	}
	c := *v
	c.ManagerID, c.TypeID, c.TypeIDVersion = clonePtr(v.ManagerID), clonePtr(v.TypeID), clonePtr(v.TypeIDVersion)
	c.InstanceID, c.InterfaceID = clonePtr(v.InstanceID), clonePtr(v.InterfaceID)
	return &c
}

// detach gives an <ip> that was copied by value lists of its own.
func (ip *IP) detach() {
	ip.Ranges = slices.Clone(ip.Ranges)
	for i := range ip.Ranges {
		ip.Ranges[i].Lease = clonePtr(ip.Ranges[i].Lease)
	}
	ip.Hosts = slices.Clone(ip.Hosts)
	for i := range ip.Hosts {
		ip.Hosts[i].Lease = clonePtr(ip.Hosts[i].Lease)
	}
	ip.Bootp = clonePtr(ip.Bootp)
}
