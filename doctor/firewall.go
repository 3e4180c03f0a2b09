package doctor

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

// firewall looks at the rules of the network, and at those of everybody else.
func (w *walker) firewall() bool {
	w.rules()
	w.zone()
	if w.f.Filters == nil {
		w.say("the packet filters of other programs are not known")
		return true
	}
	w.blocked()
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
		w.say("the network's own rules are complete")
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
	w.tell(rulesMissing, Finding{
		Text: fmt.Sprintf("%s's firewall rules for %s are incomplete: another program flushed or changed them, so guests may be without NAT, "+
			"or open to others", whose, w.n.Def.Bridge.Name),
		Evidence: missing[:min(len(missing), 8)], Mend: mend, Note: "`nft flush ruleset` and a restart of nftables.service do this",
	})
}

// doubled tells of rules of both daemons.
func (w *walker) doubled(keeper Keeper) {
	f := Finding{
		Text: fmt.Sprintf("both virbr and libvirt have firewall rules for %s: packets must pass both, so what one of them is told to allow "+
			"the other may still refuse", w.n.Def.Bridge.Name),
		Evidence: []string{"table inet virbr has " + w.n.Def.Bridge.Name, "libvirt's chains name " + w.n.Def.Bridge.Name}, Mend: "virbrd release",
	}
	if keeper == KeeperVirbrd {
		f.Mend = w.f.renew(w.n)
		f.Note = "virbrd removes libvirt's rules when it starts; networks go on meanwhile"
	}
	w.tell(rulesDouble, f)
}
