package host

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// socket is a long-lived rtnetlink socket. It serves one request at a time and
// may be used by several goroutines.
type socket struct {
	handles map[int]*nl.SocketHandle
}

// openSocket opens a socket in the thread's network namespace. strict makes the
// kernel honour the filters of dumps, and refuse what it does not understand.
func openSocket(strict bool) (*socket, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	limit := unix.NsecToTimeval(netlinkPatience.Nanoseconds())
	for _, set := range []func() error{
		func() error { return s.SetReceiveTimeout(&limit) },
		func() error { return s.SetSendTimeout(&limit) },
		func() error {
			if !strict {
				return s.SetExtAck(true)
			}
			// No explanations here: the library takes those that end a
			// dump, which echo no request, apart wrongly and panics.
			return unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
		},
	} {
		if err := set(); err != nil {
			s.Close()
			return nil, fmt.Errorf("setting up netlink (Linux 4.20 or newer is needed): %w", err)
		}
	}
	return &socket{map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (s *socket) close() {
	if s != nil {
		s.handles[unix.NETLINK_ROUTE].Close()
	}
}

// request starts a request. Its Execute sends it and waits for the answer.
func (s *socket) request(command, flags int) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{
			Len:   unix.SizeofNlMsghdr,
			Type:  uint16(command),
			Flags: unix.NLM_F_REQUEST | uint16(flags),
		},
		Sockets: s.handles,
	}
}

// change asks for a change, and waits until it is made.
func (s *socket) change(command, flags int, parts ...nl.NetlinkRequestData) error {
	req := s.request(command, flags|unix.NLM_F_ACK)
	for _, p := range parts {
		req.AddData(p)
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// attrs is a body with attributes.
type attrs []nl.NetlinkRequestData

func (a *attrs) put(typ int, value []byte) { *a = append(*a, nl.NewRtAttr(typ, value)) }

// linkMessage is a body about the link of an index.
func linkMessage(family, index int) *nl.IfInfomsg {
	msg := nl.NewIfInfomsg(family)
	msg.Index = int32(index)
	return msg
}

// list asks for a list, and calls each with every entry and start before the first: once
// more where something changed meanwhile. The kernel numbers what it tells of two below
// what asks for it.
func (h *Host) list(ctx context.Context, what string, command int, start func(), each func(m []byte), parts ...nl.NetlinkRequestData) error {
	return h.whole(ctx, what, func() error {
		start()
		req := h.dumps.request(command, unix.NLM_F_DUMP)
		for _, p := range parts {
			req.AddData(p)
		}
		return req.ExecuteIter(unix.NETLINK_ROUTE, uint16(command-2), func(m []byte) bool {
			each(m)
			return true
		})
	})
}
