package coexist

// Wish is what a bridge's guests need.
type Wish struct {
	Bridge  string
	Forward bool      // their packets are passed on, and packets for them
	Serve   []Service // what they may ask of the host
}

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
	portDHCP6 = 547
)

// Types of ICMPv6 without which there is no IPv6 on a link (RFC 4861).
const (
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighbourSolicitation = 135
	neighbourAdvert       = 136
)

// Need returns the packets that must pass for a wish: the first ones of
// connections, and those that are none's. Each is also what the rule that
// accepts it asks for.
func Need(w Wish) []Packet {
	var list []Packet
	both := func(p Packet) {
		list = append(list, p)
		p.IPv6 = true
		list = append(list, p)
	}
	if w.Forward {
		both(Packet{Hook: Forward, In: w.Bridge})
		both(Packet{Hook: Forward, Out: w.Bridge})
	}
	for _, s := range w.Serve {
		in := Packet{Hook: Input, In: w.Bridge, Proto: s.Proto, Port: s.Port}
		out := Packet{Hook: Output, Out: w.Bridge, Proto: s.Proto, FromPort: s.Port}
		switch s.Port {
		case portDHCP: // a lease is renewed by unicast
			list = append(list, in, out)
			in.Cast = CastLocal
			list = append(list, in)
		case portDHCP6:
			in.IPv6, out.IPv6 = true, true
			list = append(list, in, out)
		default:
			both(in)
			both(out)
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
