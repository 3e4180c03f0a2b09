package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// composed is a definition with what its extensions come to on a host of which
// nothing is known: no lease, no neighbour, no address of a link.
type composed struct {
	def   *xml.Network // complete
	reach *plan.Resolution
}

func compose(def *xml.Network) (*composed, error) {
	made, ext, err := plan.Extended(def)
	if err != nil {
		return nil, err
	}
	made = complete(made)
	if err := plan.CheckResolution(made, ext); err != nil {
		return nil, err
	}
	return &composed{made, plan.NewResolution(made, ext, plan.Observations{}, plan.Memory{})}, nil
}

func (c *composed) rules() (*firewall.Network, error) {
	return firewall.Compile(c.def, c.reach.Ext, c.reach.Where)
}

// waiting returns what targets no known guest yet, as comments: guests whose addresses
// only a lease will tell, and links of the host.
func (c *composed) waiting() (string, error) {
	claims, err := c.reach.Claims()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, claim := range claims {
		guest := c.guest(claim)
		known := func(a netip.Addr) bool { return a.Is4() == claim.Address.Is4() }
		if _, err := netip.ParseAddr(guest); err != nil && !slices.ContainsFunc(c.reach.Where.Guests[guest], known) {
			fmt.Fprintf(&b, "# %s: waits for the address of guest %s\n", claim, guest)
		}
	}
	for i := range c.reach.Ext.Forwards {
		if f := &c.reach.Ext.Forwards[i]; f.Dev != "" && !f.Ignore {
			fmt.Fprintf(&b, "# %s to guest %s: waits for the addresses of interface %s\n", f.Proto, f.Guest, f.Dev)
		}
	}
	return b.String(), nil
}

// guest returns the guest that a claim is for.
func (c *composed) guest(claim firewall.Claim) string {
	if claim.Proto == "" {
		return c.reach.Ext.Publics[claim.Forward].Guest
	}
	return c.reach.Ext.Forwards[claim.Forward].Guest
}
