package host

import (
	"context"
	"net/netip"

	"github.com/virbr/virbr/driver/plan"
)

// anywhere are addresses of nobody (RFC 5737, RFC 3849): the way to them is that to
// most others.
var anywhere = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

// exits returns the links by which guests leave the host, see [plan.Exits].
func (h *Host) exits(ctx context.Context) ([]string, error) {
	links, _, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	addresses, err := h.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	var ways []string
	for _, a := range anywhere {
		if link := h.way(lookup{to: a}).Link; link != "" {
			ways = append(ways, link)
		}
	}
	return plan.Exits(links, addresses, ways), nil
}
