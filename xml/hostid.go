package xml

import "net/netip"

// Embed returns the address of an IPv6 prefix whose low bits are an IPv4
// address: all of it, or what fits into the host part of a prefix longer than
// /96.
func Embed(prefix netip.Prefix, v4 netip.Addr) netip.Addr {
	a := prefix.Masked().Addr().As16()
	low := v4.As4()
	for i := range 32 {
		bit := 96 + i
		if bit >= prefix.Bits() {
			a[bit/8] |= low[i/8] & (0x80 >> (i % 8))
		}
	}
	return netip.AddrFrom16(a)
}

// idOwner is who has an address of the advertised prefix.
type idOwner struct {
	label string
	v4    netip.Addr // the IPv4 address of the same, which nobody else leases
}

// CheckHostIDs refuses static DHCP hosts and ranges that hostid='ipv4' would
// give an address that another one or the bridge has. A prefix that is still to be
// chosen is a /64 with the bridge's address in front, so the check is the same.
func (n *Network) CheckHostIDs() error {
	if n.Advertise == nil || n.Advertise.HostID == "" {
		return nil
	}
	bridge, ok := n.Advertise.Address()
	if !ok {
		bridge = netip.PrefixFrom(ula().Addr().Next(), slaacBits)
	}
	owners := map[netip.Addr]idOwner{
		bridge.Addr():          {label: "the bridge"},
		bridge.Masked().Addr(): {label: "routers of the subnet (RFC 4291 section 2.6.1)"},
	}
	for i := range n.IPs {
		if !n.IPs[i].Address.Is4() {
			continue
		}
		if owner := owners[bridge.Addr()]; len(n.IPs[i].Ranges) > 0 {
			owner.v4 = n.IPs[i].Address
			owners[bridge.Addr()] = owner
		}
		for _, h := range n.IPs[i].Hosts {
			addr, owner := Embed(bridge, h.IP), h.label()
			if other, taken := owners[addr]; taken {
				return unfit("hostid='ipv4' in network '%s' gives %s to %s, but it belongs to %s", n.Name, addr, owner, other.label)
			}
			owners[addr] = idOwner{owner, h.IP}
		}
	}
	return n.checkLeasedIDs(bridge, owners)
}

// label names a static host in messages.
func (h *DHCPHost) label() string {
	text := "host"
	for _, word := range []string{h.Name, h.MAC, h.IP.String()} {
		if word != "" {
			text += " " + word
		}
	}
	return text
}
