package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// routeGuest leads one address to a bridge. A route that is there is no error;
// one that leads elsewhere is never replaced (EEXIST).
func (h *Host) routeGuest(ctx context.Context, op step.RouteGuest) error {
	doing := fmt.Sprintf("leading %s to", op.Address)
	if !usable(op.Address) {
		return opError(doing, op.Bridge, syscall.EINVAL)
	}
	index, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	err = h.guestRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, nl.NewRtMsg(), op.Address, index)
	if errors.Is(err, syscall.EEXIST) && h.leadsTo(ctx, op.Address, index) {
		return nil
	}
	return opError(doing, op.Bridge, err)
}

// unrouteGuest undoes routeGuest. A route that is gone, or leads elsewhere by
// now, is no error.
func (h *Host) unrouteGuest(op step.UnrouteGuest) error {
	doing := fmt.Sprintf("leading %s no longer to", op.Address)
	if !usable(op.Address) {
		return opError(doing, op.Bridge, syscall.EINVAL)
	}
	index, err := h.index(op.Bridge)
	if err == nil {
		err = h.guestRoute(unix.RTM_DELROUTE, 0, nl.NewRtDelMsg(), op.Address, index)
	}
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return opError(doing, op.Bridge, err)
}

// guestRoute adds or deletes an address's route in the main table. IPv4
// wants to be told that who is led to is on the link.
func (h *Host) guestRoute(command, flags int, msg *nl.RtMsg, a netip.Addr, index int) error {
	msg.Family = uint8(family(a))
	msg.Dst_len = uint8(a.BitLen())
	msg.Table = unix.RT_TABLE_MAIN
	if a.Is4() {
		msg.Scope = unix.RT_SCOPE_LINK
	}
	return h.nl.change(command, flags, msg, nl.NewRtAttr(unix.RTA_DST, a.AsSlice()), nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
}

// leadsTo reports whether the main table leads an address to a link.
func (h *Host) leadsTo(ctx context.Context, a netip.Addr, index int) bool {
	routes, err := h.dumpRoutes(ctx, family(a))
	return err == nil && slices.ContainsFunc(routes, func(r route) bool {
		return r.dest == netip.PrefixFrom(a, a.BitLen()) && r.link == index && !r.gateway.IsValid()
	})
}
