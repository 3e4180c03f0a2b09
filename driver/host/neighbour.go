package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// proxyNeighbour has the kernel answer on a link for an address that lives
// elsewhere. It does so where forwarding is on and, for IPv4, where the address
// is routed to another link. Those who knew the address before are told.
func (h *Host) proxyNeighbour(ctx context.Context, op step.ProxyNeighbour) error {
	doing := fmt.Sprintf("answering for %s on", op.Address)
	err := checkLink(op.Link)
	if err == nil && !usable(op.Address) {
		err = syscall.EINVAL
	}
	if err != nil {
		return opError(doing, op.Link, err)
	}
	index, err := h.index(op.Link)
	if err == nil {
		err = h.answerProxies(ctx, op)
	}
	if err == nil {
		err = h.changeProxy(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, op.Address, index)
	}
	if err != nil {
		return opError(doing, op.Link, err)
	}
	if err := announce(op.Link, index, op.Address); err != nil { // down, or without an address yet
		h.log.DebugContext(ctx, "announcing an address", "link", op.Link, "err", err)
	}
	return nil
}

// unproxyNeighbour undoes proxyNeighbour. The sysctls stay: they do nothing by
// themselves.
func (h *Host) unproxyNeighbour(op step.UnproxyNeighbour) error {
	doing := fmt.Sprintf("answering no longer for %s on", op.Address)
	if !usable(op.Address) {
		return opError(doing, op.Link, syscall.EINVAL)
	}
	index, err := h.index(op.Link)
	if err == nil {
		err = h.changeProxy(unix.RTM_DELNEIGH, 0, op.Address, index)
	}
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return opError(doing, op.Link, err)
}

// changeProxy adds or deletes an address that is answered for.
func (h *Host) changeProxy(command, flags int, a netip.Addr, index int) error {
	msg := &netlink.Ndmsg{Family: uint8(family(a)), Index: uint32(index), State: unix.NUD_PERMANENT, Flags: unix.NTF_PROXY}
	return h.nl.change(command, flags, msg, nl.NewRtAttr(unix.NDA_DST, a.AsSlice()))
}

// answerProxies makes the kernel answer for the addresses that it was told of,
// and at once: its random delay of 0.8 s is for several hosts with one address.
// IPv6 asks for proxy_ndp of the link when a solicitation came by multicast,
// and for that of "all" when it came by unicast (ip6_forward). ARP needs no
// switch.
func (h *Host) answerProxies(ctx context.Context, op step.ProxyNeighbour) error {
	version := "ipv4"
	if op.Address.Is6() {
		version = "ipv6"
		for _, name := range []string{"all", op.Link} {
			if err := keepSysctl(path.Join("net/ipv6/conf", name, "proxy_ndp"), 1); err != nil {
				return err
			}
		}
	}
	if err := keepSysctl(path.Join("net", version, "neigh", op.Link, "proxy_delay"), 0); err != nil {
		h.log.DebugContext(ctx, "answering for addresses without delay", "link", op.Link, "err", err)
	}
	return nil
}

// keepSysctl writes a number where another one is.
func keepSysctl(key string, value int) error {
	if have, err := readSysctl(key); err == nil && have == value {
		return nil
	}
	return setSysctl(step.SetSysctl{Key: key, Value: strconv.Itoa(value)})
}

// announce tells those on a link that an address is reached by us: a gratuitous
// ARP request (RFC 5227 section 3), or an unsolicited neighbour advertisement
// that overrides what they remember (RFC 4861 sections 7.2.6 and 7.2.8).
func announce(link string, index int, a netip.Addr) error {
	iface, err := net.InterfaceByIndex(index)
	if err != nil {
		return fmt.Errorf("looking up %q: %w", link, err)
	}
	if len(iface.HardwareAddr) != 6 {
		return nil // nobody asks for addresses there
	}
	if a.Is4() {
		return announceARP(iface, a)
	}
	return advertise(iface, a)
}

func announceARP(link *net.Interface, a netip.Addr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	p := arpProbe(link.HardwareAddr, a)
	copy(p[14:18], a.AsSlice()) // sender's address: the same
	return sendARP(fd, link, p)
}

// advertise sends a neighbour advertisement to all nodes on the link.
func advertise(link *net.Interface, a netip.Addr) error {
	const override = 0x20 // of the flags' first byte
	p := append([]byte{advertisement, 0, 0, 0, override, 0, 0, 0}, a.AsSlice()...)
	return toNodes(link, netip.IPv6LinkLocalAllNodes(), append(append(p, targetLink, 1), link.HardwareAddr...))
}

// toNodes sends a message of neighbour discovery to a group. The kernel chooses its
// source and fills in the checksum.
func toNodes(link *net.Interface, group netip.Addr, message []byte) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	const hops = 255 // RFC 4861 section 7.1.2: others come from elsewhere
	for _, set := range []struct{ option, value int }{
		{unix.IPV6_MULTICAST_HOPS, hops}, {unix.IPV6_MULTICAST_IF, link.Index}, {unix.IPV6_MULTICAST_LOOP, 0},
	} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, set.option, set.value); err != nil {
			return err
		}
	}
	return unix.Sendto(fd, message, 0, &unix.SockaddrInet6{Addr: group.As16(), ZoneId: uint32(link.Index)})
}

// routerLifetime is what dnsmasq says of itself, in seconds: three times its interval
// of advertisements.
const routerLifetime = 1800

// retractPrefixes sends a router advertisement (RFC 4861 section 4.2) in which no
// prefix is to be used for new connections; a host counts down what was said of how
// long addresses are valid, two hours at most (RFC 4862 section 5.5.3). Source
// addresses of the kernel are link-local, as the RFC wants it.
func retractPrefixes(op step.RetractPrefixes) error {
	const doing = "retracting prefixes on"
	link, err := net.InterfaceByName(op.Link)
	if err != nil {
		return nil // nobody listens on a link that is gone
	}
	const (
		advertisement = 134
		hopLimit      = 64
		prefixOption  = 3
		units         = 4    // of 8 bytes, RFC 4861 section 4.6.2
		autonomous    = 0x40 // and not on-link: that is left as it was
	)
	lifetime := uint16(0)
	if op.Router {
		lifetime = routerLifetime
	}
	p := binary.BigEndian.AppendUint16([]byte{advertisement, 0, 0, 0, hopLimit, 0}, lifetime)
	p = append(p, make([]byte, 8)...) // reachable and retransmission time: not said
	for _, prefix := range op.Prefixes {
		p = append(p, prefixOption, units, byte(prefix.Bits()), autonomous)
		p = append(p, make([]byte, 4+4+4)...) // valid, preferred, reserved
		p = append(p, prefix.Masked().Addr().AsSlice()...)
	}
	return opError(doing, op.Link, toNodes(link, netip.IPv6LinkLocalAllNodes(), p))
}

// maxNeighbours is how many neighbours of a bridge are returned. The kernel keeps
// fewer (gc_thresh3), unless somebody raised that.
const maxNeighbours = 1 << 16

// known are the states in which the kernel knows a neighbour's address.
const known = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT

// Neighbours returns whom the kernel knows on a link, in no order: those that it
// talked to, until some time after they have gone. On a bridge it says behind which
// port they are.
func (h *Host) Neighbours(ctx context.Context, bridge string) ([]step.Neighbour, error) {
	const doing = "listing neighbours on"
	index, err := h.index(bridge)
	if err != nil {
		return nil, opError(doing, bridge, err)
	}
	var list []step.Neighbour
	err = h.list(ctx, "neighbours", unix.RTM_GETNEIGH, func() { list = nil }, func(m []byte) {
		if n, ok := parseNeighbour(m); ok && n.link == index && n.alive && len(list) < maxNeighbours {
			list = append(list, step.Neighbour{Address: n.address, MAC: n.mac})
		}
	}, &netlink.Ndmsg{}, nl.NewRtAttr(unix.NDA_IFINDEX, nl.Uint32Attr(uint32(index))))
	if err == nil {
		err = h.findPorts(ctx, bridge, index, list)
	}
	return list, opError(doing, bridge, err)
}

// findPorts fills in behind which ports of a bridge neighbours are.
func (h *Host) findPorts(ctx context.Context, bridge string, index int, list []step.Neighbour) error {
	links, _, err := h.readLinks(ctx)
	if err != nil || links[bridge].Kind != "bridge" {
		return err
	}
	ports := make(map[xml.MAC]int)
	for i := range list {
		mac := list[i].MAC
		port, known := ports[mac]
		if !known {
			port = h.portOf(index, mac)
			ports[mac] = port
		}
		list[i].Port = port
	}
	return nil
}

// seenNeighbour is an entry of a neighbour table.
type seenNeighbour struct {
	link    int
	address netip.Addr
	mac     xml.MAC
	alive   bool // its MAC address is known
}

// parseNeighbour reads a RTM_NEWNEIGH or RTM_DELNEIGH message. Not ok: it is not
// about an Ethernet neighbour's IP address.
func parseNeighbour(m []byte) (n seenNeighbour, ok bool) {
	if len(m) < unix.SizeofNdMsg || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return n, false
	}
	state, flags := binary.NativeEndian.Uint16(m[8:]), m[10]
	n.link = number(m[4:])
	for typ, value := range attributes(m[unix.SizeofNdMsg:]) {
		switch typ {
		case unix.NDA_DST:
			n.address, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			if len(value) == len(n.mac) {
				n.alive = state&known != 0
				copy(n.mac[:], value)
			}
		}
	}
	return n, flags&unix.NTF_PROXY == 0 && usable(n.address)
}
