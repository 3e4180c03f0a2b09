package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Path is what the kernel answers about packets of guests of one subnet, by all its
// tables and rules of routing.
type Path struct {
	Subnet  netip.Prefix
	Guest   netip.Addr        // an address of a guest
	World   netip.Addr        // an address far away
	Out     Answer            // from the guest to there
	Reverse string            // the link by which the host itself sends there; "": by none
	Here    Answer            // from the host to the guest
	Back    map[string]Answer // from there to the guest, by the link that they come in by
}

// Answer is the kernel's to one question (ip-route(8), "get").
type Answer struct {
	Asked   string // as a person asks it: "ip route get 192.0.2.1 from 192.168.122.2 iif virbr0"
	Link    string // that they leave by; "": none
	Gateway netip.Addr
	Table   uint32
	Refused string // why there is none
	Source  bool   // because the source must not come that way (rp_filter)
}

// Policy is a rule of routing, or a route that refuses packets.
type Policy struct {
	IPv6     bool
	Priority int
	Text     string // of a rule: "100: from all iif virbr0 prohibit"
	Route    string // of a route: "prohibit default table 100"
	Refuses  bool
	Table    uint32
	From, To netip.Prefix // invalid: all
	In       string
	Marked   bool // for packets with a mark only
	Usual    bool // one that every host has
}

// mainTable is RT_TABLE_MAIN.
const mainTable = 254

// pathsOf returns those of a family.
func (w *walker) pathsOf(family func(netip.Addr) bool) []*Path {
	var list []*Path
	for i := range w.n.Paths {
		if family(w.n.Paths[i].Guest) {
			list = append(list, &w.n.Paths[i])
		}
	}
	return list
}

// exits returns the links by which guests of a family leave: those that the kernel says,
// or where it does not those of the default routes; as far as the network may use them.
func (w *walker) exits(family func(netip.Addr) bool) []string {
	ways := w.pathsOf(family)
	only := w.n.Def.Forward.Dev()
	var all []string
	told := false
	for _, way := range ways {
		told = told || way.Out.Refused == ""
		if link := way.Out.Link; link != "" && link != w.n.Def.Bridge.Name && (only == "" || only == link) && !slices.Contains(all, link) {
			all = append(all, link)
		}
	}
	if !told {
		return w.uplinks(family)
	}
	return all
}

// refusedRoute tells of packets that the kernel sends nowhere although it has a default
// route: rules or routes refuse them.
func (w *walker) refusedRoute(name string, family func(netip.Addr) bool) bool {
	for _, way := range w.pathsOf(family) {
		if way.Out.Refused == "" || way.Out.Source {
			continue
		}
		f := Finding{
			Text:     fmt.Sprintf("the host's routing refuses what guests send by %s", name),
			Evidence: []string{way.Out.Asked + ": " + way.Out.Refused},
			Note:     "a VPN or an administrator does this, perhaps on purpose: guests must not leave past the tunnel",
		}
		for _, p := range w.culprits(way) {
			switch {
			case p.Route != "":
				f.Evidence = append(f.Evidence, "ip route: "+p.Route)
			case !p.Usual:
				f.Evidence = append(f.Evidence, "ip rule: "+p.Text)
			}
			if f.Mend == "" && p.Refuses {
				f.Mend = p.mend()
			}
		}
		w.tell(routeRefused, f)
		return true
	}
	return false
}

// forwards4 reports whether nothing but routes keeps packets of a family in: where IPv4
// is not forwarded the kernel has no route for guests either.
func (w *walker) forwards4(family func(netip.Addr) bool) bool {
	return !family(netip.IPv4Unspecified()) || w.f.Sysctls["net/ipv4/ip_forward"] != "0" &&
		w.f.Sysctls["net/ipv4/conf/"+w.n.Def.Bridge.Name+"/forwarding"] != "0"
}

// culprits returns the rules that a guest's packet meets, in their order, up to the one
// that refuses it or leads to a route that does.
func (w *walker) culprits(way *Path) []Policy {
	meets := func(p netip.Prefix, a netip.Addr) bool { return !p.IsValid() || p.Contains(a) }
	var rules, list []Policy
	for _, p := range w.f.Policies {
		if p.Route == "" && p.IPv6 == way.Guest.Is6() && meets(p.From, way.Guest) && meets(p.To, way.World) &&
			(p.In == "" || p.In == w.n.Def.Bridge.Name) && !p.Marked {
			rules = append(rules, p)
		}
	}
	slices.SortStableFunc(rules, func(a, b Policy) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, rule := range rules {
		list = append(list, rule)
		if rule.Refuses {
			return list
		}
		for _, p := range w.f.Policies {
			if p.Route != "" && p.IPv6 == rule.IPv6 && p.Table == rule.Table && meets(p.To, way.World) {
				return append(list, p)
			}
		}
	}
	return list
}

// mend is the command that removes what refuses.
func (p *Policy) mend() string {
	ip := "ip"
	if p.IPv6 {
		ip = "ip -6"
	}
	if p.Route != "" {
		return ip + " route del " + p.Route
	}
	return fmt.Sprintf("%s rule del priority %d", ip, p.Priority)
}

// astray tells of packets for guests that the host sends elsewhere: another table comes
// before that with the bridge's subnet, as those of VPNs do.
func (w *walker) astray() {
	bridge := w.n.Def.Bridge.Name
	for i := range w.n.Paths {
		way := &w.n.Paths[i]
		if way.Here.Link == "" || way.Here.Link == bridge || way.Here.Table == mainTable || way.Here.Table == 0 || w.answered(way.Subnet) {
			continue
		}
		ip := "ip"
		if way.Guest.Is6() {
			ip = "ip -6"
		}
		w.tell(subnetClash, Finding{
			Text: fmt.Sprintf("packets for guests in %s leave by %s: routing table %d has a route for them and is asked before the main one",
				way.Subnet, way.Here.Link, way.Here.Table),
			Evidence: []string{fmt.Sprintf("%s: dev %s table %d", way.Here.Asked, way.Here.Link, way.Here.Table)},
			Mend:     fmt.Sprintf("%s rule add to %s lookup main", ip, way.Subnet),
			Note:     "VPNs and Tailscale (accept-routes) have tables of their own; the rule lasts until the next boot",
		})
	}
}

// answered reports whether the host answers for guests of a subnet one by one on its
// uplink, where all of it is on-link: their routes are narrower than the subnet, and the
// subnet is in both places on purpose.
func (w *walker) answered(p netip.Prefix) bool {
	a := w.n.Def.Advertise
	if a == nil || a.ProxyNDP == "" {
		return false
	}
	own, ok := a.Address()
	return ok && own.Masked() == p
}

// filters tells of links that drop what comes in for guests because the answer would
// leave by another one (RFC 3704).
func (w *walker) filters() {
	told := map[string]bool{}
	for _, way := range w.pathsOf(netip.Addr.Is4) {
		if way.Out.Source {
			w.strict(w.n.Def.Bridge.Name, way.Out, Problem, fmt.Sprintf("what guests in %s send", way.Subnet))
		}
		for _, link := range slices.Sorted(maps.Keys(way.Back)) {
			back := way.Back[link]
			if !back.Source || told[link] {
				continue
			}
			told[link] = true
			severity := Warning
			what := "answers to guests that come by " + link
			if link == way.Out.Link {
				severity, what = Problem, "answers to guests"
			}
			w.strict(link, back, severity, what)
		}
	}
}

// strict tells of a reverse path filter that drops packets.
func (w *walker) strict(link string, a Answer, severity Severity, what string) {
	own, all := "net/ipv4/conf/"+link+"/rp_filter", "net/ipv4/conf/all/rp_filter"
	w.tell(rpFilter, Finding{
		Severity: severity, Text: fmt.Sprintf("%s takes only what it would answer by %s (rp_filter), and the host answers another way: %s are dropped without a trace",
			link, link, what),
		Evidence: []string{a.Asked + ": " + a.Refused, own + " = " + w.f.Sysctls[own], all + " = " + w.f.Sysctls[all]}, Mend: setSysctl(own, "2"),
		Note: "2 is the loose filter: the source must be reachable by some interface",
	})
}
