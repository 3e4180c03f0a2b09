package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// addRoute adds a route to the main table. One that is there already in the
// same form is no error; one that leads elsewhere is replaced only where
// it is the one that is to go.
func (h *Host) addRoute(ctx context.Context, op step.AddRoute) error {
	doing := fmt.Sprintf("adding route %s via %s to", op.Dest, op.Gateway)
	if !op.Dest.IsValid() || !op.Gateway.IsValid() || op.Dest.Addr().Is4() != op.Gateway.Is4() {
		return opError(doing, op.Link, syscall.EINVAL)
	}
	op.Dest = op.Dest.Masked()
	index, err := h.index(op.Link)
	if err != nil {
		return opError(doing, op.Link, err)
	}
	how := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if op.Instead.IsValid() && h.hasRoute(ctx, step.AddRoute{Dest: op.Dest, Gateway: op.Instead}, index) {
		how = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	err = h.nl.change(unix.RTM_NEWROUTE, how, routeMessage(nl.NewRtMsg(), op, index)...)
	if errors.Is(err, syscall.EEXIST) && h.hasRoute(ctx, op, index) {
		return nil
	}
	return opError(doing, op.Link, err)
}

func (h *Host) delRoute(op step.DelRoute) error {
	op.Dest = op.Dest.Masked()
	index, err := h.index(op.Link)
	if err == nil {
		err = h.nl.change(unix.RTM_DELROUTE, 0, routeMessage(nl.NewRtDelMsg(), step.AddRoute(op), index)...)
	}
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return opError(fmt.Sprintf("removing route %s via %s from", op.Dest, op.Gateway), op.Link, err)
}

// routeMessage describes a route of the main table.
func routeMessage(msg *nl.RtMsg, op step.AddRoute, index int) attrs {
	msg.Table = unix.RT_TABLE_MAIN
	msg.Family = uint8(family(op.Dest.Addr()))
	msg.Dst_len = uint8(op.Dest.Bits())
	body := attrs{msg}
	if op.Dest.Bits() > 0 {
		body.put(unix.RTA_DST, op.Dest.Addr().AsSlice())
	}
	body.put(unix.RTA_GATEWAY, op.Gateway.AsSlice())
	body.put(unix.RTA_OIF, nl.Uint32Attr(uint32(index)))
	body.put(unix.RTA_PRIORITY, nl.Uint32Attr(max(op.Metric, 1)))
	return body
}

// hasRoute reports whether the main table has the route.
func (h *Host) hasRoute(ctx context.Context, op step.AddRoute, index int) bool {
	routes, err := h.dumpRoutes(ctx, family(op.Dest.Addr()))
	return err == nil && slices.ContainsFunc(routes, func(r route) bool {
		return r.dest == op.Dest && r.link == index && r.gateway == op.Gateway
	})
}

// route is one way of a route of the main table; a route with several next hops
// counts as several.
type route struct {
	dest     netip.Prefix
	link     int
	gateway  netip.Addr
	protocol uint8
	expires  bool
	dead     bool // its link has no carrier, or is down
}

// dumpRoutes reads the main table of a family. The kernel picks the table, so
// the many routes of the local table cost nothing.
func (h *Host) dumpRoutes(ctx context.Context, family int) ([]route, error) {
	var routes []route
	_, err := h.dumpTable(ctx, family, unix.RT_TABLE_MAIN, func() { routes = nil }, func(m []byte) error {
		more, err := parseRoute(m)
		routes = append(routes, more...)
		return err
	})
	return routes, err
}

// dumpTable calls add for each route of a table of a family, and start
// before the first, each time that it starts. whole: nothing changed meanwhile.
func (h *Host) dumpTable(ctx context.Context, family int, table uint32, start func(), add func(m []byte) error) (whole bool, err error) {
	err = h.whole(ctx, "routes", func() error {
		start()
		whole = false
		msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}}
		req := h.dumps.request(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(table)))
		var bad error
		err := req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, func(m []byte) bool {
			bad = add(m)
			return bad == nil
		})
		if bad != nil {
			return bad
		}
		whole = err == nil
		return err
	})
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EAFNOSUPPORT) {
		return true, nil // the table is made with its first route
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, fmt.Errorf("listing routes: %w", err)
	}
	return whole, nil
}

// dead are the flags of a route by which nothing goes.
const dead = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN

// parseRoute reads a RTM_NEWROUTE message; routes that no packet is sent along
// (blackholes, local addresses) give none.
func parseRoute(m []byte) ([]route, error) {
	if len(m) < unix.SizeofRtMsg {
		return nil, fmt.Errorf("reading a route: %d bytes", len(m))
	}
	msg := nl.DeserializeRtMsg(m)
	if msg.Type != unix.RTN_UNICAST || msg.Flags&unix.RTM_F_CLONED != 0 {
		return nil, nil
	}
	r := route{protocol: msg.Protocol, dead: msg.Flags&dead != 0}
	dst := netip.IPv4Unspecified()
	if msg.Family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	var hops []route
	for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(value)
		case unix.RTA_GATEWAY:
			r.gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_OIF:
			r.link = number(value)
		case unix.RTA_CACHEINFO: // struct rta_cacheinfo: rta_expires is the third word
			r.expires = len(value) >= 12 && number(value[8:]) != 0
		case unix.RTA_MULTIPATH:
			hops = parseHops(value)
		}
	}
	r.dest = netip.PrefixFrom(dst, int(msg.Dst_len))
	if hops == nil {
		return []route{r}, nil
	}
	for i := range hops {
		hops[i].dest, hops[i].protocol, hops[i].expires = r.dest, r.protocol, r.expires
	}
	return hops, nil
}

// parseHops reads the next hops of a route: struct rtnexthop, each with
// attributes.
func parseHops(b []byte) []route {
	var hops []route
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		hop := route{link: number(b[4:]), dead: uint32(b[2])&dead != 0} // struct rtnexthop: rtnh_flags
		hop.gateway, _ = netip.AddrFromSlice(attribute(b[unix.SizeofRtNexthop:size], unix.RTA_GATEWAY))
		hops = append(hops, hop)
		b = b[min((size+3)&^3, len(b)):]
	}
	return hops
}

// number reads the first 32 bits of an attribute, in the machine's order; 0 of
// a short one.
func number(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return int(binary.NativeEndian.Uint32(b))
}
