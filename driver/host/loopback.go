package host

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/plan"
)

// loopbackMetric is that of a bridge's route to ::1: far behind the loopback
// device's own, which is 0.
const loopbackMetric = 2048

// routeLoopback gives a bridge a route to the host's own ::1. Those of several
// bridges have the same metric, so it is appended. One that is there is no error.
func (h *Host) routeLoopback(op plan.RouteLoopback) error {
	const doing = "leading ::1 to"
	index, err := h.index(op.Bridge)
	if err == nil {
		req := h.loopbackRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, nl.NewRtMsg(), index)
		_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	}
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return opError(doing, op.Bridge, err)
}

// unrouteLoopback undoes routeLoopback. A route or bridge that is gone is no error.
func (h *Host) unrouteLoopback(op plan.UnrouteLoopback) error {
	const doing = "leading ::1 no longer to"
	index, err := h.index(op.Bridge)
	if err == nil {
		_, err = h.loopbackRoute(unix.RTM_DELROUTE, 0, nl.NewRtDelMsg(), index).Execute(unix.NETLINK_ROUTE, 0)
	}
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return opError(doing, op.Bridge, err)
}

// loopbackRoute is a request about a link's route to ::1 in the local table. Link
// and metric keep it from being about the loopback device's.
func (h *Host) loopbackRoute(command, flags int, msg *nl.RtMsg, index int) *nl.NetlinkRequest {
	msg.Family = unix.AF_INET6
	msg.Dst_len = 128
	msg.Table = unix.RT_TABLE_LOCAL
	msg.Type = unix.RTN_LOCAL
	req := h.nl.request(command, flags|unix.NLM_F_ACK)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, netip.IPv6Loopback().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(loopbackMetric)))
	return req
}
