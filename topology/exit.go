package topology

import (
	"net/netip"
	"time"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/xml"
)

// Exit is a link of the host in one family: by which guests leave, or would.
type Exit struct {
	Family  string      `json:"family"` // "ipv4" or "ipv6"
	Link    string      `json:"link"`
	Used    bool        `json:"used"` // guests leave by it
	Gateway *netip.Addr `json:"gateway,omitempty"`
	Since   *time.Time  `json:"since,omitempty"`  // of an uplink that is used
	Reason  string      `json:"reason,omitempty"` // why it cannot carry the family
}

// exitsOf lists by which links guests of a network leave: the uplinks that it names, in
// their order, or else the link that the kernel has for each family.
func (b *builder) exitsOf(n *doctor.Network, made *Network) []Exit {
	list := []Exit{}
	for _, u := range n.Uplinks() {
		x, err := xml.ParseUplink([]byte(u.XML))
		if err != nil {
			continue
		}
		e := Exit{Family: families[0], Link: Printable(x.Dev), Used: u.Used, Reason: Printable(u.Reason), Gateway: valid(u.Gateway)}
		if u.IPv6 {
			e.Family = families[1]
		}
		if u.Used {
			since := time.Unix(u.Since, 0).UTC()
			e.Since = &since
		}
		list = append(list, e)
	}
	if len(list) > 0 || !n.Active {
		return list
	}
	for i, link := range made.exits {
		if link == "" {
			continue
		}
		e := Exit{Family: families[i], Link: link, Used: true}
		for _, way := range n.Paths {
			if way.Out.Link == link && way.Guest.Is6() == (i == 1) {
				e.Gateway = valid(way.Out.Gateway)
			}
		}
		list = append(list, e)
	}
	return list
}

func valid(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}
