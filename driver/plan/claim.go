package plan

import (
	"net/netip"
	"slices"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// MissingClaims returns the claims of a list that are not in another, wherever
// their forwards stand.
func MissingClaims(list, other []firewall.Claim) []firewall.Claim {
	type key struct {
		proto      string
		address    netip.Addr
		start, end uint16
		all        bool
	}
	keyOf := func(c firewall.Claim) key { return key{c.Proto, c.Address, c.Start, c.End, c.All} }
	have := make(map[key]bool, len(other))
	for _, c := range other {
		have[keyOf(c)] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(c firewall.Claim) bool { return have[keyOf(c)] })
}

// ServedClaim returns the first claim of a port by which the network's own guests
// reach its DNS and DHCP servers, and which one that is.
func ServedClaim(def *xml.Network, claims []firewall.Claim) (c firewall.Claim, s Served, found bool) {
	served, ips := Serves(def), def.Subnets()
	for _, c := range claims {
		own := slices.ContainsFunc(ips, func(ip xml.IP) bool {
			return ip.Address == c.Address || c.Address.IsUnspecified() && ip.Address.Is4() == c.Address.Is4()
		})
		for _, s := range served {
			if own && takes(c, s.Proto, s.Port) {
				return c, s, true
			}
		}
	}
	return firewall.Claim{}, Served{}, false
}

// HeardClaim returns the first claim of a port on which somebody listens. Ports
// that programs get from the kernel for their questions (ephemeral ones) come and
// go; they count only where one is forwarded by itself.
func HeardClaim(claims []firewall.Claim, l Listener) (c firewall.Claim, found bool) {
	i := slices.IndexFunc(claims, func(c firewall.Claim) bool { return takes(c, l.Proto, l.Port) && hears(c, l) })
	if i < 0 {
		return firewall.Claim{}, false
	}
	return claims[i], true
}

// takes reports whether a claim is on a port.
func takes(c firewall.Claim, proto string, port uint16) bool {
	return c.Proto == proto && !c.All && c.Start <= port && port <= c.End
}

// firstEphemeral is the first port that Linux gives by itself
// (net.ipv4.ip_local_port_range).
const firstEphemeral = 32768

// hears reports whether a listener hears at some address of a claim.
func hears(c firewall.Claim, l Listener) bool {
	if l.Proto == "udp" && l.Port >= firstEphemeral && c.Start != c.End {
		return false
	}
	at := l.Address.Unmap()
	if at.Is4() != c.Address.Is4() && (!l.Both || !c.Address.Is4() || at != netip.IPv6Unspecified()) {
		return false
	}
	if l.Dev != "" {
		return c.Address.IsUnspecified()
	}
	return c.Address.IsUnspecified() || at.IsUnspecified() || at == c.Address
}
