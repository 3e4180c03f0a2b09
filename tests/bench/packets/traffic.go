package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// way is one direction of traffic: from a namespace to an address and port, and the
// namespace where that arrives. Both have one card, eth0.
type way struct {
	from, to string
	listen   string // where the packets arrive
	addr     netip.Addr
	port     int
}

// The ways of packets: out to port 9 of the outside (discard, RFC 863), and in by
// forward number 1 of the first network.
var (
	out = way{"guest", "outside", outsideAddr + ":9", netip.MustParseAddr(outsideAddr), 9}
	in  = way{"outside", "guest", guestAddr + ":7", netip.MustParseAddr(uplinkAddr), firstPort}
)

// measure sends from the guest to the outside and, where something is forwarded,
// from there to the guest.
func measure(span time.Duration, forwards bool) (sample, error) {
	var s sample
	type part struct {
		into *float64
		of   func() (float64, error)
	}
	parts := []part{
		{&s.Packets, func() (float64, error) { return out.packets(span) }},
		{&s.Stream, func() (float64, error) { return stream(span) }},
		{&s.Flows, out.flows},
	}
	if forwards {
		parts = append(parts, part{&s.In, func() (float64, error) { return in.packets(span) }}, part{&s.InFlows, in.flows})
	}
	for _, p := range parts {
		rate, err := p.of()
		if err != nil {
			return s, err
		}
		*p.into = rate
	}
	return s, nil
}

// inside runs fn on a thread in a named namespace.
func inside(name string, fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies
		ns, err := netns.GetFromName(name)
		if err == nil {
			err = netns.Set(ns)
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

// arrived returns how many packets the card at the end has received.
func (w way) arrived() (n uint64, err error) {
	err = inside(w.to, func() error {
		link, err := netlink.LinkByName("eth0")
		if err == nil {
			n = link.Attrs().Statistics.RxPackets
		}
		return err
	})
	return n, err
}

// sink is a socket that takes UDP packets and that nobody reads: what it cannot
// hold is dropped, which costs least.
func (w way) sink() (io.Closer, error) {
	var sink net.PacketConn
	err := inside(w.to, func() (err error) { sink, err = net.ListenPacket("udp4", w.listen); return err })
	return sink, err
}

// payload makes an Ethernet frame of 64 bytes, its checksum of four counted:
// 14 bytes of Ethernet, 20 of IPv4, 8 of UDP.
const payload = 64 - 4 - 14 - 20 - 8

// packets returns how many UDP packets a second of one flow arrive.
func (w way) packets(span time.Duration) (float64, error) {
	return w.rate(1, func(sockets []int) error {
		for start := time.Now(); time.Since(start) < span; {
			if err := burst(sockets[0]); err != nil {
				return err
			}
		}
		return nil
	})
}

// manyFlows is how many flows are new in one measurement.
const manyFlows = 2000

// flows returns how many new flows a second the host takes up: the first packets
// of so many, which pass the NAT rules too. It forgets them again.
func (w way) flows() (float64, error) {
	rate, err := w.rate(manyFlows, func(sockets []int) error {
		for _, fd := range sockets {
			if _, err := unix.Write(fd, make([]byte, payload)); err != nil {
				return fmt.Errorf("sending: %w", err)
			}
		}
		return nil
	})
	return rate, errors.Join(err, netlink.ConntrackTableFlush(netlink.ConntrackTable))
}

// rate returns how many packets a second arrive while some sockets, each with a
// port of its own, send.
func (w way) rate(sockets int, send func([]int) error) (rate float64, err error) {
	sink, err := w.sink()
	if err != nil {
		return 0, err
	}
	defer sink.Close() //nolint:errcheck // nothing was written
	err = inside(w.from, func() error {
		fds := make([]int, 0, sockets)
		defer func() {
			for _, fd := range fds {
				_ = unix.Close(fd) // a socket
			}
		}()
		for range sockets {
			fd, err := w.dial()
			if err != nil {
				return err
			}
			fds = append(fds, fd)
		}
		before, err := w.arrived()
		if err != nil {
			return err
		}
		start := time.Now()
		if err := send(fds); err != nil {
			return err
		}
		took := time.Since(start)
		after, err := w.arrived()
		rate = float64(after-before) / took.Seconds()
		return err
	})
	if err == nil && rate == 0 {
		err = fmt.Errorf("no packet arrived at %s", w.listen)
	}
	return rate, err
}

// dial makes a UDP socket to the far end.
func (w way) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: w.port, Addr: w.addr.As4()}); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// burst sends many packets with one system call: the caller's own cost is not
// what is measured.
func burst(fd int) error {
	type message struct {
		header unix.Msghdr
		length uint32
		_      [4]byte
	}
	const many = 128
	var data [payload]byte
	vector := unix.Iovec{Base: &data[0], Len: payload}
	list := make([]message, many)
	for i := range list {
		list[i].header.Iov, list[i].header.Iovlen = &vector, 1
	}
	for len(list) > 0 {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&list[0])), uintptr(len(list)), 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("sending: %w", errno)
		}
		list = list[n:]
	}
	return nil
}

// stream returns how many bytes a second one TCP connection carries.
func stream(span time.Duration) (float64, error) {
	var listener net.Listener
	err := inside("outside", func() (err error) { listener, err = net.Listen("tcp4", outsideAddr+":9"); return err })
	if err != nil {
		return 0, err
	}
	defer listener.Close() //nolint:errcheck // nothing was written
	received := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			received <- 0
			return
		}
		n, _ := io.Copy(io.Discard, struct{ io.Reader }{conn})
		received <- n
	}()
	var conn net.Conn
	if err := inside("guest", func() (err error) { conn, err = net.Dial("tcp4", outsideAddr+":9"); return err }); err != nil {
		return 0, err
	}
	data := make([]byte, 1<<17)
	start := time.Now()
	for time.Since(start) < span {
		if _, err := conn.Write(data); err != nil {
			return 0, errors.Join(err, conn.Close())
		}
	}
	if err := conn.Close(); err != nil {
		return 0, err
	}
	n := <-received
	return float64(n) / time.Since(start).Seconds(), nil
}
