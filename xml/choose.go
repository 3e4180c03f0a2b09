package xml

import "net/netip"

// Choice is what was chosen for a definition that left it open.
type Choice struct {
	IPv4       netip.Prefix // a subnet of at most 30 bits for <ip type='auto'>
	IPv6       netip.Prefix // for advprefix 'ula' and 'auto'
	Live       Advertised
	Deprecated []netip.Prefix // see Advertise
}

// Open reports what a definition leaves open: the IPv4 subnet, the IPv6 prefix.
func (n *Network) Open() (ipv4, ipv6 bool) {
	for i := range n.IPs {
		ipv4 = ipv4 || n.IPs[i].Auto
	}
	return ipv4, n.Advertise != nil && !n.Advertise.Chosen()
}

// Choose returns the definition with the choice in the places that it leaves
// open; n itself, if there are none. The bridge gets the first address of the
// subnet; DHCP gives guests the others.
func (n *Network) Choose(c Choice) *Network {
	ipv4, ipv6 := n.Open()
	if !ipv4 && !ipv6 {
		return n
	}
	made := n.Clone()
	for i := range made.IPs {
		if ip := &made.IPs[i]; ip.Auto && c.IPv4.IsValid() {
			ip.settle(c.IPv4.Masked())
			break
		}
	}
	if a := made.Advertise; ipv6 && c.IPv6.IsValid() {
		a.From, a.Prefix, a.Live, a.Deprecated = a.Prefix, c.IPv6.Masked().String(), c.Live, c.Deprecated
	}
	return made
}

func (ip *IP) settle(subnet netip.Prefix) {
	ip.Auto = false
	ip.Address = subnet.Addr().Next()
	ip.Prefix = uint32(subnet.Bits())
	ip.Ranges = []Range{{Start: ip.Address.Next(), End: LastOf(subnet).Prev()}}
}
