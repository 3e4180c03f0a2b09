package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a probe: how long an answer may take, and how many links are asked.
// Neighbours answer within a millisecond, sleepy ones behind an access point in
// a tenth of a second.
const (
	arpPatience = 250 * time.Millisecond
	arpLinks    = 32
)

// Answers asks the neighbours on all Ethernet links for IPv4 addresses, with ARP
// probes (RFC 5227 section 2.1.1), which put nothing into anybody's cache. It
// returns the addresses that somebody has. Ports of bridges are left out: who is
// behind them is on the bridge. It takes a quarter of a second.
func (h *Host) Answers(ctx context.Context, addrs []netip.Addr) ([]netip.Addr, error) {
	links, err := h.arpLinks(ctx)
	if err != nil || len(links) == 0 {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(bigEndian(unix.ETH_P_ARP)))
	if err != nil {
		return nil, fmt.Errorf("opening a socket for ARP: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	for _, l := range links {
		for _, a := range addrs {
			to := &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ARP), Ifindex: l.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
			if err := unix.Sendto(fd, arpProbe(l.HardwareAddr, a), 0, to); err != nil {
				h.log.DebugContext(ctx, "probing for an address", "link", l.Name, "err", err) // down, or full
			}
		}
	}
	return h.arpAnswers(ctx, fd, addrs)
}

// arpLinks returns the links where there may be neighbours.
func (h *Host) arpLinks(ctx context.Context) ([]net.Interface, error) {
	known, _, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	const wanted = net.FlagUp | net.FlagRunning | net.FlagBroadcast
	all = slices.DeleteFunc(all, func(l net.Interface) bool {
		return l.Flags&wanted != wanted || len(l.HardwareAddr) != 6 || known[l.Name].Master != ""
	})
	return all[:min(len(all), arpLinks)], nil
}

// arpProbe is an ARP request without a sender's IP address (RFC 826).
func arpProbe(sender net.HardwareAddr, target netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	p = append(p, sender...)
	p = append(p, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(p, target.AsSlice()...)
}

// arpAnswers reads what comes in until the time is up, or all have answered.
func (h *Host) arpAnswers(ctx context.Context, fd int, addrs []netip.Addr) ([]netip.Addr, error) {
	var found []netip.Addr
	buf := make([]byte, 64)
	for end := time.Now().Add(arpPatience); len(found) < len(addrs); {
		wait := time.Until(end)
		if err := ctx.Err(); err != nil || wait <= 0 {
			return found, err
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return found, fmt.Errorf("waiting for ARP: %w", err)
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("reading ARP: %w", err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if a, ok := arpSender(buf[:n]); ok && slices.Contains(addrs, a) && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	return found, nil
}

// arpSender returns who says that an address is his, by a request or a reply.
func arpSender(p []byte) (netip.Addr, bool) {
	if len(p) < 28 || p[4] != 6 || p[5] != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(p[14:18])
}

// bigEndian returns a protocol's number as the kernel wants it in addresses.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
