package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

// firewall looks at the rules of the network, and at those of everybody else.
func (w *walker) firewall() bool {
	w.rules()
	w.zone()
	if w.f.Filters == nil {
		w.say("the packet filters of others are not known")
		return true
	}
	w.blocked(coexist.Forward, w.through())
	w.blocked(coexist.Input, w.served(coexist.Input))
	w.blocked(coexist.Output, w.served(coexist.Output))
	if w.worst == "" {
		w.say("nobody else's rules are in the way")
	}
	return true
}

// ruled reports whether the network's mode has firewall rules.
func (w *walker) ruled() bool {
	switch w.n.Def.Forward.Mode {
	case xml.ForwardNone, xml.ForwardNAT, xml.ForwardRoute:
		return true
	case xml.ForwardOpen, xml.ForwardBridge, xml.ForwardPrivate, xml.ForwardVEPA, xml.ForwardPassthrough, xml.ForwardHostdev:
	}
	return false
}

// rules looks at the network's own rules.
func (w *walker) rules() {
	r := &w.n.Rules
	if !w.ruled() && !r.Own {
		w.say("networks of mode " + w.n.Def.Forward.Mode.String() + " have no rules")
		return
	}
	keeper := w.f.keeper(w.n)
	ours := keeper == KeeperVirbrd
	switch {
	case ours && len(r.Missing) > 0:
		w.lost("virbr", r.Missing)
	case !ours && !r.Libvirt && !r.Legacy && !r.Own:
		w.lost("libvirt", []string{"no rule of libvirt names " + w.n.Def.Bridge.Name})
	default:
		w.say("the network's own rules are whole")
	}
	if r.Own && r.Libvirt && w.n.Added == nil { // the hook adds beside libvirt's
		w.doubled(keeper)
	}
}

// lost tells of rules that somebody removed.
func (w *walker) lost(whose string, missing []string) {
	mend := w.f.repair(w.n)
	if w.f.keeper(w.n) == KeeperLibvirt {
		mend = w.f.renew(w.n) // a reload makes rules, but not the chains that they belong into
	}
	w.tell(Finding{
		ID: "rules-missing", Severity: Problem,
		Text: fmt.Sprintf("%s's firewall rules for %s are not all there: somebody flushed or changed them, so guests may be without NAT, "+
			"or open to others", whose, w.n.Def.Bridge.Name),
		Evidence: missing[:min(len(missing), 8)],
		Mend:     mend,
		Note:     "`nft flush ruleset` and a restart of nftables.service do this",
	})
}

// doubled tells of rules of both daemons.
func (w *walker) doubled(keeper Keeper) {
	f := Finding{
		ID: "rules-double", Severity: Warning,
		Text: fmt.Sprintf("both virbr and libvirt have firewall rules for %s: packets must pass both, so what one of them is told to allow "+
			"the other may still refuse", w.n.Def.Bridge.Name),
		Evidence: []string{"table inet virbr has " + w.n.Def.Bridge.Name, "libvirt's chains name " + w.n.Def.Bridge.Name},
		Mend:     "virbrd release",
	}
	if keeper == KeeperVirbrd {
		f.Mend = w.f.renew(w.n)
		f.Note = "virbrd removes libvirt's rules when it starts; networks go on meanwhile"
	}
	w.tell(f)
}

// through lists the packets that the host must pass on: the first ones of
// connections that guests make, and of those made to them where the mode allows
// that, else the answers.
func (w *walker) through() []coexist.Packet {
	if !w.outward() {
		return nil
	}
	var list []coexist.Packet
	name := w.n.Def.Bridge.Name
	for _, p := range append(w.subnets(netip.Addr.Is4), w.subnets(netip.Addr.Is6)...) {
		guest := p.Addr().Next().Next()
		six := guest.Is6()
		reply := !six && w.n.Def.Forward.Mode == xml.ForwardNAT || six && w.n.Def.Replies(p)
		family := netip.Addr.Is4
		if six {
			family = netip.Addr.Is6
		}
		for _, exit := range w.uplinks(family) { // none: it is told of the route
			list = append(list, coexist.Packet{Hook: coexist.Forward, IPv6: six, In: name, Out: exit, Source: guest})
		}
		list = append(list, coexist.Packet{Hook: coexist.Forward, IPv6: six, Out: name, Dest: guest, Reply: reply})
	}
	return list
}

// served lists the packets between guests and the host's services for them.
func (w *walker) served(hook coexist.Hook) []coexist.Packet {
	if !dnsmasq.Wanted(w.n.Def) {
		return nil
	}
	wish := coexist.Wish{Bridge: w.n.Def.Bridge.Name}
	for _, s := range w.wanted() {
		service := coexist.Service{Proto: s.proto, Port: s.port}
		if !slices.Contains(wish.Serve, service) {
			wish.Serve = append(wish.Serve, service)
		}
	}
	six := len(w.subnets(netip.Addr.Is6)) > 0
	four := len(w.subnets(netip.Addr.Is4)) > 0
	return slices.DeleteFunc(coexist.Need(wish), func(p coexist.Packet) bool { return p.Hook != hook || p.IPv6 && !six || !p.IPv6 && !four })
}

// obstacles returns what others have in the way of a packet. libvirt's rules are
// those of networks, see [walker.rules].
func (w *walker) obstacles(p coexist.Packet) []coexist.Obstacle {
	if w.f.Filters == nil {
		return nil
	}
	return slices.DeleteFunc(w.f.Filters.Trace(p), func(o coexist.Obstacle) bool { return o.Owner == coexist.Libvirt })
}

// blocked tells of packets that others drop, once for each place.
func (w *walker) blocked(hook coexist.Hook, packets []coexist.Packet) {
	type place struct {
		owner       coexist.Owner
		table, rule string
		chain       string
	}
	var order []place
	found := map[place][]coexist.Obstacle{}
	for _, p := range packets {
		for _, o := range w.obstacles(p) {
			at := place{o.Owner, o.Table, o.Rule, o.Chain}
			if found[at] == nil {
				order = append(order, at)
			}
			found[at] = append(found[at], o)
		}
	}
	for _, at := range order {
		w.dropped(hook, found[at])
	}
}

// dropped tells of one place where packets are dropped.
func (w *walker) dropped(hook coexist.Hook, all []coexist.Obstacle) {
	first := all[0]
	f := Finding{ID: string(hook) + "-dropped", Severity: Problem}
	what := "what the host forwards for guests"
	switch hook {
	case coexist.Input:
		what = "what guests ask of the host (addresses, names)"
	case coexist.Output:
		what = "what the host answers its guests"
	case coexist.Forward:
	}
	f.Text = fmt.Sprintf("a firewall chain of %s drops %s: chain %s of table %s", first.Owner, what, first.Chain, first.Table)
	if first.Owner == coexist.Iptables || first.Owner == coexist.Nftables {
		f.Text = fmt.Sprintf("a chain made with %s drops %s: chain %s of table %s", first.Owner, what, first.Chain, first.Table)
	}
	var mend []string
	for _, o := range all {
		f.Evidence = append(f.Evidence, o.Why)
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
		f.Severity = Warning
		f.Note = "this looks as if it was meant: the rule is about such packets in particular"
	default:
		f.Note = "virbr leaves it as it is, for it may be meant, as a VPN's kill switch is: guests must not leave past the tunnel. " +
			"<virbr:firewall coexist='all'/> has it make room here, too"
	}
	w.tell(f)
}
