package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// idle looks at what keeps a network from starting, as a start would meet it.
func (w *walker) idle() bool {
	w.say("not running")
	if w.n.Def.OwnsBridge() {
		w.clashes()
	}
	if w.n.Def.Fault == nil { // it is told of the definition
		w.refusal()
		w.unserved()
	}
	if w.worst == Problem || w.worst == Warning || !w.n.Autostart {
		return true
	}
	f := Finding{
		Text:     "the network is to start with the host, but does not run",
		Evidence: []string{"autostart: yes", "state: inactive"}, Mend: virsh("net-start", w.n.Name),
		Note: "if that fails its message says why",
	}
	if w.n.Failed != "" {
		f.Evidence, f.Note = append(f.Evidence, w.n.Failed), "what failed then does not fail in a dry run now"
	}
	w.tell(notStarted, f)
	return true
}

// refusal tells of a start that the daemon refuses, or that fails at the bridge, in the
// daemon's words.
func (w *walker) refusal() {
	bridge := w.n.Def.Bridge.Name
	if link, ok := w.f.Plan.Links[bridge]; ok && w.n.Def.OwnsBridge() && bridge != "" {
		mend, note := virsh("net-edit", w.n.Name), "give the network's bridge another name"
		if link.Kind == "bridge" && !w.active(bridge) && len(w.portsOf(bridge)) == 0 {
			mend, note = "ip link del "+operand(bridge), "nothing is plugged into it"
		}
		w.tell(startFails, Finding{
			Text:     fmt.Sprintf("the network does not start: error creating bridge interface %s: File exists", bridge),
			Evidence: []string{strings.TrimSpace(fmt.Sprintf("there is a link %s %s", bridge, link.Kind))}, Mend: mend, Note: note,
		})
		return
	}
	if dnsmasq.Wanted(w.n.Def) && w.f.Plan.Dnsmasq.Path == "" {
		w.uninstalled()
		return
	}
	text := w.startError()
	if text == "" {
		return
	}
	w.tell(startFails, Finding{
		Text: "the network does not start: " + text, Evidence: []string{"a dry run of the start"}, Mend: virsh("net-edit", w.n.Name),
		Note: "or change on the host what the reason names",
	})
}

// active reports whether a bridge is that of a network that runs.
func (w *walker) active(bridge string) bool {
	return slices.ContainsFunc(w.f.Networks, func(n Network) bool { return n.Active && n.Def != nil && n.Def.Bridge.Name == bridge })
}

// startError returns what a dry run of the start ends with; "": it succeeds, or what is
// chosen at the start decides. Addresses that others have are told before.
func (w *walker) startError() string {
	if a := w.n.Def.Advertise; a != nil {
		if _, ok := a.Address(); !ok {
			return ""
		}
	}
	facts := w.f.Plan
	live, err := plan.Live(w.n.Def, facts)
	if err == nil {
		_, err = plan.Compile(live, nil, facts, plan.Dirs{Run: "/", Dnsmasq: "/"})
	}
	if err == nil || w.worst == Warning {
		return ""
	}
	return err.Error()
}

// unserved tells why the network's dnsmasq would end at once: somebody has its ports, or
// there is no such file as it is to watch.
func (w *walker) unserved() {
	if !dnsmasq.Wanted(w.n.Def) || w.f.Plan.Dnsmasq.Path == "" {
		return
	}
	w.taken()
	if w.f.Resolv.Missing && w.n.Def.DNS.Enable != xml.No && w.asksHost() {
		w.noUpstream()
	}
}
