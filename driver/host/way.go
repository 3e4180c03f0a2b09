package host

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// lookup is what the kernel is asked about the way of a packet.
type lookup struct {
	to   netip.Addr
	from netip.Addr // invalid: any of the host's own
	in   int        // the link that it comes in by; 0: the host itself sends it
}

// answer is the way that it takes.
type answer struct {
	link    int // 0: none
	gateway netip.Addr
	table   uint32
	err     error // why there is none
}

// way asks the kernel which way a packet takes, by all tables and rules of routing. For
// one that comes in it also says whether its source may come that way (rp_filter, RFC
// 3704): the error is EXDEV if not, or EINVAL since Linux 6.14.
//
// Source: inet_rtm_getroute (net/ipv4/route.c), inet6_rtm_getroute (net/ipv6/route.c),
// ip-route(8) about "get".
func (h *Host) way(q lookup) answer {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family(q.to)), Dst_len: uint8(q.to.BitLen()), Flags: unix.RTM_F_LOOKUP_TABLE}}
	req := h.nl.request(unix.RTM_GETROUTE, 0)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, q.to.AsSlice()))
	if q.from.IsValid() {
		msg.Src_len = uint8(q.from.BitLen())
		req.AddData(nl.NewRtAttr(unix.RTA_SRC, q.from.AsSlice()))
	}
	if q.in != 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_IIF, nl.Uint32Attr(uint32(q.in))))
	}
	replies, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil {
		return answer{err: err}
	}
	for _, m := range replies {
		if len(m) >= unix.SizeofRtMsg {
			return answerOf(m)
		}
	}
	return answer{err: syscall.ENETUNREACH}
}

// answerOf reads a route. IPv6 tells refusals as routes of a type.
func answerOf(m []byte) answer {
	var a answer
	switch m[7] { // rtm_type
	case unix.RTN_UNICAST:
	case unix.RTN_BLACKHOLE:
		return answer{err: syscall.EINVAL}
	case unix.RTN_PROHIBIT:
		return answer{err: syscall.EACCES}
	case unix.RTN_LOCAL:
		return answer{err: errors.New("it is an address of the host")}
	default:
		return answer{err: syscall.EHOSTUNREACH}
	}
	a.table = uint32(m[4])
	for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_OIF:
			a.link = number(value)
		case unix.RTA_GATEWAY:
			a.gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_TABLE:
			a.table = uint32(number(value))
		}
	}
	return a
}
