package coexist

import (
	"net/netip"
	"slices"
	"strings"
)

// Numbers of protocols (IANA).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// Packet is a kind of packets: the first ones of connections. What is not set is
// not known, and a rule that asks for it neither holds nor fails.
type Packet struct {
	Hook     Hook
	IPv6     bool
	In, Out  string // interfaces
	Proto    string // "tcp", "udp", "sctp", "icmp" or "icmpv6"
	Port     uint16 // destination
	FromPort uint16 // source
	Type     uint8  // of ICMP or ICMPv6
	Source   netip.Addr
	Dest     netip.Addr
	Cast     uint8 // kind of the destination: CastLocal, ...; 0: what is usual

	// Reply: of a connection that is known, instead of its first packet.
	// Translated: somebody translated the destination.
	Reply, Translated bool

	// What the kernel answers only where it has a packet, for doctor's journeys.
	Layer string // Bridge, Netdev or ARP: the frame, before or after IP; "": IP
	Back  string // the link by which the way back to the source leads; "": not known

	Unmarked  bool // nobody sets its mark
	Untracked bool // before connections are tracked, where the state is "invalid"
}

// String returns words for people: "udp to port 67 from virbr0 (IPv4)".
func (p Packet) String() string {
	what, family := "everything", "(IPv4)"
	switch {
	case p.Proto != "":
		what = p.Proto
	case p.Reply:
		what = "replies"
	case p.Translated:
		what = "what is forwarded"
	}
	if p.IPv6 {
		family = "(IPv6)"
	}
	w := words{what}
	w.add(p.Type != 0, "type %d", p.Type)
	w.add(p.FromPort != 0, "from port %d", p.FromPort)
	w.add(p.Port != 0, "to port %d", p.Port)
	w.add(p.In != "", "from %s", p.In)
	w.add(p.Out != "", "to %s", p.Out)
	return w.String() + " " + family
}

// protocols are the numbers of Packet.Proto.
var protocols = map[string]uint64{
	"tcp": protoTCP, "udp": protoUDP, "sctp": protoSCTP, "icmp": protoICMP, "icmpv6": protoICMPv6,
}

// truth is what is known about a condition.
type truth uint8

const (
	maybe truth = iota
	yes
	no
)

func truthOf(ok bool) truth {
	if ok {
		return yes
	}
	return no
}

func (t truth) not() truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	case maybe:
	}
	return maybe
}

// meets reports whether a packet meets all conditions.
func (p Packet) meets(all []Match) truth {
	result := yes
	for _, m := range all {
		switch p.meetsOne(m) {
		case no:
			return no
		case maybe:
			result = maybe
		case yes:
		}
	}
	return result
}

func (p Packet) meetsOne(m Match) truth {
	result := no
	for _, v := range m.Values {
		switch p.has(m.Field, v) {
		case yes:
			result = yes
		case maybe:
			if result == no {
				result = maybe
			}
		case no:
		}
	}
	if len(m.Values) == 0 {
		result = maybe
	}
	if m.Not {
		return result.not()
	}
	return result
}

// has reports whether a field of the packet has a value.
func (p Packet) has(f Field, v Value) truth {
	switch f {
	case InName:
		return p.named(p.In, v, p.Hook == Output)
	case OutName:
		return p.named(p.Out, v, p.Hook == Input || p.Hook == Prerouting || p.Hook == Ingress)
	case BackAny, BackIn:
		if p.Back == "" {
			return maybe
		}
		exists := f == BackAny || p.Back == p.In
		return truthOf(v.Low == Exists == exists)
	case NFProto:
		const ipv4, ipv6 = 2, 10
		return v.contains(map[bool]uint64{false: ipv4, true: ipv6}[p.IPv6])
	case L4Proto:
		if p.Proto == "" {
			return maybe
		}
		return v.contains(protocols[p.Proto])
	case DestPort:
		return p.port(p.Port, v)
	case FromPort:
		return p.port(p.FromPort, v)
	case ICMPType:
		switch {
		case p.Proto == "":
			return maybe
		case p.Proto != "icmp" && p.Proto != "icmpv6":
			return no
		}
		return v.contains(uint64(p.Type))
	case State:
		if p.Untracked {
			return truthOf(v.Low&StateInvalid != 0)
		}
		if p.Reply {
			return truthOf(v.Low&StateEstablished != 0)
		}
		return truthOf(v.Low&StateNew != 0 || p.Translated && v.Low&StateTranslated != 0)
	case Source:
		return addressed(p.Source, v, p.IPv6)
	case Dest:
		return addressed(p.Dest, v, p.IPv6)
	case DestCast:
		return v.contains(p.cast())
	case PacketMark:
		if p.Unmarked {
			return v.contains(0)
		}
	case Unknown:
	}
	return maybe
}

// cast returns the kind of the packet's destination. Clients look for servers
// and routers by broadcast and multicast.
func (p Packet) cast() uint64 {
	switch {
	case p.Cast != 0:
		return uint64(p.Cast)
	case p.Hook != Input:
		return CastUnicast
	case p.Port == portDHCP:
		return CastBroadcast
	case p.Port == PortDHCP6, p.Proto == "icmpv6":
		return CastMulticast
	}
	return CastLocal
}

func (p Packet) named(link string, v Value, never bool) truth {
	switch {
	case never:
		return no
	case v.Wild && v.Name == "":
		return yes
	case link == "":
		return maybe
	case v.Wild:
		return truthOf(strings.HasPrefix(link, v.Name))
	}
	return truthOf(link == v.Name)
}

func (p Packet) port(port uint16, v Value) truth {
	switch {
	case p.Proto == "icmp" || p.Proto == "icmpv6":
		return no
	case port == 0:
		return maybe
	}
	return v.contains(uint64(port))
}

func (v Value) contains(n uint64) truth { return truthOf(v.Low <= n && n <= v.High) }

func addressed(a netip.Addr, v Value, ipv6 bool) truth {
	switch {
	case v.Prefix.IsValid() && v.Prefix.Addr().Is6() != ipv6:
		return no
	case !a.IsValid() || !v.Prefix.IsValid():
		return maybe
	}
	return truthOf(v.Prefix.Contains(a))
}

// sees reports whether the chains of a table see the packet. One of family inet has
// the ingress of devices, too.
func (t *Table) sees(p Packet) bool {
	if p.Layer != "" {
		return t.Family == p.Layer || t.Family == Inet && p.Layer == Netdev && p.Hook == Ingress
	}
	return t.Family == Inet || t.Family == IPv6 && p.IPv6 || t.Family == IPv4 && !p.IPv6
}

// names reports whether one of the conditions is that the packet comes from or
// goes to this very interface.
func names(all []Match, link string) bool {
	return slices.ContainsFunc(all, func(m Match) bool {
		return (m.Field == InName || m.Field == OutName) && !m.Not &&
			slices.ContainsFunc(m.Values, func(v Value) bool { return !v.Wild && v.Name == link })
	})
}
