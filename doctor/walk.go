package doctor

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

// walk goes the way of one network's packets.
func walk(f *Facts, n *Network, r *Report) Walk {
	w := &walker{f: f, n: n, r: r, network: n.Name}
	out := Walk{Network: n.Name, Active: n.Active, Keeper: f.keeper(n).String()}
	if n.Def == nil {
		w.take("definition", w.unread)
		out.Steps = w.steps
		return out
	}
	out.UUID, out.Mode, out.Bridge = n.Def.UUID.String(), n.Def.Forward.Mode.String(), n.Def.Bridge.Name
	if n.Def.Fault != nil {
		w.take("definition", w.faulty)
	}
	switch {
	case !n.Active:
		out.Keeper = KeeperNobody.String()
		w.take("start", w.idle)
	case n.Def.OwnsBridge():
		w.take("bridge", w.bridge)
		w.take("dhcp", w.dhcp)
		w.take("dns", w.dns)
		w.take("forwarding", w.forwarding)
		w.take("firewall", w.firewall)
		w.take("route", w.route)
		w.take("uplinks", w.egress)
		w.take("back", w.back)
		w.take("forwards", w.forwards)
		w.take("hook", w.hook)
	case n.Def.Forward.Mode == xml.ForwardBridge && n.Def.Bridge.Name != "":
		w.take("bridge", w.foreign)
	default:
		w.take("devices", w.devices)
	}
	out.Steps = w.steps
	return out
}

// unread tells of a definition that cannot be read.
func (w *walker) unread() bool {
	w.tell(definitionBroken, Finding{
		Text: fmt.Sprintf("the files of network %s cannot be read, so no daemon knows it", w.n.Name), Evidence: []string{w.n.Unread},
		Mend: "virbr check " + operand("/etc/libvirt/qemu/networks/"+w.n.Name+".xml"),
		Note: "this says which line is wrong; correct the file, then have the daemon read it again: " + w.f.repair(w.n),
	})
	return true
}

// faulty tells of a definition that virbrd would refuse.
func (w *walker) faulty() bool {
	var evidence []string
	for _, reason := range w.n.Def.Fault.Reasons {
		evidence = append(evidence, reason.Error())
	}
	w.tell(definitionBroken, Finding{
		Text: fmt.Sprintf("virbrd does not accept the definition of network %s: it can neither start nor change", w.n.Name), Evidence: evidence,
		Mend: virsh("net-edit", w.n.Name), Note: "correct what the evidence names; a network that runs takes the new definition when it starts anew",
	})
	return true
}

// foreign looks at a bridge that somebody else made.
func (w *walker) foreign() bool {
	name := w.n.Def.Bridge.Name
	if _, ok := w.f.Plan.Links[name]; !ok {
		w.tell(bridgeMissing, Finding{
			Text:     fmt.Sprintf("bridge %s, which the network relies on and another program makes, does not exist", name),
			Evidence: []string{"no link " + name},
			Mend:     fmt.Sprintf("ip link add name %s type bridge && ip link set %s up", quote(name), quote(name)),
			Note: "an empty bridge has no uplink; where NetworkManager, networkd or ifupdown is to make it, configure it there. For a bridge of guests " +
				"alone create='yes' in <bridge> has virbr make it, and serve addresses on it",
		})
		return true
	}
	w.up(name)
	return true
}

// devices looks at the devices that guests are given.
func (w *walker) devices() bool {
	found := false
	for _, dev := range w.n.Def.Forward.Interfaces {
		if dev.Dev == "" {
			continue
		}
		found = true
		if _, ok := w.f.Plan.Links[dev.Dev]; ok {
			w.up(dev.Dev)
			continue
		}
		w.tell(deviceMissing, Finding{
			Text: fmt.Sprintf("device %s, which guests are to use, does not exist", dev.Dev), Evidence: []string{"no link " + dev.Dev},
			Mend: virsh("net-edit", w.n.Name), Note: "ip link shows the devices that there are",
		})
	}
	return found
}

// up tells of a link that is switched off, and reports whether it is on.
func (w *walker) up(name string) bool {
	if w.f.Links[name].Up {
		w.say(name + " is up")
		return true
	}
	w.tell(linkDown, Finding{
		Text: fmt.Sprintf("%s is switched off, so nothing passes", name), Evidence: []string{name + ": state DOWN"},
		Mend: fmt.Sprintf("ip link set %s up", quote(name)),
	})
	return false
}

// outward reports whether the host forwards for the network's guests.
func (w *walker) outward() bool {
	m := w.n.Def.Forward.Mode
	return m == xml.ForwardNAT || m == xml.ForwardRoute || m == xml.ForwardOpen
}
