package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DHCPv6's ports, and the group of all servers and relays on a link (RFC 9915 section 7).
const (
	clientPort = 546
	serverPort = 547
	servers    = "ff02::1:2"
)

// Lengths of headers in bytes.
const (
	ip6Header = 40
	udpHeader = 8
)

// socket is a packet socket on one link. It takes no UDP port, because the host's own
// DHCPv6 client, which may come and go, needs that: two sockets would take each other's
// answers. It also hears what a packet filter would not let in.
type socket struct {
	file  *os.File
	index int
	from  netip.Addr // the link's link-local address
}

// listen opens a socket on a link that is up.
func listen(link string) (*socket, error) {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return nil, fmt.Errorf("there is no link %q", link)
	}
	if ifi.Flags&net.FlagRunning == 0 {
		return nil, fmt.Errorf("%s is down, or has no carrier", link)
	}
	from, err := linkLocal(ifi)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // nothing is heard before the filter is there
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket: %w", err)
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, answers())
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IPV6), Ifindex: ifi.Index})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listening on %s: %w", link, err)
	}
	return &socket{file: os.NewFile(uintptr(fd), link), index: ifi.Index, from: from}, nil
}

func linkLocal(ifi *net.Interface) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("listing the addresses of %s: %w", ifi.Name, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no link-local address: is IPv6 disabled there?", ifi.Name)
}

// answers is a filter that only datagrams to a DHCPv6 client pass: classic BPF on a
// packet that begins with its IPv6 header.
func answers() *unix.SockFprog {
	const load8, load16, equal, leave = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{
		{Code: load8, K: 6}, // next header
		{Code: equal, K: unix.IPPROTO_UDP, Jf: 3},
		{Code: load16, K: ip6Header + 2}, // destination port
		{Code: equal, K: clientPort, Jf: 1},
		{Code: leave, K: 1 << 16},
		{Code: leave, K: 0},
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
}

func htons(n uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)) }

func (s *socket) close() { _ = s.file.Close() }

// send sends a message to all servers on the link.
func (s *socket) send(msg []byte) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("sending a DHCPv6 message: %w", err)
	}
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IPV6), Ifindex: s.index, Halen: 6, Addr: [8]byte{0x33, 0x33, 0, 1, 0, 2}} // RFC 2464 section 7
	packet := datagram(s.from, netip.MustParseAddr(servers), msg)
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), packet, 0, to)
		return !errors.Is(sent, unix.EAGAIN)
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("sending a DHCPv6 message: %w", err)
	}
	return nil
}

// datagram returns an IPv6 packet with a UDP datagram from a client to a server.
func datagram(from, to netip.Addr, msg []byte) []byte {
	size := udpHeader + len(msg)
	p := make([]byte, ip6Header, ip6Header+size)
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], uint16(size))
	p[6], p[7] = unix.IPPROTO_UDP, 1
	copy(p[8:], from.AsSlice())
	copy(p[24:], to.AsSlice())
	for _, n := range []uint16{clientPort, serverPort, uint16(size), 0} {
		p = binary.BigEndian.AppendUint16(p, n)
	}
	p = append(p, msg...)
	sum := uint32(size) + unix.IPPROTO_UDP // RFC 8200 section 8.1
	for i := 8; i < len(p); i += 2 {
		sum += uint32(p[i]) << 8
		if i+1 < len(p) {
			sum += uint32(p[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum = ^sum & 0xffff; sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p[ip6Header+6:], uint16(sum))
	return p
}

// receive returns the next message of somebody on the link; nil: the time is over, or
// it was none.
func (s *socket) receive(ctx context.Context, until time.Time, buf []byte) ([]byte, error) {
	if err := s.file.SetReadDeadline(until); err != nil {
		return nil, fmt.Errorf("waiting for a DHCPv6 message: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := s.file.Read(buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("receiving a DHCPv6 message: %w", err)
	}
	return payload(buf[:n]), nil
}

// payload returns what a datagram to a client holds that comes from the link itself: a
// router answers from its link-local address, and who is farther away has no say.
func payload(p []byte) []byte {
	if len(p) < ip6Header+udpHeader {
		return nil
	}
	size := int(binary.BigEndian.Uint16(p[ip6Header+4:]))
	if !netip.AddrFrom16([16]byte(p[8:24])).IsLinkLocalUnicast() || size < udpHeader || size > len(p)-ip6Header {
		return nil
	}
	return p[ip6Header+udpHeader : ip6Header+size]
}
