package topology

import (
	"net/netip"
	"slices"
	"time"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Facts is what a graph is made of.
type Facts struct {
	// Host is what was read of the host and its networks. Where nobody could look at
	// the host, as without root, only its Networks are there, as a daemon has them.
	Host   *doctor.Facts
	Report *doctor.Report // what the doctor found; nil: nobody looked

	Ports map[string][]*xml.Port // by network: the cards of domains that run
	Last  map[string]Change      // by network: what happened to it last

	Pending map[string]time.Time // by network: until when its last change must be confirmed

	Guarded map[string][]firewall.GuardPort // by bridge: its ports that the kernel guards

	Connections []Connection // that the host tracks; nil: not known
}

// running returns the networks that run and have a bridge.
func (f *Facts) running() []*doctor.Network {
	var list []*doctor.Network
	for i := range f.Host.Networks {
		if n := &f.Host.Networks[i]; n.Def != nil && n.Active && n.Def.Bridge.Name != "" {
			list = append(list, n)
		}
	}
	return list
}

// Bridges returns those of the networks that run.
func (f *Facts) Bridges() []string {
	var list []string
	for _, n := range f.running() {
		list = append(list, n.Def.Bridge.Name)
	}
	return list
}

// network returns the running one that an address is in; nil: none.
func (f *Facts) network(a netip.Addr) *doctor.Network {
	for _, n := range f.running() {
		if slices.ContainsFunc(f.prefixes(n), func(p netip.Prefix) bool { return p.Contains(a) }) {
			return n
		}
	}
	return nil
}

// prefixes are the subnets of a network, or of the bridge that somebody else made.
func (f *Facts) prefixes(n *doctor.Network) []netip.Prefix {
	if n.Def.OwnsBridge() {
		return n.Def.Prefixes(nil)
	}
	var list []netip.Prefix
	for _, p := range f.Host.Links[n.Def.Bridge.Name].Addresses {
		if !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Masked())
		}
	}
	return list
}

// guestName is the name of a guest by its lease; "": it has none.
func guestName(n *doctor.Network, a netip.Addr) string {
	for _, l := range n.Leases {
		if l.Address == a.String() && l.Hostname != "" {
			return nameOf(l.Hostname)
		}
	}
	return ""
}

// resolutions is what forwards and public addresses come to, as a daemon or the hook
// says; nil: nobody does.
func resolutions(n *doctor.Network) *doctor.Resolutions {
	if n.Resolutions == nil && n.Added != nil {
		return &doctor.Resolutions{Forwards: n.Added.Forwards, Publics: n.Added.Publics}
	}
	return n.Resolutions
}

// Change is one thing that happened to a network.
type Change struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // as events --json names it
	Text  string    `json:"text"`
}

// Connection is one that the host tracks (conntrack).
type Connection struct {
	ID      uint32
	Proto   uint8 // IANA's number
	Replied bool

	// From opened it to To. Who answers is By, the guest where To is forwarded; it
	// sees As, an address of the host's where From is translated.
	From, To, By, As netip.AddrPort

	Sent, Back Count
}

// Count is what passed in one direction.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}
