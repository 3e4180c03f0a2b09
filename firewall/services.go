package firewall

import (
	"net/netip"

	"github.com/virbr/virbr/xml"
)

// HostMap is by bridge: what its guests send to the host itself.
const HostMap = "host"

// Service is one that the host has for its guests.
type Service struct {
	Proto string // "tcp" or "udp"
	Port  uint16
}

// The ports of servers: DHCP (RFC 2131, RFC 9915), DNS and TFTP.
const (
	portDNS   = 53
	PortDHCP4 = 67
	portTFTP  = 69
	PortDHCP6 = 547
)

// Services returns what a network's guests ask of the host: DNS, DHCP, TFTP and
// DHCPv6, as far as the definition has them. Source: libvirt's
// networkAddGeneralFirewallRules.
func Services(def *xml.Network) []Service {
	var list []Service
	if def.DNS.Enable != xml.No {
		list = append(list, Service{"udp", portDNS}, Service{"tcp", portDNS})
	}
	dhcp4, dhcp6, tftp := false, false, false
	for i := range def.IPs {
		ip := &def.IPs[i]
		dhcp4 = dhcp4 || ip.HasDHCP() && !ip.Is6()
		dhcp6 = dhcp6 || ip.HasDHCP() && ip.Is6()
		tftp = tftp || ip.TFTPRoot != ""
	}
	if dhcp4 {
		list = append(list, Service{"udp", PortDHCP4})
	}
	if dhcp6 || def.Advertise != nil && def.Advertise.Mode() != "no" {
		list = append(list, Service{"udp", PortDHCP6})
	}
	if tftp {
		list = append(list, Service{"udp", portTFTP})
	}
	return list
}

// host is for networks whose guests reach of the host what it serves them only.
func host() Part {
	return Part{Marker: HostMap, Ruleset: Ruleset{
		Maps: []Map{{Name: HostMap, Key: KeyName, Value: ValueVerdict}},
		Chains: []Chain{{
			Name: "host", Hook: &Hook{Type: "filter", Name: "input", Priority: 0},
			Rules: []Rule{lookup(InName, HostMap)},
		}},
	}}
}

// neighbours are what IPv6 needs of everybody on a link: listeners to multicast
// (RFC 2710, RFC 3810), router solicitations, and neighbour discovery (RFC 4861).
func neighbours() []Match {
	return []Match{
		{Field: ICMP6Type, Lo: 130, Hi: 133}, {Field: ICMP6Type, Lo: 135, Hi: 136}, {Field: ICMP6Type, Lo: 143, Hi: 143},
	}
}

// pings ask whether somebody is there (RFC 792, RFC 4443).
func pings() []Match {
	return []Match{{Field: ICMP4Type, Lo: 8, Hi: 8}, {Field: ICMP6Type, Lo: 128, Hi: 128}}
}

// services limits what guests reach of the host, where the extensions ask for it: to
// what the network serves, at the bridge's addresses; to pings, and what a link of
// IPv6 needs; and to what belongs to connections that the host itself opened. Names
// and files are at the bridge's own addresses: other servers of the host may have
// the same ports elsewhere.
func (c *compiler) services(n *Network, def *xml.Network, ext *xml.Extensions) {
	if ext == nil || !ext.Firewall.Services {
		return
	}
	rules := []Rule{allow(Match{Field: State, Word: Established})}
	for _, m := range append(pings(), neighbours()...) {
		rules = append(rules, allow(m))
	}
	for _, s := range Services(def) {
		to := []Match{{Field: Protocol, Word: s.Proto}, {Field: DestPort, Port: s.Port}}
		if s.Port == PortDHCP4 || s.Port == PortDHCP6 { // to everybody on the link, too
			rules = append(rules, allow(to...))
			continue
		}
		for _, at := range c.reachable() {
			f := Dest4
			if at.Addr().Is6() {
				f = Dest6
			}
			rules = append(rules, allow(append([]Match{{Field: f, Prefix: at}}, to...)...))
		}
	}
	c.filter(n, HostMap, append(rules, reject()))
}

// reachable returns the addresses at which the bridge serves: its own, and with IPv6
// those of the link, which router advertisements name.
func (c *compiler) reachable() []netip.Prefix {
	var list []netip.Prefix
	six := false
	for _, a := range c.own {
		if plainAddr(a) {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
			six = six || a.Is6()
		}
	}
	if six {
		list = append(list, link6())
	}
	return list
}
