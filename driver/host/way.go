package host

import (
	"errors"
	"net/netip"
	"path"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/doctor"
)

// lookup is what the kernel is asked about the way of a packet.
type lookup struct {
	to   netip.Addr
	from netip.Addr // invalid: any of the host's own
	in   string     // the link that it comes in by; "": the host itself sends it
}

// String is the question as a person asks it.
func (q lookup) String() string {
	text := "ip route get " + q.to.String()
	if q.from.IsValid() {
		text += " from " + q.from.String()
	}
	if q.in != "" {
		text += " iif " + q.in
	}
	return text
}

// way asks the kernel which way a packet takes, by all tables and rules of routing. For
// one that comes in it also says whether its source may come that way (rp_filter, RFC
// 3704): the error is EXDEV if not, or EINVAL since Linux 6.14, as for blackholes.
//
// Source: inet_rtm_getroute (net/ipv4/route.c), inet6_rtm_getroute (net/ipv6/route.c),
// ip-route(8) about "get".
func (h *Host) way(q lookup) doctor.Answer {
	a := doctor.Answer{Asked: q.String()}
	err := h.ask(q, &a)
	if err != nil {
		a.Refused = err.Error()
		a.Source = errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EINVAL) && h.strict(q)
	}
	return a
}

// Way asks the kernel which way a packet takes; in "": the host itself sends it. An
// invalid from is any of the host's own addresses.
func (h *Host) Way(to, from netip.Addr, in string) doctor.Answer {
	return h.way(lookup{to: to, from: from, in: in})
}

func (h *Host) ask(q lookup, a *doctor.Answer) error {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family(q.to)), Dst_len: uint8(q.to.BitLen()), Flags: unix.RTM_F_LOOKUP_TABLE}}
	req := h.nl.request(unix.RTM_GETROUTE, 0)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, q.to.AsSlice()))
	if q.from.IsValid() {
		msg.Src_len = uint8(q.from.BitLen())
		req.AddData(nl.NewRtAttr(unix.RTA_SRC, q.from.AsSlice()))
	}
	if q.in != "" {
		index, err := h.index(q.in)
		if err != nil {
			return err
		}
		req.AddData(nl.NewRtAttr(unix.RTA_IIF, nl.Uint32Attr(uint32(index))))
	}
	replies, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil {
		return err
	}
	for _, m := range replies {
		if len(m) >= unix.SizeofRtMsg {
			return h.answer(m, a)
		}
	}
	return syscall.ENETUNREACH
}

// answer reads a route. IPv6 tells refusals as routes of a type.
func (h *Host) answer(m []byte, a *doctor.Answer) error {
	switch m[7] { // rtm_type
	case unix.RTN_UNICAST:
	case unix.RTN_BLACKHOLE:
		return syscall.EINVAL
	case unix.RTN_PROHIBIT:
		return syscall.EACCES
	case unix.RTN_LOCAL:
		return errors.New("it is an address of the host")
	default:
		return syscall.EHOSTUNREACH
	}
	a.Table = uint32(m[4])
	for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_OIF:
			a.Link = h.linkName(uint32(number(value)))
		case unix.RTA_GATEWAY:
			a.Gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_TABLE:
			a.Table = uint32(number(value))
		}
	}
	return nil
}

// strict reports whether a reverse path filter drops what comes in by a link; of its own
// setting and that for all links the larger one counts.
func (h *Host) strict(q lookup) bool {
	all, _ := readSysctl("net/ipv4/conf/all/rp_filter")
	own, _ := readSysctl(path.Join("net/ipv4/conf", q.in, "rp_filter"))
	return q.to.Is4() && max(all, own) == 1 && h.way(lookup{to: q.from}).Link != q.in
}
