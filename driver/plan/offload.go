package plan

import (
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// maxOffloaded bounds the links that packets of a network's connections arrive on,
// but for its bridge. The kernel takes 256 in one message.
const maxOffloaded = 64

// routed returns the links between which packets of a network's established
// connections go by the flowtable, if that is asked for: those that the host has
// an address on, as far as they are not of networks, which bring their own.
func routed(def *xml.Network, ext *xml.Extensions, seen Observations) []string {
	if !ext.Firewall.Offload {
		return nil
	}
	far := func(a netip.Addr) bool { return !a.IsLoopback() && !a.IsLinkLocalUnicast() }
	var links []string
	for link, addrs := range seen.Devices {
		if link != def.Bridge.Name && !slices.Contains(seen.Bridges, link) && slices.ContainsFunc(addrs, far) {
			links = append(links, link)
		}
	}
	slices.Sort(links)
	return links[:min(len(links), maxOffloaded)]
}
