package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
)

// bridge looks at the bridge and at what is plugged in.
func (w *walker) bridge() bool {
	name := w.n.Def.Bridge.Name
	if w.f.Plan.Links[name].Kind != "bridge" {
		w.tell(bridgeMissing, Finding{
			Text: fmt.Sprintf("the network is said to run, but its bridge %s does not exist", name), Evidence: []string{"no bridge " + name},
			Mend: w.remake(), Note: "guests that run must be plugged in again: restart them, or detach and attach their interfaces",
		})
		return true
	}
	w.up(name)
	w.addresses(name)
	w.ports(name)
	w.stopped()
	return true
}

// remake is the command that starts a network anew whose bridge is gone. The
// daemon buries it by itself when it starts.
func (w *walker) remake() string {
	if w.f.Daemons.Virbrd.PID == 0 && w.f.Daemons.Holder.PID == 0 {
		return w.f.start(w.f.keeper(w.n))
	}
	return restart(w.n.Name)
}

// addresses looks whether the bridge has what the definition says.
func (w *walker) addresses(name string) {
	ips := w.n.Def.Subnets()
	have := w.f.Links[name].Addresses
	six := path.Join("net/ipv6/conf", name, "disable_ipv6")
	for i := range ips {
		subnet, ok := ips[i].Subnet()
		if !ok {
			continue
		}
		want := netip.PrefixFrom(ips[i].Address, subnet.Bits())
		if slices.Contains(have, want) {
			w.say("has " + want.String())
			w.duplicate(name, want)
			continue
		}
		f := Finding{
			Text:     fmt.Sprintf("bridge %s lacks its address %s: guests' router and servers are not there", name, want),
			Evidence: []string{fmt.Sprintf("addresses of %s: %s", name, cmp.Or(words(have), "none"))}, Mend: fmt.Sprintf("ip addr add %s dev %s", want, quote(name)),
		}
		switch {
		case want.Addr().Is4():
			f.Mend = fmt.Sprintf("ip addr add %s brd + dev %s", want, quote(name))
		case w.f.Plan.NoIPv6:
			f.Mend, f.Evidence = "", []string{"the kernel has no IPv6 (no /proc/sys/net/ipv6)"}
			f.Note = "boot without ipv6.disable=1, or take the IPv6 address out of the network: " + virsh("net-edit", w.n.Name)
		case w.f.Sysctls[six] == "1":
			f.Evidence = append(f.Evidence, six+" = 1")
			f.Mend = setSysctl(six, "0") + " && " + f.Mend + " nodad"
		default:
			f.Mend += " nodad"
		}
		w.tell(addressMissing, f)
	}
}

// duplicate tells of an IPv6 address that a guest has as well.
func (w *walker) duplicate(name string, p netip.Prefix) {
	if !slices.Contains(w.f.Links[name].Duplicate, p.Addr()) {
		return
	}
	w.tell(addressDuplicate, Finding{
		Text:     fmt.Sprintf("another machine on bridge %s has its address %s as well, so the host does not use it", name, p.Addr()),
		Evidence: []string{fmt.Sprintf("%s dev %s: dadfailed", p, name)},
		Mend:     fmt.Sprintf("ip addr del %s dev %s && ip addr add %s dev %s nodad", p, quote(name), p, quote(name)),
		Note:     "the guest that has it must take another one",
	})
}

// portsOf returns the ports of a bridge in the order of their names.
func (w *walker) portsOf(bridge string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(w.f.Plan.Links)), func(port string) bool { return w.f.Plan.Links[port].Master != bridge })
}

// ports looks at the guests' side of the bridge.
func (w *walker) ports(name string) {
	ports := w.portsOf(name)
	for _, port := range ports {
		link := w.f.Links[port]
		switch {
		case !link.Up:
			w.tell(portDown, Finding{
				Text:     fmt.Sprintf("the guest at port %s of bridge %s is cut off: the port is switched off", port, name),
				Evidence: []string{port + ": state DOWN"}, Mend: fmt.Sprintf("ip link set %s up", quote(port)),
			})
		case link.PortState == "blocking":
			w.tell(portBlocked, Finding{
				Text: fmt.Sprintf("port %s of bridge %s passes nothing: the spanning tree protocol has closed it, "+
					"as it does where a guest joins two bridges, or sends such messages itself", port, name),
				Evidence: []string{fmt.Sprintf("%s: state %s", port, link.PortState), fmt.Sprintf("%s: STP %s", name, cmp.Or(w.f.Links[name].STP, "off"))},
				Mend:     fmt.Sprintf("ip link set %s type bridge stp_state 0", quote(name)),
				Note:     "only where no guest joins two bridges; <bridge stp='off'/> keeps it so",
			})
		}
	}
	switch guests := len(ports); guests {
	case 0:
		w.say("no guest is plugged in")
	case 1:
		w.say("1 port")
	default:
		w.say(fmt.Sprintf("%d ports", guests))
	}
}
