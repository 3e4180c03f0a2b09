package plan

import (
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// clashes refuses a network whose IPv4 subnet or static route the host already
// has a route for, to the bit: larger and smaller ones are no clash. Routes of
// the network's own bridge do not count. Source: libvirt's
// networkCheckRouteCollision.
func (c *compiler) clashes() error {
	for _, route := range c.facts.Routes {
		if !route.Dest.Addr().Is4() || route.Link == c.bridge {
			continue
		}
		for i := range c.def.IPs {
			ip := &c.def.IPs[i]
			if !ip.Address.Is4() {
				continue
			}
			subnet, err := c.subnet(ip)
			if err != nil {
				return err
			}
			if subnet == route.Dest.Masked() {
				return refuse(KindInternal, "Network is already in use by interface %s", route.Link)
			}
		}
		for i := range c.def.Routes {
			dest, err := destination(&c.def.Routes[i])
			if err != nil {
				return err
			}
			if dest == route.Dest.Masked() {
				return refuse(KindInternal, "Route address '%s' conflicts with IP address for '%s'", dest.Addr(), route.Link)
			}
		}
	}
	return nil
}

// advertised refuses to enable IPv6 forwarding where the host itself lives on
// routes from router advertisements: the kernel drops these when it becomes a
// router, unless accept_ra is 2. Source: libvirt's virNetDevIPCheckIPv6Forwarding
// and Documentation/networking/ip-sysctl.rst.
func (c *compiler) advertised() error {
	for _, route := range c.facts.Routes {
		if !route.FromRA || route.Link == c.bridge {
			continue
		}
		own := c.facts.AcceptRA[route.Link]
		if own == 1 || own == 0 && c.facts.AcceptRA["all"] == 1 {
			if c.def.Advertise != nil {
				continue // see hear
			}
			return refuse(KindInternal, "Check the host setup: interface %s has kernel autoconfigured IPv6 routes and enabling forwarding without accept_ra set to 2 will cause the kernel to flush them, breaking networking.", route.Link)
		}
	}
	return nil
}

// subnets refuses addresses that have no subnet, before anything is made of
// them.
func (c *compiler) subnets() error {
	for i := range c.ips {
		if ip := &c.ips[i]; ip.Address.IsValid() {
			if _, err := c.subnet(ip); err != nil {
				return err
			}
		}
	}
	return nil
}

// subnet returns the network that an <ip> stands for.
func (c *compiler) subnet(ip *xml.IP) (netip.Prefix, error) {
	subnet, ok := ip.Subnet()
	if !ok {
		return netip.Prefix{}, refuse(KindInternal, "bridge '%s' has an invalid netmask or IP address", c.bridge)
	}
	return subnet, nil
}

// destination returns what a <route> leads to. Without prefix and netmask that
// is everything of its family.
func destination(r *xml.Route) (netip.Prefix, error) {
	n := int(r.Prefix)
	if r.Netmask.IsValid() {
		n = bits(r.Netmask)
	}
	dest, err := r.Address.Prefix(n)
	if err != nil || n < 0 {
		return netip.Prefix{}, refuse(KindInternal, "Invalid prefix %d specified in route definition", n)
	}
	return dest, nil
}

// bits returns the length of a netmask's prefix; -1: its ones are not in front.
func bits(mask netip.Addr) int {
	n := 0
	for n < mask.BitLen() && bit(mask, n) {
		n++
	}
	if p, err := mask.Prefix(n); err != nil || p.Addr() != mask {
		return -1
	}
	return n
}

func bit(a netip.Addr, n int) bool { return a.AsSlice()[n/8]>>(7-n%8)&1 == 1 }
