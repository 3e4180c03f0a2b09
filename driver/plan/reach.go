package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// ProxyNeighbour has the host answer for an address on a link: ARP (RFC 826) for
// IPv4, neighbour discovery (RFC 4861 section 7.2.8) for IPv6, solicitations to
// one's own address included.
type ProxyNeighbour struct {
	Link    string
	Address netip.Addr
}

// UnproxyNeighbour undoes ProxyNeighbour; a missing one is no error.
type UnproxyNeighbour struct {
	Link    string
	Address netip.Addr
}

// SnoopGuests listens on a bridge for guests that take an IPv6 address, so that the
// host knows of them before it has something to send to them.
type SnoopGuests struct{ Bridge string }

// UnsnoopGuests undoes SnoopGuests. It need not be done where the process that
// listened has ended.
type UnsnoopGuests struct{ Bridge string }

func (SnoopGuests) op()   {}
func (UnsnoopGuests) op() {}

func (o SnoopGuests) String() string   { return "guests listen on " + word(o.Bridge) }
func (o UnsnoopGuests) String() string { return "guests leave alone " + word(o.Bridge) }

// RouteGuest leads an address to a bridge: a host route in the main table.
type RouteGuest struct {
	Bridge  string
	Address netip.Addr
}

// UnrouteGuest undoes RouteGuest; a missing one is no error.
type UnrouteGuest struct {
	Bridge  string
	Address netip.Addr
}

// RouteLoopback is what earlier versions did, and only read from their records: a
// route "local ::1" of the bridge, behind the loopback device's own.
type RouteLoopback struct{ Bridge string }

// UnrouteLoopback undoes RouteLoopback; a missing one is no error.
type UnrouteLoopback struct{ Bridge string }

func (RouteLoopback) op()   {}
func (UnrouteLoopback) op() {}

func (o RouteLoopback) String() string   { return "route add local ::1 dev " + word(o.Bridge) }
func (o UnrouteLoopback) String() string { return "route delete local ::1 dev " + word(o.Bridge) }

// EndConnections forgets the tracked connections that were translated to a guest
// (conntrack), so that what is no longer forwarded ends at once.
type EndConnections struct {
	Proto  string     // "tcp", "udp" or "sctp"; "": any
	Listen netip.Addr // where they were made to; invalid: any
	Start  uint16     // ports that they were made to; 0 to 0: any
	End    uint16
	Guest  netip.Addr // where they were translated to
	From   netip.Addr `json:",omitzero"` // the first and the last source; invalid: all
	Until  netip.Addr `json:",omitzero"`
}

// EndUntranslated forgets the tracked connections that were made to what is forwarded
// now before it was, so that their next packets are translated: with conntrack a
// translation is decided about once, and UDP peers that never stop sending keep that
// alive for ever. Of protocols with connections only those go that nobody answered.
type EndUntranslated struct{ Taken []Taken }

// Taken is a run of ports that is forwarded; with a Proto "" all that is sent to an
// address.
type Taken struct {
	Proto      string     // "tcp", "udp" or "sctp"
	Listen     netip.Addr // 0.0.0.0 and ::: any of the host's of the family
	Start, End uint16
}

// HearRouters has the host go on hearing router advertisements when it becomes a
// router for a bridge: on links that have routes by them, and, where it was none
// before, on network cards, also on those that come later.
type HearRouters struct{ Bridge string }

// UnhearRouters undoes HearRouters for links that come later.
type UnhearRouters struct{ Bridge string }

// RetractPrefixes tells everybody on a link that prefixes which were advertised there
// are not to be used any more, and, unless Router, that the host is no router.
type RetractPrefixes struct {
	Link     string
	Prefixes []netip.Prefix
	Router   bool // others are advertised on
}

// AcceptElsewhere puts marked accepting rules for a bridge into the tables of
// others that would drop what its guests send or are sent, at the places that
// their owners document. It is idempotent, and repairs what is missing, also of
// other bridges for which it was done.
type AcceptElsewhere struct {
	Bridge  string
	Forward bool            // traffic through the bridge
	Leave   bool            `json:",omitzero"` // guests leave by links of the host, see [Exits]
	Dev     string          `json:",omitzero"` // the only one of these; "": any
	Enter   coexist.Inbound `json:",omitzero"` // what other links have for guests
	All     bool            `json:",omitzero"` // also in tables that have no documented place, or were shut on purpose
	Serve   []Served        // what guests may ask of the host
}

// Served is one service of the host for its guests.
type Served struct {
	Proto string // "tcp" or "udp"
	Port  uint16
}

// UnacceptElsewhere removes the rules of AcceptElsewhere.
type UnacceptElsewhere struct{ Bridge string }

// ReplaceRules makes the firewall rules of a bridge, which are those of From,
// those of To. What it costs depends on what differs. Where the kernel has
// others, it does what AddRules does.
type ReplaceRules struct{ From, To *firewall.Network }

// RestoreRules puts in the rules of several networks in one batch: somebody else
// took them away. Checksums are the bridges of FillChecksums, as far as that is
// done by rules.
type RestoreRules struct {
	Rules     []*firewall.Network
	Checksums []string `json:",omitempty"`
}

func (ReplaceRules) op()      {}
func (RestoreRules) op()      {}
func (ProxyNeighbour) op()    {}
func (UnproxyNeighbour) op()  {}
func (RouteGuest) op()        {}
func (UnrouteGuest) op()      {}
func (EndConnections) op()    {}
func (EndUntranslated) op()   {}
func (RetractPrefixes) op()   {}
func (HearRouters) op()       {}
func (UnhearRouters) op()     {}
func (AcceptElsewhere) op()   {}
func (UnacceptElsewhere) op() {}

func (o ReplaceRules) String() string {
	if o.To == nil {
		return "firewall replace to nothing"
	}
	return "firewall replace " + word(o.To.Bridge)
}

func (o RestoreRules) String() string {
	return fmt.Sprintf("firewall restore %d networks", len(o.Rules))
}

func (o ProxyNeighbour) String() string {
	return "neighbour proxy " + o.Address.String() + " dev " + word(o.Link)
}

func (o UnproxyNeighbour) String() string {
	return "neighbour unproxy " + o.Address.String() + " dev " + word(o.Link)
}

func (o RouteGuest) String() string {
	return "route add " + o.Address.String() + " dev " + word(o.Bridge)
}

func (o UnrouteGuest) String() string {
	return "route delete " + o.Address.String() + " dev " + word(o.Bridge)
}

func (o EndConnections) String() string {
	text := "connections end to " + o.Guest.String()
	if o.Proto != "" {
		text += " " + word(o.Proto)
	}
	if o.Start != 0 {
		text += " made to " + netip.AddrPortFrom(o.Listen, o.Start).String()
	}
	if o.From.IsValid() {
		text += " from " + o.From.String() + "-" + o.Until.String()
	}
	return text
}

func (o EndUntranslated) String() string {
	var list []string
	for _, t := range o.Taken {
		text := t.Listen.String()
		if t.Proto != "" {
			text = word(t.Proto) + " " + netip.AddrPortFrom(t.Listen, t.Start).String()
		}
		list = append(list, text)
	}
	return "connections untranslated end to " + strings.Join(list, ", ")
}

func (o HearRouters) String() string   { return "router advertisements: hear for " + word(o.Bridge) }
func (o UnhearRouters) String() string { return "router advertisements: forget " + word(o.Bridge) }

func (o RetractPrefixes) String() string {
	text := "retract"
	for _, p := range o.Prefixes {
		text += " " + p.String()
	}
	if !o.Router {
		text += " and the router"
	}
	return text + " on " + word(o.Link)
}

func (o AcceptElsewhere) String() string   { return "firewall of others: accept " + word(o.Bridge) }
func (o UnacceptElsewhere) String() string { return "firewall of others: forget " + word(o.Bridge) }
