package coexist

// Wish is what a bridge's guests need.
type Wish struct {
	Bridge  string
	Forward bool      // packets between guests pass, where the host filters what it bridges
	Exits   []string  // links by which guests leave; none: they do not
	Enter   Inbound   // what of other links is for them
	Serve   []Service // what they may ask of the host

	// All: also tables and chains that have no documented place for rules of others,
	// or that somebody shut on purpose.
	All bool
}

// Inbound says which packets of other links are for guests. What may enter is decided
// by our own table; this is what would be let in without it.
type Inbound uint8

// The values of Inbound.
const (
	EnterNone      Inbound = iota
	EnterReplies           // of connections that guests made
	EnterForwarded         // these, and connections whose destination was translated
	EnterAny               // everything
)

// Service is one service of the host.
type Service struct {
	Proto string // "tcp" or "udp"
	Port  uint16
}

// Ports of services whose answers, or whose family, differ from those of others
// (RFC 2131, RFC 8415, RFC 1035).
const (
	portDNS   = 53
	portDHCP  = 67
	PortDHCP6 = 547
)

// Types of ICMPv6 without which there is no IPv6 on a link (RFC 4861).
const (
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighbourSolicitation = 135
	neighbourAdvert       = 136
)

// both returns packets of both families.
func both(p Packet) []Packet {
	six := p
	six.IPv6 = true
	return []Packet{p, six}
}

// Need returns the packets that must pass for a wish: the first ones of
// connections, and those that are none's. Each is also what the rule that
// accepts it asks for.
func Need(w Wish) []Packet {
	list := w.forwarded()
	for _, s := range w.Serve {
		in := Packet{Hook: Input, In: w.Bridge, Proto: s.Proto, Port: s.Port}
		out := Packet{Hook: Output, Out: w.Bridge, Proto: s.Proto, FromPort: s.Port}
		switch s.Port {
		case portDHCP: // a lease is renewed by unicast
			list = append(list, in, out)
			in.Cast = CastLocal
			list = append(list, in)
		case PortDHCP6:
			in.IPv6, out.IPv6 = true, true
			list = append(list, in, out)
		default:
			list = append(list, append(both(in), both(out)...)...)
		}
	}
	for _, kind := range []uint8{routerSolicitation, neighbourSolicitation, neighbourAdvert} {
		list = append(list, Packet{Hook: Input, IPv6: true, In: w.Bridge, Proto: "icmpv6", Type: kind})
	}
	for _, kind := range []uint8{routerAdvertisement, neighbourSolicitation, neighbourAdvert} {
		list = append(list, Packet{Hook: Output, IPv6: true, Out: w.Bridge, Proto: "icmpv6", Type: kind})
	}
	return list
}

// forwarded returns the packets that the host passes on. Those of guests name the
// link that they leave by: an accept without it would open other programs'
// networks, such as ports of containers that nobody published.
func (w *Wish) forwarded() []Packet {
	if !w.Forward {
		return nil
	}
	list := both(Packet{Hook: Forward, In: w.Bridge, Out: w.Bridge})
	for _, exit := range w.Exits {
		list = append(list, both(Packet{Hook: Forward, In: w.Bridge, Out: exit})...)
	}
	to := Packet{Hook: Forward, Out: w.Bridge}
	switch w.Enter {
	case EnterAny:
		return append(list, both(to)...)
	case EnterForwarded:
		to.Translated = true
		list = append(list, both(to)...)
		to.Translated = false
		fallthrough
	case EnterReplies:
		to.Reply = true
		list = append(list, both(to)...)
	case EnterNone:
	}
	return list
}
