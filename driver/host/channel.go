package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// channel is a netlink socket for what is long: lists, whose entries are handed
// on in place and never kept together, and notifications, which are waited for.
// One goroutine may use it at a time, but for interrupt.
type channel struct {
	file   *os.File
	raw    syscall.RawConn
	buffer []byte
	number uint32 // of the last request
}

// notices is how many bytes of notifications the kernel may keep for us: some
// thousands of changes. When there are more, some are lost, which it says.
const notices = 4 << 20

// openChannel opens a netlink socket of a protocol and joins multicast groups.
func openChannel(protocol int, groups ...int) (*channel, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	c := &channel{file: os.NewFile(uintptr(fd), "netlink"), buffer: make([]byte, 64<<10)}
	if err := c.setUp(fd, groups); err != nil {
		c.close()
		return nil, fmt.Errorf("setting up netlink: %w", err)
	}
	return c, nil
}

func (c *channel) setUp(fd int, groups []int) (err error) {
	if len(groups) > 0 {
		// Where we may not have so much, more is missed, and said so.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, notices)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return err
		}
	}
	c.raw, err = c.file.SyscallConn()
	return err
}

// filter has the kernel keep messages from the channel that a classic BPF program
// does not take. What came before stays.
func (c *channel) filter(code []unix.SockFilter) error {
	return control(c.file, func(fd int) error { return attachFilter(fd, code) })
}

func (c *channel) close() {
	if c != nil {
		_ = c.file.Close()
	}
}

// interrupt ends what waits on the channel, now and later.
func (c *channel) interrupt() { _ = c.file.SetDeadline(time.Unix(1, 0)) }

// appendMessage appends a request to b: the kernel's header, and a body that is
// padded already. It takes the next number.
func (c *channel) appendMessage(b []byte, typ, flags uint16, body []byte) []byte {
	c.number++
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, c.number)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, body...)
}

// send sends messages to the kernel, which works them off before it returns.
func (c *channel) send(messages []byte) error {
	var failed error
	err := c.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), messages, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	return errors.Join(err, failed)
}

// receive waits for what the kernel says next and calls each for every message
// of it. The messages live until the next call. ENOBUFS: some were lost.
func (c *channel) receive(each func(m syscall.NetlinkMessage)) error {
	_, err := c.next(true, each)
	return err
}

// next is [channel.receive], which without waiting reports whether there was
// something.
func (c *channel) next(wait bool, each func(m syscall.NetlinkMessage)) (bool, error) {
	var n, flags int
	var from unix.Sockaddr
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		n, _, flags, from, failed = unix.Recvmsg(int(fd), c.buffer, nil, unix.MSG_DONTWAIT)
		again := errors.Is(failed, unix.EAGAIN) || errors.Is(failed, unix.EINTR)
		return !again || !wait && errors.Is(failed, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return false, err
	case !wait && errors.Is(failed, unix.EAGAIN):
		return false, nil
	case failed != nil:
		return false, failed
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
		return true, nil // somebody who pretends to be the kernel
	}
	messages, err := syscall.ParseNetlinkMessage(c.buffer[:n])
	if err != nil || flags&unix.MSG_TRUNC != 0 {
		return true, unix.ENOBUFS
	}
	for _, m := range messages {
		each(m)
	}
	return true, nil
}

// drain calls take for each notification that is there, and reports whether none was
// lost.
func (c *channel) drain(take func(m syscall.NetlinkMessage)) (whole bool) {
	whole = true
	for {
		more, err := c.next(false, take)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			whole = false
		case err != nil:
			return false
		case !more:
			return whole
		}
	}
}

// dump asks for a list and calls each with the body of every entry.
func (c *channel) dump(ctx context.Context, typ, flags uint16, body []byte, each func(body []byte)) error {
	if err := c.file.SetReadDeadline(time.Now().Add(netlinkPatience)); err != nil {
		return err
	}
	if err := c.send(c.appendMessage(nil, typ, unix.NLM_F_DUMP|flags, body)); err != nil {
		return err
	}
	done, interrupted, failed := false, false, error(nil)
	for !done {
		err := c.receive(func(m syscall.NetlinkMessage) {
			if m.Header.Seq != c.number || done {
				return
			}
			interrupted = interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch m.Header.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done, failed = true, status(m.Data)
			default:
				each(m.Data)
			}
		})
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if failed == nil && interrupted {
		failed = netlink.ErrDumpInterrupted
	}
	return failed
}

// work sends requests, the last of which asks for an answer, and waits for that.
// It returns the first error that ignored does not name.
func (c *channel) work(messages []byte, ignored error) error {
	if err := c.file.SetReadDeadline(time.Now().Add(netlinkPatience)); err != nil {
		return err
	}
	if err := c.send(messages); err != nil {
		return err
	}
	done, failed := false, error(nil)
	for !done {
		err := c.receive(func(m syscall.NetlinkMessage) {
			if m.Header.Type != unix.NLMSG_ERROR {
				return
			}
			done = done || m.Header.Seq == c.number
			if err := status(m.Data); failed == nil && !errors.Is(err, ignored) {
				failed = err
			}
		})
		if err != nil {
			return err
		}
	}
	return failed
}

// status reads the number that begins the end of an answer: zero or a negative
// errno.
func status(b []byte) error {
	if len(b) < 4 {
		return unix.EBADMSG
	}
	if n := int32(binary.NativeEndian.Uint32(b)); n != 0 {
		return unix.Errno(-n)
	}
	return nil
}

// appendAttribute appends a netlink attribute.
func appendAttribute(b []byte, typ uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(value)%4)%4)...)
}

// appendNested appends a netlink attribute that holds others.
func appendNested(b []byte, typ uint16, attributes []byte) []byte {
	return appendAttribute(b, typ|unix.NLA_F_NESTED, attributes)
}
