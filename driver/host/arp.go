package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
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
	q := &question{sent: addrs, once: true}
	defer q.close()
	fd, err := q.listenARP(0)
	if err != nil {
		return nil, err
	}
	for i := range links {
		for _, a := range addrs {
			if err := sendARP(fd, &links[i], arpProbe(links[i].HardwareAddr, a)); err != nil {
				h.log.DebugContext(ctx, "probing for an address", "link", links[i].Name, "err", err) // down, or full
			}
		}
	}
	var list []netip.Addr
	found, err := q.hear(ctx)
	for _, n := range found {
		list = append(list, n.Address)
	}
	return list, err
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

// sendARP sends an ARP packet to everybody on a link.
func sendARP(fd int, link *net.Interface, p []byte) error {
	everybody := [8]byte{255, 255, 255, 255, 255, 255}
	return unix.Sendto(fd, p, 0, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ARP), Ifindex: link.Index, Halen: 6, Addr: everybody})
}

// listenARP opens a socket for ARP on a link; 0: on all.
func (q *question) listenARP(index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("opening a socket for ARP: %w", err)
	}
	q.opened(fd, func() (step.Neighbour, bool, error) { return readARP(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ARP), Ifindex: index}); err != nil {
		return 0, fmt.Errorf("opening a socket for ARP: %w", err)
	}
	return fd, nil
}

// readARP reads who says by ARP, in a request or a reply, that an address is his.
func readARP(fd int) (n step.Neighbour, ok bool, err error) {
	buf := make([]byte, 64)
	size, from, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return n, false, err
	}
	if ll, is := from.(*unix.SockaddrLinklayer); is && ll.Pkttype == unix.PACKET_OUTGOING || size < 28 || buf[4] != 6 || buf[5] != 4 {
		return n, false, nil
	}
	n.Address, ok = netip.AddrFromSlice(buf[14:18])
	n.MAC = xml.MAC(buf[8:14])
	return n, ok, nil
}

// bigEndian returns a protocol's number as the kernel wants it in addresses.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
