package host

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// endUntranslated forgets the connections to ports and addresses that are forwarded
// now, though they are not. The table is searched once, whatever is taken.
func (h *Host) endUntranslated(ctx context.Context, op step.EndUntranslated) error {
	const doing = "ending connections to what is forwarded now"
	t := takenIndex{}
	families := map[bool]bool{} // IPv4: true
	for _, one := range op.Taken {
		if err := t.add(one); err != nil {
			return opError(doing, one.Listen.String(), err)
		}
		families[one.Listen.Is4()] = true
	}
	for v4 := range families {
		own, err := h.ownAddresses(ctx, v4)
		if err != nil {
			return opError(doing, "the host", err)
		}
		s := ctSearch{family: unix.AF_INET6, match: func(m []byte) ([]byte, bool) {
			c := ctRead(m)
			return c.key, t.meant(c, own)
		}}
		if v4 {
			s.family = unix.AF_INET
		}
		if err := s.run(ctx); err != nil {
			return opError(doing, "the host", err)
		}
	}
	return nil
}

// ownAddresses returns the addresses of the host's links, of a family.
func (h *Host) ownAddresses(ctx context.Context, v4 bool) (map[netip.Addr]bool, error) {
	all, err := h.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	own := map[netip.Addr]bool{}
	for _, list := range all {
		for _, a := range list {
			if a = a.Unmap().WithZone(""); a.Is4() == v4 {
				own[a] = true
			}
		}
	}
	return own, nil
}

// takenIndex finds who takes a port.
type takenIndex map[takenAt][]step.Taken

// takenAt is where something is taken; a protocol of 0 is all of an address.
type takenAt struct {
	proto  uint8
	listen netip.Addr
}

func (t takenIndex) add(one step.Taken) error {
	proto, known := ctProtocols[one.Proto]
	a := one.Listen
	if one.Proto != "" && (!known || one.Start == 0 || one.End < one.Start) || !a.IsValid() || a.Zone() != "" || a.Is4In6() ||
		one.Proto == "" && a.IsUnspecified() {
		return syscall.EINVAL
	}
	at := takenAt{proto, a}
	i, _ := slices.BinarySearchFunc(t[at], one, func(a, b step.Taken) int { return cmp.Compare(a.Start, b.Start) })
	t[at] = slices.Insert(t[at], i, one)
	return nil
}

// meant reports whether a connection was made to what is taken, and has to go: what
// was answered before, by the host, goes on, unless the protocol has no connections.
func (t takenIndex) meant(c connection, own map[netip.Addr]bool) bool {
	answered := c.status&ctStatusReplied != 0
	if c.status&ctStatusDstNAT != 0 || answered && (c.to.proto == unix.IPPROTO_TCP || c.to.proto == unix.IPPROTO_SCTP) {
		return false
	}
	if len(t[takenAt{0, c.to.addr}]) > 0 || t.port(takenAt{c.to.proto, c.to.addr}, c.to.port) {
		return true
	}
	every := netip.IPv6Unspecified()
	if c.to.addr.Is4() {
		every = netip.IPv4Unspecified()
	}
	return own[c.to.addr] && t.port(takenAt{c.to.proto, every}, c.to.port)
}

func (t takenIndex) port(at takenAt, port uint16) bool {
	list := t[at]
	i, _ := slices.BinarySearchFunc(list, port, func(one step.Taken, port uint16) int { return cmp.Compare(one.End, port) })
	return port != 0 && i < len(list) && list[i].Start <= port
}
