package host

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// loopbackMetric is that of a bridge's route to ::1: far behind the loopback
// device's own, which is 0.
const loopbackMetric = 2048

// unrouteLoopback removes a bridge's route to the host's own ::1, as earlier versions
// made. A route or bridge that is gone is no error.
func (h *Host) unrouteLoopback(op step.UnrouteLoopback) error {
	const doing = "leading ::1 no longer to"
	index, err := h.index(op.Bridge)
	if err == nil {
		msg := nl.NewRtDelMsg()
		msg.Family, msg.Dst_len, msg.Table, msg.Type = unix.AF_INET6, 128, unix.RT_TABLE_LOCAL, unix.RTN_LOCAL
		body := attrs{msg}
		body.put(unix.RTA_DST, netip.IPv6Loopback().AsSlice())
		body.put(unix.RTA_OIF, nl.Uint32Attr(uint32(index))) // not the loopback device's own
		body.put(unix.RTA_PRIORITY, nl.Uint32Attr(loopbackMetric))
		err = h.nl.change(unix.RTM_DELROUTE, 0, body...)
	}
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return opError(doing, op.Bridge, err)
}
