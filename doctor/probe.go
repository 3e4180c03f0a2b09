package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

// through lists the packets that the host must pass on: the first ones of
// connections that guests make, to hosts far away and to the next router, and of those
// made to them where the mode allows that, else the answers.
func (w *walker) through() []coexist.Packet {
	if !w.outward() {
		return nil
	}
	var list []coexist.Packet
	name := w.n.Def.Bridge.Name
	for _, p := range w.n.Def.Prefixes(nil) {
		way := w.pathOf(p)
		six := p.Addr().Is6()
		reply := !six && w.n.Def.Forward.Mode == xml.ForwardNAT || six && w.n.Def.Replies(p)
		family := netip.Addr.Is4
		if six {
			family = netip.Addr.Is6
		}
		exits := w.exits(family)
		if len(exits) == 0 { // it is told of the route
			exits = w.neighbours(family)
		}
		for _, exit := range exits {
			out := coexist.Packet{Hook: coexist.Forward, IPv6: six, In: name, Out: exit, Source: way.Guest, Dest: way.World, Back: w.reverse(way)}
			in := coexist.Packet{Hook: coexist.Forward, IPv6: six, In: exit, Out: name, Source: way.World, Dest: way.Guest, Reply: reply, Back: way.Reverse}
			list = append(list, out, in)
			if near := way.Out.Gateway; near.IsValid() && exit == way.Out.Link && !near.IsLinkLocalUnicast() {
				out.Dest, in.Source, in.Back = near, near, exit
				list = append(list, out, in)
			}
		}
	}
	return list
}

// neighbours returns the links on which the host has subnets of a family, but for
// bridges of networks.
func (w *walker) neighbours(family func(netip.Addr) bool) []string {
	var all []string
	for _, r := range w.f.Plan.Routes {
		near := family(r.Dest.Addr()) && !r.Dest.Addr().IsLinkLocalUnicast() && !r.Gateway.IsValid() && r.Dest.Bits() > 0
		if near && r.Link != "lo" && !w.bridges(r.Link) && !slices.Contains(all, r.Link) {
			all = append(all, r.Link)
		}
	}
	return all
}

// reverse returns the link by which the host answers a guest; "": not known.
func (w *walker) reverse(way *Path) string {
	if w.answered(way.Subnet) {
		return w.n.Def.Bridge.Name
	}
	return way.Here.Link
}

// pathOf returns what is known of packets of a subnet's guests.
func (w *walker) pathOf(p netip.Prefix) *Path {
	for i := range w.n.Paths {
		if w.n.Paths[i].Subnet == p {
			return &w.n.Paths[i]
		}
	}
	return &Path{Subnet: p, Guest: p.Addr().Next().Next()}
}

// served lists the packets between guests and the host's services for them.
func (w *walker) served(hook coexist.Hook) []coexist.Packet {
	if !dnsmasq.Wanted(w.n.Def) {
		return nil
	}
	name := w.n.Def.Bridge.Name
	wish := coexist.Wish{Bridge: name}
	for _, s := range plan.Serves(w.n.Def) {
		wish.Serve = append(wish.Serve, coexist.Service(s))
	}
	var list []coexist.Packet
	for _, p := range coexist.Need(wish) {
		family := netip.Addr.Is4
		if p.IPv6 {
			family = netip.Addr.Is6
		}
		if subnets := w.n.Def.Prefixes(family); p.Hook == hook && len(subnets) > 0 {
			list = append(list, w.asked(p, w.pathOf(subnets[0])))
		}
	}
	for _, p := range coexist.Questions(name) {
		if p.Hook == hook && len(w.n.Def.Prefixes(netip.Addr.Is4)) > 0 {
			list = append(list, p)
		}
	}
	return list
}

// asked fills in who sends a packet between a guest and the host. A guest without a
// lease has no address yet (RFC 2131), and answers by DNS belong to a connection.
func (w *walker) asked(p coexist.Packet, way *Path) coexist.Packet {
	fresh := p.Port == portDHCP && p.Cast == 0 || p.Port == portDHCPv6 || p.Proto == "icmpv6"
	switch {
	case p.Hook == coexist.Output && p.FromPort == portDNS:
		p.Dest, p.Reply = way.Guest, true
	case p.Hook == coexist.Output:
	case fresh && !p.IPv6:
		p.Source, p.Back = netip.IPv4Unspecified(), p.In
	case fresh:
		p.Back = p.In
	default:
		p.Source, p.Back = way.Guest, w.reverse(way)
	}
	return p
}

// obstacles returns what others have in the way of a packet, and what of theirs nobody
// can say. libvirt's rules are those of networks, see [walker.rules].
func (w *walker) obstacles(p coexist.Packet) (list, unsure []coexist.Obstacle) {
	if w.f.Filters == nil {
		return nil, nil
	}
	libvirts := func(o coexist.Obstacle) bool { return o.Owner == coexist.Libvirt }
	list, unsure = w.f.Filters.Trace(p)
	return slices.DeleteFunc(list, libvirts), slices.DeleteFunc(unsure, libvirts)
}

// place is where packets are dropped.
type place struct{ table, chain, rule string }

// blocked tells of packets that others drop, once for each place, and of rules that
// cannot be examined.
func (w *walker) blocked() {
	var order []place
	hooks := map[place]coexist.Hook{}
	found := map[place][]coexist.Obstacle{}
	unknown := map[string]bool{}
	ports := w.portsOf(w.n.Def.Bridge.Name)
	for _, hook := range []coexist.Hook{coexist.Forward, coexist.Input, coexist.Output} {
		packets := w.served(hook)
		if hook == coexist.Forward {
			packets = w.through()
		}
		for _, p := range packets {
			for _, step := range p.Journey(w.n.Def.Bridge.Name, ports) {
				list, unsure := w.obstacles(step)
				for _, o := range list {
					at := place{o.Table, o.Chain, o.Rule}
					if found[at] == nil {
						order = append(order, at)
						hooks[at] = hook
					}
					found[at] = append(found[at], o)
				}
				for _, o := range unsure {
					unknown[o.Why] = true
				}
			}
		}
	}
	for _, at := range order {
		w.dropped(hooks[at], found[at])
	}
	w.unexamined(slices.Sorted(maps.Keys(unknown)))
	if w.worst == "" && len(unknown) == 0 {
		w.say("no rules of other programs block guests")
	}
}

// maxRules is how many rules are named, or commands printed, for one finding.
const maxRules = 6

// unexamined tells of rules with conditions that are not understood, once for all
// networks that meet them.
func (w *walker) unexamined(rules []string) {
	if len(rules) == 0 {
		return
	}
	w.say(fmt.Sprintf("not examined: %d rules of other programs", len(rules)))
	f := Finding{
		Text:     "rules of other programs may drop what guests send, and doctor cannot examine their conditions",
		Evidence: rules[:min(len(rules), maxRules)], Note: "`nft monitor trace` shows what they do with a packet; see nft(8) about meta nftrace",
	}
	if more := len(rules) - maxRules; more > 0 {
		f.Evidence = append(slices.Clone(f.Evidence), fmt.Sprintf("and %d more", more))
	}
	if !slices.ContainsFunc(w.r.Findings, func(o Finding) bool { return o.ID == f.ID && slices.Equal(o.Evidence, f.Evidence) }) {
		w.tell(rulesUnexamined, f)
	}
}

// cuts says what guests miss where packets are dropped at a hook.
var cuts = map[coexist.Hook]struct {
	kind Kind
	what string
}{
	coexist.Input:   {inputDropped, "what guests ask of the host (addresses, names)"},
	coexist.Output:  {outputDropped, "what the host answers its guests"},
	coexist.Forward: {forwardDropped, "what the host forwards for guests"},
}

// dropped tells of one place where packets are dropped.
func (w *walker) dropped(hook coexist.Hook, all []coexist.Obstacle) {
	first, whose := all[0], "of"
	if first.Owner == coexist.Iptables || first.Owner == coexist.Nftables {
		whose = "made with"
	}
	f := Finding{Text: fmt.Sprintf("a firewall chain %s %s drops %s: chain %s of table %s", whose, first.Owner, cuts[hook].what, first.Chain, first.Table)}
	if first.Owner == coexist.Traffic {
		f.Text = fmt.Sprintf("a filter of tc drops %s: %s", cuts[hook].what, first.Chain)
	}
	var mend []string
	for _, o := range all {
		if !slices.Contains(f.Evidence, o.Why) && len(f.Evidence) < maxRules {
			f.Evidence = append(f.Evidence, o.Why)
		}
		if !slices.Contains(mend, o.Mend) && o.Mend != "" {
			mend = append(mend, o.Mend)
		}
	}
	f.Mend = strings.Join(mend, " && ")
	switch {
	case first.Mendable:
		f.Note = "an accept in virbr's own table cannot undo a drop in another one; where virbrd runs, <virbr:firewall coexist='yes'/>, " +
			"which is the default, has it make room by itself"
	case first.Meant:
		f.Severity, f.Note = Warning, "this looks intended: the rule is about such packets in particular"
	case first.Owner == coexist.Traffic:
		f.Note = "virbr leaves it alone, for it may be intended"
	default:
		f.Note = "virbr leaves it alone, for it may be intended, as a VPN's kill switch is: guests must not leave past the tunnel. " +
			"<virbr:firewall coexist='all'/> has it make room here, too"
	}
	w.tell(cuts[hook].kind, f)
}
