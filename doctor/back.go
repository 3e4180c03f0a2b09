package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// back looks at how answers come back in.
func (w *walker) back() bool {
	w.shaped()
	if !w.outward() {
		return w.worst != ""
	}
	if w.n.Def.Forward.Mode == xml.ForwardNAT {
		w.say("IPv4 is translated to the host's address and back")
	} else if four := w.n.Def.Prefixes(netip.Addr.Is4); len(four) > 0 {
		w.say(fmt.Sprintf("external routers must route %s to this host", words(four)))
	}
	var routed []netip.Prefix
	for _, p := range w.n.Def.Prefixes(netip.Addr.Is6) {
		if !w.n.Def.Translates(p) {
			routed = append(routed, p)
		}
	}
	if len(routed) > 0 {
		w.say(fmt.Sprintf("external routers must route %s to this host", words(routed)))
	}
	w.untranslated(routed)
	return true
}

// untranslated tells of local addresses that leave the host as they are.
func (w *walker) untranslated(routed []netip.Prefix) {
	local := slices.DeleteFunc(slices.Clone(routed), func(p netip.Prefix) bool { return !xml.Local(p) })
	if len(local) == 0 || w.n.Def.Forward.Mode != xml.ForwardNAT {
		return
	}
	w.tell(ulaUntranslated, Finding{
		Text: fmt.Sprintf("guests' IPv6 addresses in %s are local ones and are not translated: nobody in the Internet can answer them",
			words(local)),
		Evidence: []string{"forward mode='nat' without <nat ipv6='yes'/>"}, Mend: virsh("net-edit", w.n.Name),
		Note: "put <nat ipv6='yes'/> into <forward>, then " + restart(w.n.Name),
	})
}

// shaped looks whether limits of bandwidth are in force.
func (w *walker) shaped() {
	b := w.n.Def.Bandwidth
	if b == nil {
		return
	}
	has := func(kinds ...string) bool {
		return slices.ContainsFunc(w.n.Shaped, func(k string) bool { return slices.Contains(kinds, k) })
	}
	var lacks []string
	if b.Inbound != nil && !has("htb") {
		lacks = append(lacks, "no htb queue on "+w.n.Def.Bridge.Name)
	}
	if b.Outbound != nil && !has("ingress", "clsact") {
		lacks = append(lacks, "no ingress queue on "+w.n.Def.Bridge.Name)
	}
	if lacks == nil {
		w.say("bandwidth is limited")
		return
	}
	f := Finding{
		Text: "the network's <bandwidth> is not in force: guests have all that there is", Evidence: lacks, Mend: restart(w.n.Name),
		Note: "guests must be plugged in again; without a restart: remove the limits by virsh net-update and add them again",
	}
	for _, name := range []string{"sch_htb", "cls_u32", "sch_ingress", "act_police"} {
		switch w.f.Modules[name] {
		case ModuleAbsent:
			f.Evidence = append(f.Evidence, "the kernel has no module "+name)
		case ModuleAvailable:
			f.Mend = "modprobe " + name + " && " + f.Mend
		case ModuleUnknown, ModulePresent:
		}
	}
	w.tell(bandwidthOff, f)
}

// words lists things in words.
func words[T fmt.Stringer](all []T) string {
	list := make([]string, len(all))
	for i := range all {
		list[i] = all[i].String()
	}
	return strings.Join(list, ", ")
}
