package netlink_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	vnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
)

// beyond adds a host behind the outside one, over a hop with a small MTU. It
// says that it takes larger packets, so that the hop has to refuse them.
func (s *site) beyond(t *testing.T, mtu int) *host {
	t.Helper()
	out := s.hosts["outside"]
	far := &host{name: "beyond", port: 7, ip4: addr("198.51.100.2"), ip6: addr("2001:db8:9::2")}
	far.guest = netnstest.NewOutside(t, far.name, "hop", netip.MustParsePrefix("198.51.100.1/24"), netip.PrefixFrom(far.ip4, 24))
	if text, err := exec.CommandContext(t.Context(), "ip", "link", "set", "hop", "netns", "outside").CombinedOutput(); err != nil {
		t.Fatalf("moving the hop: %v\n%s", err, text)
	}
	for _, command := range []string{
		"ip addr add 198.51.100.1/24 dev hop",
		"ip addr add 2001:db8:9::1/64 dev hop nodad",
		fmt.Sprintf("ip link set hop mtu %d up", mtu),
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0",
	} {
		words := strings.Fields(command)
		out.guest.Run(t, words[0], words[1:]...)
	}
	far.guest.Address(t, netip.PrefixFrom(far.ip6, 64))
	far.guest.Run(t, "ip", "route", "add", "default", "via", "198.51.100.1", "advmss", "1460")
	far.guest.Run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8:9::1", "advmss", "1440")
	return far
}

// bulk sends some data through one TCP connection and has it sent back.
func bulk(from, to *host, at netip.Addr) error {
	var l net.Listener
	err := to.guest.Do(func() (err error) { l, err = net.Listen("tcp", ":9"); return err })
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	var c net.Conn
	err = from.guest.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", netip.AddrPortFrom(at, 9).String(), patience)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	data := make([]byte, 300_000)
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); err != nil || int(n) != len(data) {
		return fmt.Errorf("%d of %d bytes came back: %w", n, len(data), err)
	}
	return nil
}

// datagram sends a large UDP datagram that must not be cut, until the sender is
// told how large it may be, and returns that.
func datagram(t *testing.T, from *host, to netip.Addr) (mtu int, err error) {
	var c net.Conn
	err = from.guest.Do(func() (err error) {
		c, err = net.Dial("udp", netip.AddrPortFrom(to, 99).String())
		return err
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	level, discover, get := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_MTU
	if to.Is6() {
		level, discover, get = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_MTU
	}
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, discover, unix.IP_PMTUDISC_DO) })
	if err != nil {
		return 0, err
	}
	netnstest.Wait(t, "being told the path MTU to "+to.String(), func() error {
		if _, werr := c.Write(make([]byte, 1400)); errors.Is(werr, syscall.EMSGSIZE) {
			_ = raw.Control(func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), level, get) })
			return nil
		}
		return os.ErrDeadlineExceeded
	})
	return mtu, err
}

// TestPathMTU: ICMP errors reach whom they are for, about what they sent, though
// nobody tracks the connection. TCP and UDP cannot do without them here.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		s := newSite(t)
		callBridge(t, "0")
		s.install(t, publicExt(true))
		const outer, inner = 1320, 1340
		far := s.beyond(t, outer)
		link, err := vnetlink.LinkByName("br-nat")
		if err != nil {
			t.Fatal(err)
		}
		if err := vnetlink.LinkSetMTU(link, inner); err != nil { // its guests' own cards stay at 1500
			t.Fatal(err)
		}
		web := s.hosts["web"]
		for _, c := range []struct{ public, remote netip.Addr }{
			{addr("203.0.113.7"), far.ip4}, {addr("2001:db8:7::7"), far.ip6},
		} {
			if mtu, err := datagram(t, web, c.remote); err != nil || mtu != outer {
				t.Errorf("UDP from the guest to %s: MTU %d, %v; want %d", c.remote, mtu, err, outer)
			}
			near := s.hosts["outside"]
			if mtu, err := datagram(t, near, c.public); err != nil || mtu != inner {
				t.Errorf("UDP to %s: MTU %d, %v; want %d", c.public, mtu, err, inner)
			}
			if err := bulk(web, far, c.remote); err != nil {
				t.Errorf("TCP from the guest to %s: %v", c.remote, err)
			}
			if err := bulk(far, web, c.public); err != nil {
				t.Errorf("TCP to %s: %v", c.public, err)
			}
			if err := bulk(near, web, c.public); err != nil {
				t.Errorf("TCP to %s from near: %v", c.public, err)
			}
		}
		if t.Failed() {
			t.Log(nft(t, "", "list", "ruleset"))
		}
	})
}
