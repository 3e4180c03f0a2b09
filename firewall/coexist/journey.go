package coexist

// priorityRaw is the priority before which, and with which, connections are not
// tracked yet (NF_IP_PRI_RAW; NF_IP_PRI_CONNTRACK is -200).
const priorityRaw = -300

// Journey returns a packet at each hook that it passes on this host, from the frame
// that a device receives to the one that another sends. ports are those of the guests
// on a bridge; a packet from or to the bridge passes each of them as far as anybody
// knows.
//
// Source: the order of hooks in Documentation/networking (nf_tables' hooks,
// include/uapi/linux/netfilter.h) and of a bridge (net/bridge/br_input.c,
// br_forward.c): a bridge's own frames pass its hooks prerouting and input, then the
// bridge itself is the device that received them.
func (p Packet) Journey(bridge string, ports []string) []Packet {
	if p.Layer != "" {
		return []Packet{p}
	}
	p.Cast = uint8(p.cast())
	var list []Packet
	at := func(layer string, hook Hook, in, out string) {
		q := p
		q.Layer, q.Hook, q.In, q.Out = layer, hook, in, out
		q.Untracked = layer == Netdev
		list = append(list, q)
	}
	if p.Hook != Output {
		for _, port := range portsOf(p.In, bridge, ports) {
			at(Netdev, Ingress, port, "")
			at(Bridge, Prerouting, port, "")
			at(Bridge, Input, port, "")
		}
		at(Netdev, Ingress, p.In, "")
		at("", Prerouting, p.In, "")
	}
	list = append(list, p)
	if p.Hook != Input {
		at("", Postrouting, p.In, p.Out)
		at(Netdev, Egress, "", p.Out)
		for _, port := range portsOf(p.Out, bridge, ports) {
			at(Bridge, Output, "", port)
			at(Bridge, Postrouting, "", port)
			at(Netdev, Egress, "", port)
		}
	}
	return list
}

// portsOf returns the ports by which a packet comes or goes that does so by a link.
func portsOf(link, bridge string, ports []string) []string {
	if link != bridge {
		return nil
	}
	return ports
}

// Questions returns the ARP packets by which guests and the host find each other.
func Questions(bridge string) []Packet {
	return []Packet{{Layer: ARP, Hook: Input, In: bridge}, {Layer: ARP, Hook: Output, Out: bridge}}
}
