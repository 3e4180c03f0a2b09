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

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// maxAsked bounds how many addresses of a bridge are asked for at once, and maxAwake
// how many that answer to all the kernel looks up then.
const (
	maxAsked = 1024
	maxAwake = 128
)

// Ask asks on a bridge who has some addresses, by ARP and by neighbour discovery,
// and returns all who say that they do; somebody may lie. Where all IPv6 nodes are
// among the addresses, they are asked to answer to the bridge's own, and the kernel
// looks up who does. It takes a quarter of a second: who answers first need not be
// the one who has an address.
//
// The questions come from the bridge's own addresses. A question without a source
// is what a guest asks that is about to take an address, and another guest that is
// at it would give it up (RFC 5227 section 2.1.1, RFC 4862 section 5.4.3).
func (h *Host) Ask(ctx context.Context, bridge string, addrs []netip.Addr) ([]step.Neighbour, error) {
	const doing = "asking for guests on"
	if err := checkLink(bridge); err != nil {
		return nil, opError(doing, bridge, err)
	}
	link, err := net.InterfaceByName(bridge)
	if err != nil {
		return nil, opError(doing, bridge, err)
	}
	q := &question{link: link, all: addrs[:min(len(addrs), maxAsked)]}
	if q.own, err = ownAddresses(link); err != nil {
		return nil, opError(doing, bridge, err)
	}
	defer q.close()
	if err := q.ask4(); err != nil {
		return nil, opError(doing, bridge, err)
	}
	if err := q.ask6(); err != nil {
		return nil, opError(doing, bridge, err)
	}
	found, err := q.hear(ctx)
	for _, a := range q.awake[:min(len(q.awake), maxAwake)] {
		if err := h.askNeighbour(link.Index, a); err != nil {
			h.log.DebugContext(ctx, "looking up a guest", "bridge", bridge, "err", err)
		}
	}
	return found, err
}

func ownAddresses(link *net.Interface) ([]netip.Prefix, error) {
	list, err := link.Addrs()
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	var own []netip.Prefix
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			addr, _ := netip.AddrFromSlice(n.IP)
			ones, _ := n.Mask.Size()
			own = append(own, netip.PrefixFrom(addr.Unmap(), ones))
		}
	}
	return own, nil
}

// question is one round of asking.
type question struct {
	link  *net.Interface
	own   []netip.Prefix
	all   []netip.Addr
	sent  []netip.Addr // what somebody may answer for
	once  bool         // one answer for each is enough
	woken bool         // all nodes were asked
	awake []netip.Addr // who answered to that
	files []unix.PollFd
	read  []func() (step.Neighbour, bool, error)
}

func (q *question) close() {
	for _, f := range q.files {
		_ = unix.Close(int(f.Fd))
	}
}

func (q *question) opened(fd int, read func() (step.Neighbour, bool, error)) {
	q.files = append(q.files, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	q.read = append(q.read, read)
}

// ask4 sends ARP requests.
func (q *question) ask4() error {
	list := filterAddrs(q.all, netip.Addr.Is4)
	if len(list) == 0 || len(q.link.HardwareAddr) != 6 {
		return nil
	}
	fd, err := q.listenARP(q.link.Index)
	if err != nil {
		return err
	}
	for _, a := range list {
		i := slices.IndexFunc(q.own, func(p netip.Prefix) bool { return p.Contains(a) })
		if i < 0 {
			continue
		}
		p := arpProbe(q.link.HardwareAddr, a)
		copy(p[14:18], q.own[i].Addr().AsSlice())
		if err := sendARP(fd, q.link, p); err != nil {
			return fmt.Errorf("asking for %s: %w", a, err)
		}
		q.sent = append(q.sent, a)
	}
	return nil
}

// Types of ICMPv6 (RFC 4443, RFC 4861) and options of neighbour discovery.
const (
	echoRequest   = 128
	echoReply     = 129
	advertisement = 136
	sourceLink    = 1
	targetLink    = 2
)

// ask6 sends neighbour solicitations to the groups of the addresses (RFC 4861
// section 4.3).
func (q *question) ask6() error {
	list := filterAddrs(q.all, netip.Addr.Is6)
	if len(list) == 0 || len(q.link.HardwareAddr) != 6 {
		return nil
	}
	fd, err := openDiscovery(q.link, advertisement)
	if err != nil {
		return fmt.Errorf("opening a socket for neighbour discovery: %w", err)
	}
	q.opened(fd, func() (step.Neighbour, bool, error) { return readAdvertisement(fd) })
	for _, a := range list {
		if a == netip.IPv6LinkLocalAllNodes() {
			q.wake()
			continue
		}
		p := append([]byte{solicitation, 0, 0, 0, 0, 0, 0, 0}, a.AsSlice()...)
		p = append(append(p, sourceLink, 1), q.link.HardwareAddr...)
		b := a.As16()
		group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]} // RFC 4291 section 2.7.1
		if err := unix.Sendto(fd, p, 0, &unix.SockaddrInet6{Addr: group, ZoneId: uint32(q.link.Index)}); err != nil {
			return fmt.Errorf("asking for %s: %w", a, err)
		}
		q.sent = append(q.sent, a)
	}
	return nil
}

// openDiscovery opens a socket for neighbour discovery, as RFC 4861 section 4
// wants its packets, that takes messages of one type only.
func openDiscovery(link *net.Interface, takes int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return 0, err
	}
	const hops = 255
	for _, set := range []struct{ option, value int }{
		{unix.IPV6_MULTICAST_HOPS, hops}, {unix.IPV6_MULTICAST_IF, link.Index}, {unix.IPV6_MULTICAST_LOOP, 0}, {unix.IPV6_RECVHOPLIMIT, 1},
	} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, set.option, set.value)
		}
	}
	if err == nil {
		err = unix.BindToDevice(fd, link.Name)
	}
	if err == nil {
		var block unix.ICMPv6Filter
		for i := range block.Data {
			block.Data[i] = ^uint32(0)
		}
		block.Data[takes/32] &^= 1 << (takes % 32)
		err = unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &block)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// readAdvertisement reads who says by neighbour discovery that an address is his.
// Packets that a router has passed on count for nothing (RFC 4861 section 7.1.2).
func readAdvertisement(fd int) (n step.Neighbour, ok bool, err error) {
	buf, control := make([]byte, 256), make([]byte, 64)
	size, oobn, _, _, err := unix.Recvmsg(fd, buf, control, 0)
	if err != nil {
		return n, false, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:oobn])
	if err != nil {
		return n, false, nil //nolint:nilerr // a packet that the kernel tells nothing of
	}
	near := slices.ContainsFunc(messages, func(m unix.SocketControlMessage) bool {
		return m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4 && binary.NativeEndian.Uint32(m.Data) == 255
	})
	const target, options = 8, 24
	if !near || size < options || buf[0] != advertisement {
		return n, false, nil
	}
	n.Address, _ = netip.AddrFromSlice(buf[target:options])
	for rest := buf[options:size]; len(rest) >= 8 && rest[1] > 0; {
		length := int(rest[1]) * 8
		if rest[0] == targetLink && rest[1] == 1 {
			n.MAC, ok = xml.MAC(rest[2:8]), true
		}
		rest = rest[min(length, len(rest)):]
	}
	return n, ok, nil
}

// wake asks all IPv6 nodes to answer to the bridge's addresses: an echo request to all
// of them (RFC 4443 section 4.1), which they answer from an address of the same
// prefix. Windows does not answer.
func (q *question) wake() {
	for _, own := range q.own {
		if !own.Addr().Is6() || own.Addr().IsLinkLocalUnicast() {
			continue
		}
		fd, err := openDiscovery(q.link, echoReply)
		if err != nil {
			return
		}
		q.opened(fd, func() (step.Neighbour, bool, error) { return step.Neighbour{}, false, q.readEcho(fd) })
		q.woken = true
		if unix.Bind(fd, &unix.SockaddrInet6{Addr: own.Addr().As16()}) == nil { // else: it is gone, or new
			nodes := netip.IPv6LinkLocalAllNodes().As16()
			_ = unix.Sendto(fd, []byte{echoRequest, 0, 0, 0, 0, 0, 0, 0}, 0, &unix.SockaddrInet6{Addr: nodes, ZoneId: uint32(q.link.Index)})
		}
	}
}

// readEcho reads who is awake.
func (q *question) readEcho(fd int) error {
	_, from, err := unix.Recvfrom(fd, make([]byte, 64), 0)
	if err != nil {
		return err
	}
	if sender, ok := from.(*unix.SockaddrInet6); ok && len(q.awake) < maxAwake {
		a := netip.AddrFrom16(sender.Addr)
		inside := slices.ContainsFunc(q.own, func(p netip.Prefix) bool { return p.Contains(a) })
		if inside && !a.IsLinkLocalUnicast() && !slices.Contains(q.awake, a) {
			q.awake = append(q.awake, a)
		}
	}
	return nil
}

// hear collects answers until the time is up.
func (q *question) hear(ctx context.Context) ([]step.Neighbour, error) {
	var found []step.Neighbour
	for end := time.Now().Add(arpPatience); q.woken || len(q.sent) > 0; {
		wait := time.Until(end)
		if err := ctx.Err(); err != nil || wait <= 0 || len(found) >= 4*maxAsked || q.once && len(found) >= len(q.sent) {
			return found, err
		}
		if _, err := unix.Poll(q.files, int(wait.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return found, fmt.Errorf("waiting for answers: %w", err)
		}
		for _, read := range q.read {
			n, ok, err := read()
			if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
				return found, fmt.Errorf("reading answers: %w", err)
			}
			known := func(o step.Neighbour) bool { return o == n || q.once && o.Address == n.Address }
			if err == nil && ok && slices.Contains(q.sent, n.Address) && !slices.ContainsFunc(found, known) {
				found = append(found, n)
			}
		}
	}
	return found, nil
}

func filterAddrs(list []netip.Addr, keep func(netip.Addr) bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !keep(a) })
}
