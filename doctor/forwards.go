package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// forwards looks at port forwards and public addresses.
func (w *walker) forwards() bool {
	ext, err := w.n.Def.Extensions()
	if err != nil {
		w.tell(extensionsBroken, Finding{
			Text: "what the metadata says of forwards and addresses cannot be read, so nothing of it is in force", Evidence: []string{err.Error()},
			Mend: virsh("net-edit", w.n.Name),
		})
		return true
	}
	states, reach := w.resolutions(ext)
	seen := map[string]bool{}
	for i := range ext.Forwards {
		f := &ext.Forwards[i]
		if f.Ignore {
			continue
		}
		w.outside(f.Guest, seen)
		w.state(f.String(), f.Guest, states.Forwards[i], seen)
		w.sctp(f)
	}
	for i := range ext.Publics {
		a := &ext.Publics[i]
		w.outside(a.Guest, seen)
		w.state(a.String(), a.Guest, states.Publics[i], seen)
	}
	w.conflicts(ext, reach, states)
	if n := len(ext.Forwards); n > 0 {
		w.say(fmt.Sprintf("%d port forwards", n))
	}
	if n := len(ext.Publics); n > 0 {
		w.say(fmt.Sprintf("%d public addresses", n))
	}
	return len(ext.Forwards)+len(ext.Publics) > 0
}

// resolutions returns what each forward and public address resolves to: as virbrd or the
// hook report, or else as far as leases and links tell by the same rules.
func (w *walker) resolutions(ext *xml.Extensions) (*Resolutions, *plan.Resolution) {
	var said Resolutions
	switch {
	case w.n.Resolutions != nil:
		said = *w.n.Resolutions
	case w.hooked() && w.n.Added != nil:
		said = Resolutions{Forwards: w.n.Added.Forwards, Publics: w.n.Added.Publics}
	}
	seen := plan.Observations{Leases: w.n.Leases, Now: w.f.Checked, Devices: map[string][]netip.Addr{}}
	for name, l := range w.f.Links {
		seen.Devices[name] = nil
		for _, p := range l.Addresses {
			seen.Devices[name] = append(seen.Devices[name], p.Addr())
		}
	}
	reach := plan.NewResolution(w.n.Def, ext, seen, plan.Memory{})
	find := func(list []Resolved, document string, own plan.State) Resolved {
		if i := slices.IndexFunc(list, func(r Resolved) bool { return r.XML == document }); i >= 0 {
			return list[i]
		}
		return Resolved{XML: document, Active: own.Active, Addresses: own.Addresses, Reason: own.Reason}
	}
	all := &Resolutions{}
	for i := range ext.Forwards {
		all.Forwards = append(all.Forwards, find(said.Forwards, ext.Forwards[i].XML(), reach.ForwardState(i)))
	}
	for i := range ext.Publics {
		all.Publics = append(all.Publics, find(said.Publics, ext.Publics[i].XML(), reach.PublicState(i)))
	}
	return all, reach
}

// outside tells of a guest's address that is none of the network.
func (w *walker) outside(guest string, seen map[string]bool) {
	a, err := netip.ParseAddr(guest)
	list := w.n.Def.Prefixes(nil)
	if err != nil || seen[guest] || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return
	}
	seen[guest] = true
	w.tell(guestOutside, Finding{
		Text: fmt.Sprintf("a forward targets %s, which is no address of the network", a), Evidence: []string{"subnets: " + words(list)},
		Mend: virsh("net-edit", w.n.Name),
	})
}

// taken is in the reason of what somebody else has.
const taken = "taken by "

// state tells of what is not in force. Of a guest that is waited for it tells once.
func (w *walker) state(what, guest string, s Resolved, seen map[string]bool) {
	has := len(s.Addresses) > 0
	switch {
	case strings.Contains(s.Reason, taken):
		w.tell(forwardTaken, Finding{
			Text: fmt.Sprintf("%s is not in force, or not all of it: %s", what, s.Reason), Evidence: []string{"virbr forward list: " + s.Reason},
			Mend: "virbr forward list " + operand(w.n.Name), Note: "end who has it, and the forward is in force; or forward another port",
		})
	case s.Active || s.Reason == "" || !has && seen[guest]:
	case has:
		w.tell(interfaceWaiting, Finding{
			Text: fmt.Sprintf("%s is not in force: %s", what, s.Reason), Evidence: []string{"virbr forward list: " + s.Reason},
			Mend: "virbr forward list " + operand(w.n.Name), Note: "it is in force as soon as the interface is there; or correct its name",
		})
	default:
		seen[guest] = true
		w.tell(guestWaiting, Finding{
			Text: fmt.Sprintf("%s is not in force: %s", what, s.Reason), Evidence: []string{"virbr forward list: " + s.Reason},
			Mend: virsh("net-dhcp-leases", w.n.Name), Note: "this shows the guests that there are; start the guest, or correct its name",
		})
	}
}

// conflicts tells of programs that listen where a forward takes connections from them.
// What virbrd or the hook say of a forward comes first.
func (w *walker) conflicts(ext *xml.Extensions, reach *plan.Resolution, states *Resolutions) {
	claims, err := reach.Claims()
	if err != nil {
		return // it is told of the definition
	}
	for _, l := range w.f.Listeners {
		told := -1
		for _, t := range plan.TakenByListeners(claims, []step.Listener{l}, func(step.Listener) string { return "" }) {
			at := t.Claim.Forward
			if at == told || l.Address.IsLoopback() || l.Dev != "" || strings.Contains(states.Forwards[at].Reason, taken) {
				continue
			}
			told = at
			w.tell(forwardTaken, Finding{
				Text: fmt.Sprintf("%s port %d is forwarded to guest %s, but %s listens on it as well: other hosts do not reach it any more",
					strings.ToUpper(l.Proto), l.Port, ext.Forwards[at].Guest, l.Process),
				Evidence: []string{fmt.Sprintf("%s %s is held by %s", l.Proto, netip.AddrPortFrom(l.Address, l.Port), l.Process)},
				Mend:     end(l.Process), Note: "or forward another port",
			})
		}
	}
}
