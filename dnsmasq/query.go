package dnsmasq

import (
	"net/netip"
	"strings"

	"github.com/virbr/virbr/xml"
)

// Lease is one lease as virNetworkGetDHCPLeases tells it. Strings that a lease
// does not have are empty.
type Lease struct {
	Interface string
	Expiry    int64 // seconds since the epoch; 0: never
	IPv6      bool
	MAC       string
	IAID      string
	Address   string
	Prefix    uint32
	Hostname  string
	ClientID  string // DHCPv4 client id or DHCPv6 DUID
}

// Query returns the leases of a network that have not ended by now (seconds
// since the epoch), in the order of the file; of one guest only if mac is not
// empty. ok is false if mac is not a MAC address.
//
// As in libvirt's networkGetDHCPLeases the prefix of an IPv4 lease is that of
// the network's first IPv4 subnet, and that of an IPv6 lease is the attribute
// of its first IPv6 subnet as written, 0 if it was not given.
func Query(entries []Entry, def *xml.Network, mac string, now int64) (leases []Lease, ok bool) {
	wanted, ok := xml.ParseMAC(mac)
	if mac != "" && !ok {
		return nil, false
	}
	prefix4, prefix6 := prefixes(def)
	for _, e := range entries {
		if e.Expiry > 0 && e.Expiry < now {
			continue
		}
		if own, ok := parseLeaseMAC(e.MAC); mac != "" && (!ok || own != wanted) {
			continue
		}
		l := Lease{
			Interface: def.Bridge.Name, Expiry: e.Expiry, IPv6: e.Is6(), MAC: e.MAC, IAID: e.IAID,
			Address: e.Address, Prefix: prefix4, Hostname: e.Hostname, ClientID: e.ClientID,
		}
		if l.IPv6 {
			l.Prefix = prefix6
		}
		leases = append(leases, l)
	}
	return leases, true
}

// HardwareAddress returns the guest's MAC address; ok is false if the lease is not
// of an Ethernet interface. A guest that asks for a lease may say any hardware type
// and address (htype and chaddr, RFC 2131), another guest's, too.
func (e *Entry) HardwareAddress() (mac xml.MAC, ok bool) { return xml.ParseMAC(e.MAC) }

// parseLeaseMAC reads a MAC address as dnsmasq writes it: with the hardware
// type in front where that is not Ethernet ("06-00:16:3e:...").
func parseLeaseMAC(text string) (xml.MAC, bool) {
	if _, rest, found := strings.Cut(text, "-"); found {
		text = rest
	}
	return xml.ParseMAC(text)
}

func prefixes(def *xml.Network) (v4, v6 uint32) {
	first4 := firstIP(def, netip.Addr.Is4)
	if first4 != nil {
		if subnet, ok := first4.Subnet(); ok {
			v4 = uint32(subnet.Bits())
		}
	}
	if first6 := firstIP(def, netip.Addr.Is6); first6 != nil {
		v6 = first6.Prefix
	}
	return v4, v6
}

func firstIP(def *xml.Network, family func(netip.Addr) bool) *xml.IP {
	ips := def.Subnets()
	for i := range ips {
		if family(ips[i].Address) {
			return &ips[i]
		}
	}
	return nil
}
