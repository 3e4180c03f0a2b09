package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Claims returns what the extensions take for the network. They must not be
// changed.
func (r *Resolution) Claims() ([]firewall.Claim, error) {
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

// FreshClaims returns what a resolution takes for its network, and what of it an earlier
// one did not: only that is held against what others have. What is no longer
// accepted had taken nothing.
func FreshClaims(before, after *Resolution) (mine, fresh []firewall.Claim, err error) {
	if mine, err = after.Claims(); err != nil {
		return nil, nil, err
	}
	had, err := before.Claims()
	if err != nil {
		had = nil
	}
	return mine, missing(mine, had), nil
}

// Withheld is what a network claims and somebody else has.
type Withheld struct {
	Claim firewall.Claim // or the part of one that is taken
	By    string         // "nginx (pid 812)", "network 'b'"
	Why   string         // "nginx (pid 812) listens on tcp port 8080"
}

// Refusal refuses a definition for what is taken. It is an *[Error].
func (t *Withheld) Refusal(network string) error {
	return refuse(KindFailed, "network '%s' cannot have %s: %s", network, t.Claim, t.Why)
}

// WantListeners reports whether who listens on the host's ports matters to some
// claims.
func WantListeners(claims []firewall.Claim) bool {
	return slices.ContainsFunc(claims, func(c firewall.Claim) bool { return c.Proto != "" && !c.All })
}

// Contested returns what of a resolution's claims may be taken: what an earlier one did
// not have, and what was withheld from it.
func Contested(mine, fresh []firewall.Claim, before *Resolution) []firewall.Claim {
	list := slices.Clone(fresh)
	if before == nil {
		return list
	}
	for _, w := range before.Memory.Withheld {
		for _, c := range mine {
			if part, common := overlap(c, w.Claim); common {
				list = append(list, part)
			}
		}
	}
	return list
}

// overlap returns what two claims of the same address and protocol have in common.
func overlap(a, b firewall.Claim) (firewall.Claim, bool) {
	if a.Proto != b.Proto || a.Address != b.Address || a.Start > b.End || b.Start > a.End {
		return a, false
	}
	a.Start, a.End = max(a.Start, b.Start), min(a.End, b.End)
	return a, true
}

// port returns the part of a claim that is one port.
func port(c firewall.Claim, n uint16) firewall.Claim {
	c.Start, c.End = n, n
	return c
}

// ownDnsmasq holds its ports for as long as its network runs.
const ownDnsmasq = "the network's own dnsmasq"

// TakenByOwn returns the claims of ports by which a network's own guests reach its
// DNS and DHCP servers.
func TakenByOwn(def *xml.Network, claims []firewall.Claim) (list []Withheld) {
	served, ips := Serves(def), def.Subnets()
	for _, c := range claims {
		own := slices.ContainsFunc(ips, func(ip xml.IP) bool {
			return ip.Address.IsValid() && (ip.Address == c.Address || c.Address.IsUnspecified() && ip.Address.Is4() == c.Address.Is4())
		})
		for _, s := range served {
			if own && takes(c, s.Proto, s.Port) {
				list = append(list, Withheld{Claim: port(c, s.Port), By: ownDnsmasq, Why: fmt.Sprintf(
					"its own dnsmasq serves its guests on %s port %d; forward from one address of the host only", s.Proto, s.Port)})
			}
		}
	}
	return list
}

// CheckServed refuses what TakenByOwn finds: no start of the network mends it.
func CheckServed(def *xml.Network, claims []firewall.Claim) error {
	for _, t := range TakenByOwn(def, claims) {
		return t.Refusal(def.Name)
	}
	return nil
}

// TakenByListeners returns the claims of ports on which somebody listens. Holder
// names his program, "" if it cannot. Ports that programs get from the kernel for
// their questions (ephemeral ones) come and go; they count only where one is
// forwarded by itself.
func TakenByListeners(claims []firewall.Claim, listeners []step.Listener, holder func(step.Listener) string) (list []Withheld) {
	for _, l := range listeners {
		for _, c := range claims {
			if takes(c, l.Proto, l.Port) && hears(c, l) {
				who := cmp.Or(holder(l), "a program")
				list = append(list, Withheld{Claim: port(c, l.Port), By: who, Why: fmt.Sprintf("%s listens on %s port %d", who, l.Proto, l.Port)})
			}
		}
	}
	return list
}

// TakenByNetwork returns the claims of what another network has.
func TakenByNetwork(claims []firewall.Claim, other string, theirs []firewall.Claim) (list []Withheld) {
	for _, c := range firewall.Clashes(claims, theirs) {
		list = append(list, Withheld{Claim: c.Mine, By: fmt.Sprintf("network '%s'", other), Why: fmt.Sprintf("network '%s' has %s", other, c.Theirs)})
	}
	return list
}

// FirstFresh returns the first of what is taken that an earlier resolution did not go
// without already; nil: none.
func FirstFresh(list []Withheld, before *Resolution) *Withheld {
	known := func(t Withheld) bool {
		return before != nil && slices.ContainsFunc(before.Memory.Withheld, func(o Withheld) bool { _, both := overlap(o.Claim, t.Claim); return both })
	}
	for i := range list {
		if !known(list[i]) {
			return &list[i]
		}
	}
	return nil
}

// Withhold returns the resolution without what is taken.
func (r *Resolution) Withhold(list []Withheld) *Resolution {
	if r == nil || len(list) == 0 && len(r.Memory.Withheld) == 0 {
		return r
	}
	c := *r
	c.Memory.Withheld, c.Where.Withheld, c.leads = nil, nil, new(leads)
	for _, t := range list {
		if !slices.ContainsFunc(c.Where.Withheld, func(o firewall.Claim) bool { _, both := overlap(o, t.Claim); return both }) {
			c.Memory.Withheld = append(c.Memory.Withheld, t)
			c.Where.Withheld = append(c.Where.Withheld, t.Claim)
		}
	}
	return &c
}

// Except returns claims without what is taken of them.
func Except(claims []firewall.Claim, list []Withheld) []firewall.Claim {
	for _, t := range list {
		var left []firewall.Claim
		for _, c := range claims {
			if _, both := overlap(c, t.Claim); !both {
				left = append(left, c)
				continue
			}
			for _, s := range (span{c.Start, c.End}).without(span{t.Claim.Start, t.Claim.End}) {
				part := c
				part.Start, part.End = s.first, s.last
				left = append(left, part)
			}
		}
		claims = left
	}
	return claims
}

// CheckPrefix refuses a definition with an advertised prefix of which another network
// has something, and one with a subnet that lies in another's advertised prefix.
func CheckPrefix(def *xml.Network, others []*xml.Network) error {
	for _, other := range others {
		if def.Advertise == nil && other.Advertise == nil {
			continue
		}
		theirs := other.Prefixes(netip.Addr.Is6)
		for _, p := range def.Prefixes(netip.Addr.Is6) {
			if i := slices.IndexFunc(theirs, p.Overlaps); i >= 0 {
				return refuse(KindUnsupported, "IPv6 prefix %s of network '%s' is in use: network '%s' has %s", p, def.Name, other.Name, theirs[i])
			}
		}
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
func hears(c firewall.Claim, l step.Listener) bool {
	if l.Proto == "udp" && l.Port >= firstEphemeral && c.Start != c.End {
		return false
	}
	return l.Meets(c.Address) && (l.Dev == "" || c.Address.IsUnspecified())
}
