package host

import (
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
