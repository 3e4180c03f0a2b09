package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Claims returns what the extensions take for the network. They must not be
// changed.
func (r *Reach) Claims() ([]firewall.Claim, error) {
	if r == nil || r.def == nil || len(r.Ext.Forwards)+len(r.Ext.Publics) == 0 {
		return nil, nil
	}
	t := r.taken
	if t == nil {
		return firewall.Claims(r.def, r.Ext, r.Where)
	}
	t.once.Do(func() { t.claims, t.err = firewall.Claims(r.def, r.Ext, r.Where) })
	return t.claims, t.err
}

// FreshClaims returns what a reach takes for its network, and what of it an earlier
// one did not: only that is held against what others have. What is no longer
// accepted had taken nothing.
func FreshClaims(before, after *Reach) (mine, fresh []firewall.Claim, err error) {
	if mine, err = after.Claims(); err != nil {
		return nil, nil, err
	}
	had, err := before.Claims()
	if err != nil {
		had = nil
	}
	return mine, missing(mine, had), nil
}

// WantListeners reports whether who listens on the host's ports matters to some
// claims.
func WantListeners(claims []firewall.Claim) bool {
	return slices.ContainsFunc(claims, func(c firewall.Claim) bool { return c.Proto != "" && !c.All })
}

// CheckServed refuses claims of the ports by which a network's own guests reach its
// DNS and DHCP servers. An error is an *[Error], as those of the other checks.
func CheckServed(def *xml.Network, claims []firewall.Claim) error {
	served, ips := Serves(def), def.Subnets()
	for _, c := range claims {
		own := slices.ContainsFunc(ips, func(ip xml.IP) bool {
			return ip.Address.IsValid() && (ip.Address == c.Address || c.Address.IsUnspecified() && ip.Address.Is4() == c.Address.Is4())
		})
		for _, s := range served {
			if own && takes(c, s.Proto, s.Port) {
				return refuse(KindFailed, "network '%s' cannot have %s: its own dnsmasq serves its guests on %s port %d; forward from one address of the host only",
					def.Name, c, s.Proto, s.Port)
			}
		}
	}
	return nil
}

// CheckHeard refuses claims of ports on which somebody listens. Holder names his
// program, "" if it cannot. Ports that programs get from the kernel for their
// questions (ephemeral ones) come and go; they count only where one is forwarded by
// itself.
func CheckHeard(network string, claims []firewall.Claim, list []Listener, holder func(Listener) string) error {
	for _, l := range list {
		for _, c := range claims {
			if takes(c, l.Proto, l.Port) && hears(c, l) {
				who := cmp.Or(holder(l), "a program")
				return refuse(KindFailed, "network '%s' cannot have %s: %s listens on %s port %d", network, c, who, l.Proto, l.Port)
			}
		}
	}
	return nil
}

// CheckClaimed refuses claims of what another network has.
func CheckClaimed(network string, claims []firewall.Claim, other string, theirs []firewall.Claim) error {
	if mine, taken, clash := firewall.Clash(claims, theirs); clash {
		return refuse(KindFailed, "network '%s' cannot have %s: network '%s' has %s", network, mine, other, taken)
	}
	return nil
}

// missing returns the claims of a list that are not in another, wherever
// their forwards stand.
func missing(list, other []firewall.Claim) []firewall.Claim {
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
