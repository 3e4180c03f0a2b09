package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/firewall"
)

// Protocol is who made a rule or a route (rtm_protocol): 'v', which nobody has in
// iproute2's rt_protos.
const Protocol = 118

// Priorities of rules. A group of them begins at home, ahead of those of VPNs
// (Tailscale's begin at 5210), and moves ahead of rules that come within the range:
// a rule that is added without a priority, as wg-quick's, gets the one right before
// the first. Rules below the range are an administrator's, who comes first.
const (
	FirstPriority = 1000
	LastPriority  = 1999

	home  = 1990
	group = 10
)

// Places in the group.
const (
	atLocal    = iota // guests reach the host itself: only where the host looks for that later
	atGuests          // what is for guests
	atAnswers         // answers by the main table's specific routes
	atLinks           // answers by the link that the connection came in by
	atSpecific        // what guests send, by the main table's specific routes
	atUplinks         // what guests send, by their uplink
)

// Numbers of tables.
const (
	TableGuests = 118000 // guests' subnets
	TableLinks  = 118001 // the first of those by which answers leave, one a link
	maxLinks    = 99

	TableNetworks = 118100 // the first of those by which a network's guests leave
	maxNetworks   = 4000
)

// Tables of the kernel (linux/rtnetlink.h).
const (
	tableDefault = 253
	TableMain    = 254
	TableLocal   = 255
)

// Short is the length of the longest prefix that is a way of saying "everything":
// tunnels cut that in two (0.0.0.0/1 and 128.0.0.0/1) or more (2000::/3).
func Short(v6 bool) int {
	if v6 {
		return 4
	}
	return 1
}

// Rule is one rule of a family, as far as ours have something to say.
type Rule struct {
	Priority uint32
	Table    uint32 // 0: it does something else than to look into a table
	Mark     uint32
	Mask     uint32       // 0: whatever the mark
	In       string       // the link that a packet comes in by; "": any
	To       netip.Prefix // where it goes; invalid: anywhere
	Suppress int          // routes of a prefix as long as this or shorter do not count; -1: all count
	Protocol uint8

	// Other: it has conditions, or does things, that are none of ours.
	Other bool
}

// Route is one route of a family, in a table of ours.
type Route struct {
	Table   uint32
	Dest    netip.Prefix
	Link    string     // "": it refuses (unreachable)
	Gateway netip.Addr // invalid: on the link
	Source  netip.Addr // of what the host itself sends; invalid: the kernel's choice
}

// Default is a route to everywhere in a table that the host looks into.
type Default struct {
	Link    string
	Gateway netip.Addr // invalid: a line with two ends
	Table   uint32
	Metric  uint32
}

// Way is how the guests of a network leave in one family.
type Way struct {
	Link    string // "": none of the uplinks can carry it
	Gateway netip.Addr
	Guard   bool // by nothing else
}

// Network is what a running network has to do with routing, in one family.
type Network struct {
	Addresses []netip.Prefix // of the bridge: the subnets of guests
	Through   []netip.Prefix // where some are guests, for whom the main table has routes
	Way       *Way           // nil: guests leave as the host does
}

// Host is what the host has, in one family.
type Host struct {
	IPv6     bool
	Rules    []Rule             // all
	Routes   []Route            // of our tables
	Defaults []Default          // in the tables that others' rules look into
	Links    map[string]int     // their indexes
	Networks map[string]Network // by bridge
}

// Policy is what there should be of ours.
type Policy struct {
	Rules  []Rule
	Routes []Route

	// Loose are links by which packets come from where the host itself would not
	// send to (rp_filter, RFC 3704): it must take them.
	Loose []string
}

// Wanted returns the rules and routes that there should be. Networks that others
// look after, by the rules that lead to their tables, keep theirs.
func Wanted(h Host) Policy {
	if len(h.Rules) == 0 && !slices.ContainsFunc(sorted(h.Networks), func(b string) bool { return h.Networks[b].Way != nil }) {
		return Policy{} // the kernel has no rules of routing
	}
	w := &wanted{Host: h}
	w.base, w.late = place(h.Rules)
	foreign := w.foreign()
	w.networks()
	if len(w.out.Rules) > 0 || len(w.doors()) > 1 || foreign {
		if w.guests() {
			w.answers()
		}
	}
	slices.SortStableFunc(w.out.Rules, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return w.out
}

type wanted struct {
	Host
	base uint32
	late bool // the host looks for its own addresses behind our rules
	out  Policy
	used map[uint32]bool // tables
}

// place returns the priority that our rules begin at.
func place(rules []Rule) (base uint32, late bool) {
	base, late = home, true
	first := uint32(LastPriority + 1)
	for _, r := range rules {
		if r.Protocol != Protocol && r.Priority >= FirstPriority && r.Priority < first {
			first = r.Priority
		}
	}
	if first < home+group {
		base = max(first/group*group, FirstPriority+group) - group
	}
	for _, r := range rules {
		if r.Protocol != Protocol && r.Table == TableLocal && !r.Other && r.In == "" && !r.To.IsValid() && r.Mask == 0 && r.Priority < base {
			late = false
		}
	}
	return base, late
}

// foreign reports whether the host has rules that are neither the kernel's nor ours.
func (w *wanted) foreign() bool {
	return slices.ContainsFunc(w.Host.Rules, func(r Rule) bool {
		kernel := !r.Other && r.In == "" && !r.To.IsValid() && r.Mask == 0 && r.Suppress < 0 &&
			(r.Table == TableLocal || r.Table == TableMain || r.Table == tableDefault)
		return r.Protocol != Protocol && !kernel
	})
}

// doors returns the links by which everything is reached, in order, and the default
// route by each that comes first.
func (w *wanted) doors() []Default {
	best := map[string]Default{}
	for _, d := range w.Defaults {
		if _, own := w.Host.Networks[d.Link]; own || d.Link == "lo" {
			continue
		}
		if b, known := best[d.Link]; !known || d.Before(b) {
			best[d.Link] = d
		}
	}
	list := make([]Default, 0, len(best))
	for _, d := range best {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Default) int { return cmp.Compare(a.Link, b.Link) })
	return list
}

// Before reports whether a default route by a link counts more than another by it: those
// of the main table, then those of lower metrics.
func (d Default) Before(o Default) bool {
	if main := d.Table == TableMain; main != (o.Table == TableMain) {
		return main
	}
	return cmp.Or(cmp.Compare(d.Metric, o.Metric), cmp.Compare(d.Table, o.Table), d.Gateway.Compare(o.Gateway)) < 0
}

func (w *wanted) rule(at uint32, r Rule) {
	r.Priority, r.Protocol = w.base+at, Protocol
	w.out.Rules = append(w.out.Rules, r)
}

func (w *wanted) everything() netip.Prefix {
	if w.IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// table returns the table that a rule of ours leads to; 0: there is none.
func (w *wanted) table(first, count uint32, is func(Rule) bool) uint32 {
	for _, r := range w.Host.Rules {
		if r.Protocol == Protocol && r.Table >= first && r.Table < first+count && is(r) {
			return r.Table
		}
	}
	return 0
}

// take returns the number of a table: that which the rules of the same had before, or
// a free one; 0: there are too many.
func (w *wanted) take(first, count uint32, is func(Rule) bool) uint32 {
	if w.used == nil {
		w.used = map[uint32]bool{}
		for _, r := range w.Host.Rules {
			w.used[r.Table] = true
		}
		for _, r := range w.Host.Routes {
			w.used[r.Table] = true
		}
	}
	if t := w.table(first, count, is); t != 0 {
		return t
	}
	for t := first; t < first+count; t++ {
		if !w.used[t] {
			w.used[t] = true
			return t
		}
	}
	return 0
}

// networks adds what leads guests to their uplinks.
func (w *wanted) networks() {
	bridges := map[string]bool{}
	for bridge, n := range w.Host.Networks {
		bridges[bridge] = n.Way != nil
	}
	for _, r := range w.Host.Rules {
		if _, known := bridges[r.In]; !known && r.Protocol == Protocol && r.Table >= TableNetworks {
			bridges[r.In] = true
		}
	}
	for bridge, has := range bridges {
		if !has {
			delete(bridges, bridge)
		}
	}
	for _, bridge := range sorted(bridges) {
		of := func(r Rule) bool { return r.In == bridge }
		t := w.take(TableNetworks, maxNetworks, of)
		if t == 0 {
			continue
		}
		if w.late {
			w.rule(atLocal, Rule{Table: TableLocal, In: bridge, Suppress: -1})
		}
		w.rule(atSpecific, Rule{Table: TableMain, In: bridge, Suppress: Short(w.IPv6)})
		w.rule(atUplinks, Rule{Table: t, In: bridge, Suppress: -1})
		n, known := w.Host.Networks[bridge]
		if !known {
			w.keep(func(r Route) bool { return r.Table == t })
			continue
		}
		if n.Way.Link != "" {
			w.out.Routes = append(w.out.Routes, Route{Table: t, Dest: w.everything(), Link: n.Way.Link, Gateway: n.Way.Gateway})
			w.out.Loose = append(w.out.Loose, n.Way.Link)
		}
		if n.Way.Guard {
			w.out.Routes = append(w.out.Routes, Route{Table: t, Dest: w.everything()})
		}
	}
}

// keep keeps routes that others look after.
func (w *wanted) keep(is func(Route) bool) {
	for _, r := range w.Host.Routes {
		if is(r) {
			w.out.Routes = append(w.out.Routes, r)
		}
	}
}

// guests adds what leads to the guests of all networks, and reports whether there are
// any.
func (w *wanted) guests() bool {
	routes, rules := len(w.out.Routes), len(w.out.Rules)
	w.keep(func(r Route) bool {
		_, known := w.Host.Networks[r.Link]
		return r.Table == TableGuests && !known
	})
	for _, bridge := range sorted(w.Host.Networks) {
		for _, a := range w.Host.Networks[bridge].Addresses {
			w.out.Routes = append(w.out.Routes, Route{Table: TableGuests, Dest: a.Masked(), Link: bridge, Source: a.Addr()})
		}
		for _, p := range w.Host.Networks[bridge].Through {
			w.rule(atGuests, Rule{Table: TableMain, To: p.Masked(), Suppress: Short(w.IPv6)})
		}
	}
	if len(w.out.Routes) > routes && !w.late {
		w.rule(atGuests, Rule{Table: TableGuests, Suppress: -1})
	}
	return len(w.out.Routes) > routes || len(w.out.Rules) > rules
}

// answers adds what sends answers back by the link that a connection came in by.
func (w *wanted) answers() {
	before, doors := len(w.out.Rules), w.doors()
	for _, d := range doors {
		mark := firewall.MarkOf(w.Links[d.Link])
		if mark == 0 {
			continue
		}
		t := w.take(TableLinks, maxLinks, func(r Rule) bool { return r.Mark == mark })
		if t == 0 {
			continue
		}
		w.rule(atLinks, Rule{Table: t, Mark: mark, Mask: ^uint32(0), Suppress: -1})
		w.out.Routes = append(w.out.Routes, Route{Table: t, Dest: w.everything(), Link: d.Link, Gateway: d.Gateway})
		if len(doors) > 1 {
			w.out.Loose = append(w.out.Loose, d.Link)
		}
	}
	if len(w.out.Rules) > before {
		w.rule(atAnswers, Rule{Table: TableMain, Mark: firewall.LinkMark, Mask: firewall.LinkMarkMask, Suppress: Short(w.IPv6)})
	}
}

func sorted[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
