package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// maxPorts bounds the ports of a bridge that are told apart. Linux has 1024 at most
// (BR_MAX_PORTS in its br_private.h).
const maxPorts = 1024

// snoopers are the bridges whose guests are heard when they take an address.
type snoopers struct {
	mu   sync.Mutex // guards what follows
	open map[string]*snooper
	wg   sync.WaitGroup
}

// snooper listens on a bridge for the solicitation by which a guest asks whether
// anybody has the address that it is about to take (RFC 4862 section 5.4.2), and
// enters it into the kernel's table of neighbours, where it would appear only when
// the host has something to send to it.
type snooper struct {
	host *Host
	link int
	file *os.File

	ports map[int]*allowance // by index
}

// snoopGuests begins to listen on a bridge, unless it does already.
func (h *Host) snoopGuests(op step.SnoopGuests) error {
	const doing = "listening for guests on"
	index, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	h.snoopers.mu.Lock()
	defer h.snoopers.mu.Unlock()
	if old := h.snoopers.open[op.Bridge]; old != nil {
		if old.link == index {
			return nil
		}
		_ = old.file.Close()
	}
	f, err := openSnooper(index)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	s := &snooper{host: h, link: index, file: f, ports: make(map[int]*allowance)}
	if h.snoopers.open == nil {
		h.snoopers.open = make(map[string]*snooper)
	}
	h.snoopers.open[op.Bridge] = s
	h.snoopers.wg.Go(s.run)
	return nil
}

// unsnoopGuests undoes snoopGuests; where nobody listens it is no error.
func (h *Host) unsnoopGuests(op step.UnsnoopGuests) error {
	h.snoopers.mu.Lock()
	defer h.snoopers.mu.Unlock()
	if s := h.snoopers.open[op.Bridge]; s != nil {
		_ = s.file.Close()
		delete(h.snoopers.open, op.Bridge)
	}
	return nil
}

// close ends all, and waits for them.
func (s *snoopers) close() {
	s.mu.Lock()
	for _, o := range s.open {
		_ = o.file.Close()
	}
	clear(s.open)
	s.mu.Unlock()
	s.wg.Wait()
}

// Offsets in an IPv6 header and the solicitation behind it (RFC 8200 section 3,
// RFC 4861 section 4.3).
const (
	nextHeaderAt = 6
	sourceAt     = 8
	typeAt       = 40
	targetAt     = 48
	solicitation = 135
	shortest     = 64
)

// snoopFilter lets the kernel pass on only solicitations without a source.
func snoopFilter() []unix.SockFilter {
	const (
		byteAt = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		wordAt = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		leave  = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: byteAt, K: nextHeaderAt}, {Code: equal, K: unix.IPPROTO_ICMPV6, Jf: 11},
		{Code: byteAt, K: typeAt}, {Code: equal, K: solicitation, Jf: 9},
	}
	for i := range uint32(4) {
		filter = append(filter, unix.SockFilter{Code: wordAt, K: sourceAt + 4*i}, unix.SockFilter{Code: equal, K: 0, Jf: uint8(7 - 2*i)})
	}
	return append(filter, unix.SockFilter{Code: leave, K: shortest}, unix.SockFilter{Code: leave, K: 0})
}

func openSnooper(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	err = attachFilter(fd, snoopFilter())
	if err == nil { // solicitations go to groups that only who has such an address is in
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_ALLMULTI})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_IPV6), Ifindex: index})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "solicitations"), nil
}

// run hears until the file is closed or the bridge is gone.
func (s *snooper) run() {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, shortest)
	for {
		var n int
		var from unix.Sockaddr
		var heard error
		err := conn.Read(func(fd uintptr) bool {
			n, from, heard = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(heard, unix.EAGAIN)
		})
		switch {
		case err != nil || errors.Is(heard, unix.ENODEV) || errors.Is(heard, unix.EBADF):
			return
		case errors.Is(heard, unix.EINTR), errors.Is(heard, unix.ENETDOWN):
			continue
		case heard != nil:
			s.host.log.Warn("guests' new addresses are no longer heard of", "err", heard)
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Halen == 6 && ll.Pkttype != unix.PACKET_OUTGOING && n == shortest {
			s.hear(xml.MAC(ll.Addr[:6]), netip.AddrFrom16([16]byte(buf[targetAt:shortest])))
		}
	}
}

// hear enters a guest's address, as long as its port has not had too many entered.
func (s *snooper) hear(mac xml.MAC, a netip.Addr) {
	if !a.IsGlobalUnicast() || mac.IsMulticast() || mac.IsZero() || !s.allowed(s.host.portOf(s.link, mac)) {
		return
	}
	err := s.host.addNeighbour(s.link, a, mac)
	if errors.Is(err, syscall.EEXIST) {
		err = s.host.askNeighbour(s.link, a)
	}
	if err != nil {
		s.host.log.Debug("entering a guest's address", "mac", mac.String(), "err", err)
	}
}

func (s *snooper) allowed(port int) bool {
	now := time.Now()
	p := s.ports[port]
	if p == nil {
		if len(s.ports) >= maxPorts {
			clear(s.ports) // of links that have gone
		}
		p = &allowance{at: now}
		s.ports[port] = p
	}
	return p.take(now)
}

// addNeighbour enters who has an address, unless the kernel knows of somebody.
func (h *Host) addNeighbour(link int, a netip.Addr, mac xml.MAC) error {
	msg := &netlink.Ndmsg{Family: uint8(family(a)), Index: uint32(link), State: unix.NUD_STALE}
	return h.neighbour(a, unix.NLM_F_EXCL, msg, nl.NewRtAttr(unix.NDA_LLADDR, mac[:]))
}

// askNeighbour has the kernel find out who has an address, whoever had it.
func (h *Host) askNeighbour(link int, a netip.Addr) error {
	return h.neighbour(a, 0, &netlink.Ndmsg{Family: uint8(family(a)), Index: uint32(link), Flags: unix.NTF_USE})
}

func (h *Host) neighbour(a netip.Addr, flags int, body ...nl.NetlinkRequestData) error {
	body = append(body, nl.NewRtAttr(unix.NDA_DST, a.AsSlice()))
	if err := h.nl.change(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|flags, body...); err != nil {
		return fmt.Errorf("entering neighbour %s: %w", a, err)
	}
	return nil
}
