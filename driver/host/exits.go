package host

import (
	"context"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/plan"
)

// anywhere are addresses of nobody (RFC 5737, RFC 3849): the way to them is that to
// most others.
var anywhere = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

// exits returns the links by which guests leave the host, see [plan.Exits].
func (h *Host) exits(ctx context.Context) ([]string, error) {
	links, names, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	addresses, err := h.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	var ways []string
	for _, a := range anywhere {
		if name := names[h.wayTo(a)]; name != "" {
			ways = append(ways, name)
		}
	}
	return plan.Exits(links, addresses, ways), nil
}

// wayTo returns the link by which the host's own packets to an address leave, by all
// tables and rules; 0: there is none.
func (h *Host) wayTo(a netip.Addr) (link int) {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family(a)), Dst_len: uint8(a.BitLen())}}
	req := h.nl.request(unix.RTM_GETROUTE, 0)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, a.AsSlice()))
	replies, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil { // no route
		return 0
	}
	for _, m := range replies {
		if len(m) < unix.SizeofRtMsg || m[7] != unix.RTN_UNICAST {
			continue
		}
		for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
			if typ == unix.RTA_OIF {
				link = number(value)
			}
		}
	}
	return link
}
