package client

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// Uplink is one uplink of a network.
type Uplink struct {
	xml.Uplink
	Ways []UplinkWay // in the families that it is for
}

// UplinkWay is what an uplink comes to in one family.
type UplinkWay struct {
	IPv6     bool
	Inactive bool       // the network does not run
	Used     bool       // guests leave by it
	Since    int64      // seconds since the epoch, where they do
	Gateway  netip.Addr // invalid: none, or a line with two ends
	Reason   string     // why it cannot carry the family; "": it can
}

// Uplinks returns the uplinks of a network in their order: those of the running
// definition, or else of the persistent one. Of a daemon that is not virbrd only what
// is asked for is known.
func (c *Conn) Uplinks(ctx context.Context, n Network, src *Source) (list []Uplink, virbrd bool, err error) {
	if virbrd, err = c.HasExtensions(ctx); err != nil {
		return nil, false, err
	}
	if !virbrd {
		e, err := c.Extensions(ctx, n, n.Active, src)
		if err != nil {
			return nil, false, err
		}
		for _, u := range e.Uplinks {
			list = append(list, Uplink{Uplink: u, Ways: unknown(&u, !n.Active)})
		}
		return list, false, nil
	}
	var told proto.Uplinks
	if err := c.extension(ctx, proto.UplinkList, &n.ref, &told); err != nil {
		return nil, true, err
	}
	for _, u := range told.Uplinks {
		made, err := xml.ParseUplink([]byte(u.XML))
		if err != nil {
			return nil, true, fmt.Errorf("reading the uplinks of network %q: %w", n.Name, err)
		}
		one := Uplink{Uplink: *made}
		if u.Phase == proto.PhaseInactive {
			one.Ways = unknown(made, true)
		}
		for _, w := range u.Ways {
			gateway, _ := netip.ParseAddr(w.Gateway)
			one.Ways = append(one.Ways, UplinkWay{IPv6: w.IPv6, Used: w.Used, Since: w.Since, Gateway: gateway, Reason: w.Reason})
		}
		list = append(list, one)
	}
	return list, true, nil
}

// unknown is what is said of an uplink that nobody looked at.
func unknown(u *xml.Uplink, inactive bool) (ways []UplinkWay) {
	for _, v4 := range []bool{true, false} {
		if u.Carries(v4) {
			ways = append(ways, UplinkWay{IPv6: !v4, Inactive: inactive, Gateway: u.Gateway})
		}
	}
	return ways
}
