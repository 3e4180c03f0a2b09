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

// measure sends from the guest to the outside.
func measure(span time.Duration) (sample, error) {
	var s sample
	for _, m := range []struct {
		into *float64
		of   func(time.Duration) (float64, error)
	}{{&s.Packets, packets}, {&s.Stream, stream}, {&s.Flows, flows}} {
		rate, err := m.of(span)
		if err != nil {
			return s, err
		}
		*m.into = rate
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

// arrived returns how many packets the outside's card has received.
func arrived() (n uint64, err error) {
	err = inside("outside", func() error {
		link, err := netlink.LinkByName("eth0")
		if err == nil {
			n = link.Attrs().Statistics.RxPackets
		}
		return err
	})
	return n, err
}

// discard is a socket outside that takes UDP packets and that nobody reads: what
// it cannot hold is dropped, which costs least.
func discard() (io.Closer, error) {
	var sink net.PacketConn
	err := inside("outside", func() (err error) { sink, err = net.ListenPacket("udp4", outsideAddr+":9"); return err })
	return sink, err
}

// payload makes an Ethernet frame of 64 bytes, its checksum of four counted:
// 14 bytes of Ethernet, 20 of IPv4, 8 of UDP.
const payload = 64 - 4 - 14 - 20 - 8

// packets returns how many UDP packets a second of one flow arrive.
func packets(span time.Duration) (float64, error) {
	sink, err := discard()
	if err != nil {
		return 0, err
	}
	defer sink.Close() //nolint:errcheck // nothing was written
	var rate float64
	err = inside("guest", func() error {
		fd, err := dial(9)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // a socket
		before, err := arrived()
		if err != nil {
			return err
		}
		start := time.Now()
		for time.Since(start) < span {
			if err := burst(fd); err != nil {
				return err
			}
		}
		took := time.Since(start)
		after, err := arrived()
		rate = float64(after-before) / took.Seconds()
		return err
	})
	if err == nil && rate == 0 {
		err = errors.New("no packet arrived outside")
	}
	return rate, err
}

// dial makes a UDP socket of the guest to a port outside.
func dial(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	to := &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(outsideAddr).As4()}
	if err := unix.Connect(fd, to); err != nil {
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

// flows returns how many new flows a second the host takes up: the first packets
// of so many, which pass the NAT rules too.
func flows(time.Duration) (float64, error) {
	sink, err := discard()
	if err != nil {
		return 0, err
	}
	defer sink.Close() //nolint:errcheck // nothing was written
	const many = 8000
	var rate float64
	err = inside("guest", func() error {
		before, err := arrived()
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // a socket
		to := &unix.SockaddrInet4{Addr: netip.MustParseAddr(outsideAddr).As4()}
		start := time.Now()
		for i := range many {
			to.Port = 10000 + i
			if err := unix.Sendto(fd, make([]byte, payload), 0, to); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return err
			}
		}
		took := time.Since(start)
		after, err := arrived()
		rate = float64(after-before) / took.Seconds()
		return err
	})
	if flush := netlink.ConntrackTableFlush(netlink.ConntrackTable); err == nil {
		err = flush
	}
	return rate, err
}
