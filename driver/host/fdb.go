package host

import (
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/xml"
)

// portOf returns the index of the port of a bridge behind which a MAC address was
// heard last; 0: none is known. A guest can send from any MAC address, but from its
// own port only.
func (h *Host) portOf(bridge int, mac xml.MAC) int {
	req := h.nl.request(unix.RTM_GETNEIGH, 0)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_BRIDGE})
	req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac[:]))
	req.AddData(nl.NewRtAttr(unix.NDA_MASTER, nl.Uint32Attr(uint32(bridge))))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil || len(messages) == 0 || len(messages[0]) < unix.SizeofNdMsg {
		return 0
	}
	return number(messages[0][4:])
}

// What one port may have the host do: so many addresses at once, and one more each
// second. Guests take a few when they start, and one a day for privacy (RFC 8981).
const (
	portBurst  = 64
	portRefill = time.Second
)

// allowance is what a port may still have the host do. It is full at first.
type allowance struct {
	used int
	at   time.Time // until when what was used has been given back
}

// take reports whether there is some left, and takes one.
func (a *allowance) take(now time.Time) bool {
	if back := int(now.Sub(a.at) / portRefill); back > 0 {
		a.used = max(a.used-back, 0)
		a.at = a.at.Add(time.Duration(back) * portRefill)
	}
	if a.used >= portBurst {
		return false
	}
	a.used++
	return true
}
