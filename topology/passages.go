package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// pass has the packet asked about by everybody's chains of a hook.
func (w *tracer) pass(p coexist.Packet) bool {
	for way := range w.all.Passages(&p) {
		own := strings.HasSuffix(way.Table, " "+firewall.TableName)
		if len(way.Unsure) > 0 {
			w.say("firewall", "not examined: %s", way.Unsure[0].Why)
			w.t.Outcome, w.t.Why = Unsure, w.t.Hops[len(w.t.Hops)-1].Text
		}
		switch {
		case way.Obstacle != nil && own:
			return w.refused(way)
		case way.Obstacle != nil:
			return w.stop("firewall", way.Obstacle.Mend, "%s", way.Obstacle.Why)
		case own && p.Hook == coexist.Postrouting && w.publicSource(&p):
		case way.Verdict.Rewrites != "":
			w.rewritten(way, own, &p)
		case own && p.Hook == coexist.Forward:
			w.allowed()
		case !own:
			w.say("firewall", "%s lets it pass: chain %s of table %s (%s)%s", way.Owner, way.Chain, way.Table, way.Hook, ruleText(way.Rule))
		}
	}
	if p.Layer == "" && p.Hook == coexist.Postrouting { // by the hook's rules, which are not among those walked
		w.publicSource(&p)
	}
	return true
}

func ruleText(rule string) string {
	if rule == "" {
		return ""
	}
	return ", rule `" + rule + "`"
}

// allowed says what our rules let pass.
func (w *tracer) allowed() {
	var words []string
	if w.from != nil && w.from.rules != nil {
		words = append(words, fmt.Sprintf("network %s lets it leave by %s", w.from.n.Name, w.out))
	}
	if w.to != nil && w.to.rules != nil {
		why := ""
		if w.translated {
			why = ", for it was forwarded"
		}
		words = append(words, fmt.Sprintf("network %s lets it enter from %s%s", w.to.n.Name, w.in, why))
	}
	if len(words) > 0 {
		w.say("firewall", "%s", strings.Join(words, "; "))
	}
}

// refused says which network does not let the packet pass, and what would let it.
func (w *tracer) refused(way coexist.Passage) bool {
	if bridge, ok := firewall.ChainBridge(firewall.LeaveMap, way.Chain); ok && w.from != nil && bridge == w.in {
		n := w.from.n
		return w.stop("firewall", doctor.Edit(n.Name), "network %s does not let it leave by %s: chain %s rejects it (%s)", n.Name, w.out, way.Chain, modeOf(n.Def))
	}
	if w.to == nil {
		return w.stop("firewall", "", "chain %s rejects it", way.Chain)
	}
	n := w.to.n
	mend := doctor.Edit(n.Name)
	if slices.Contains([]string{"tcp", "udp", "sctp"}, w.p.Proto) && w.port != 0 && !w.translated {
		mend = doctor.ForwardTo(n.Name, w.port, w.p.Proto, w.dest.String())
	}
	return w.stop("firewall", mend, "network %s does not let new connections enter from %s: chain %s rejects it (%s)", n.Name, w.in, way.Chain, modeOf(n.Def))
}

// rewritten says how an address is changed, and changes it for the chains that follow.
func (w *tracer) rewritten(way coexist.Passage, own bool, p *coexist.Packet) {
	owner := string(way.Owner)
	if own {
		owner = "virbr"
	}
	switch way.Verdict.Rewrites {
	case "masquerade", "snat":
		to := "another address"
		if a, ok := w.masquerade(); ok && way.Verdict.Rewrites == "masquerade" {
			w.t.Seen, p.Source, to = &a, a, a.String()
		}
		w.say("nat", "%s: the source becomes %s (%s in chain %s)", owner, to, way.Verdict.Rewrites, way.Chain)
	default:
		w.say("nat", "%s translates the destination (%s in chain %s); where to is not examined", owner, way.Verdict.Rewrites, way.Chain)
		w.t.Outcome, w.t.Why = Unsure, w.t.Hops[len(w.t.Hops)-1].Text
	}
}

// masquerade is the address that the host has towards the destination.
func (w *tracer) masquerade() (netip.Addr, bool) {
	var first netip.Addr
	for _, p := range w.f.Host.Links[w.out].Addresses {
		if a := p.Addr(); a.Is4() == w.dest.Is4() && !a.IsLinkLocalUnicast() {
			if p.Contains(w.dest) {
				return a, true
			}
			if !first.IsValid() {
				first = a
			}
		}
	}
	return first, first.IsValid()
}

// publicSource says from which public address a guest sends, if it has one.
func (w *tracer) publicSource(p *coexist.Packet) bool {
	if w.t.Seen != nil || w.from == nil || w.from.rules == nil || !slices.Contains(w.from.rules.Uplinks, w.out) {
		return false
	}
	for _, public := range w.from.rules.Publics {
		if public.Guest == w.p.From {
			w.t.Seen, p.Source = &public.Address, public.Address
			w.say("nat", "virbr: the source becomes %s, the public address of the guest", public.Address)
			return true
		}
	}
	return false
}
