package host

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// news is what the kernel tells of changes, which it queues before a change is
// over. It is read when somebody asks.
type news struct {
	fd     int // 0: not open
	buffer []byte
}

// notices is how many bytes of notifications the kernel may keep for us: some
// thousands of changes. When there are more, some are lost, which it says.
const notices = 4 << 20

// open subscribes to groups of rtnetlink.
func (n *news) open(groups ...int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	// Where we may not have so much, the default does, with more dumps.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, notices)
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("subscribing to changes of links and routes: %w", err)
	}
	n.fd, n.buffer = fd, make([]byte, 64<<10)
	return nil
}

func (n *news) close() {
	if n.fd != 0 {
		_ = unix.Close(n.fd)
		n.fd = 0
	}
}

// read calls take for each notification that is there, and reports whether none
// was lost.
func (n *news) read(take func(syscall.NetlinkMessage)) (whole bool) {
	whole = true
	for {
		size, _, flags, from, err := unix.Recvmsg(n.fd, n.buffer, nil, 0)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return whole
		case errors.Is(err, syscall.ENOBUFS):
			whole = false
			continue
		case err != nil:
			return false
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != nl.PidKernel {
			continue // somebody who pretends to be the kernel
		}
		messages, err := syscall.ParseNetlinkMessage(n.buffer[:size])
		if err != nil || flags&unix.MSG_TRUNC != 0 {
			whole = false
			continue
		}
		for _, m := range messages {
			take(m)
		}
	}
}
