package driver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// claims is what the networks that run, or are about to, take of the host's
// addresses and ports.
type claims struct {
	mu   sync.Mutex
	held map[*network][]firewall.Claim
}

func newClaims() *claims { return &claims{held: make(map[*network][]firewall.Claim)} }

// claimPorts takes what a reach claims for a network, in the place of what it had,
// and returns what gives that back. It refuses what another network has, or a
// program that listens on a port: only what is new is looked at.
func (d *Driver) claimPorts(ctx context.Context, n *network, live *xml.Network, before, after *plan.Reach) (back func(), err error) {
	mine, err := after.Claims()
	if err != nil {
		return nil, err
	}
	had, err := before.Claims()
	if err != nil {
		had = nil
	}
	fresh := missing(mine, had)
	if err := d.checkServices(live, fresh); err != nil {
		return nil, err
	}
	if err := d.checkListeners(ctx, live, fresh); err != nil {
		return nil, err
	}
	c := d.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(fresh) > 0 {
		for o, theirs := range c.held {
			if m, t, clash := firewall.Clash(fresh, theirs); o != n && clash {
				return nil, &Error{Kind: KindOperationFailed, Msg: fmt.Sprintf(
					"network '%s' cannot have %s: network '%s' has %s", n.ref.Name, m, o.ref.Name, t)}
			}
		}
	}
	was := c.held[n]
	c.set(n, mine)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.set(n, was)
	}, nil
}

// set is to be called with mu held.
func (c *claims) set(n *network, list []firewall.Claim) {
	if len(list) == 0 {
		delete(c.held, n)
		return
	}
	c.held[n] = list
}

// unclaim gives back all that a network has.
func (d *Driver) unclaim(n *network) {
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	d.claims.set(n, nil)
}

// holdClaims takes for a network what it has already.
func (d *Driver) holdClaims(n *network, reach *plan.Reach) {
	mine, err := reach.Claims()
	d.warn("the network's forwards are not protected from those of others", n.ref, err)
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	d.claims.set(n, mine)
}

// missing returns the claims of a list that are not in another, wherever the
// forwards stand.
func missing(list, other []firewall.Claim) []firewall.Claim {
	if len(other) == 0 {
		return list
	}
	have := make(map[firewall.Claim]bool, len(other))
	for _, c := range other {
		c.Forward = 0
		have[c] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(c firewall.Claim) bool {
		c.Forward = 0
		return have[c]
	})
}

// takes reports whether a claim is on a port.
func takes(c firewall.Claim, proto string, port uint16) bool {
	return c.Proto == proto && !c.All && c.Start <= port && port <= c.End
}

// checkServices refuses to forward the ports by which the network's own guests
// reach its DNS and DHCP servers.
func (d *Driver) checkServices(live *xml.Network, fresh []firewall.Claim) error {
	served := plan.Serves(live)
	ips := live.Subnets()
	for _, c := range fresh {
		own := slices.ContainsFunc(ips, func(ip xml.IP) bool {
			return ip.Address == c.Address || c.Address.IsUnspecified() && ip.Address.Is4() == c.Address.Is4()
		})
		for _, s := range served {
			if own && takes(c, s.Proto, s.Port) {
				return &Error{Kind: KindOperationFailed, Msg: fmt.Sprintf(
					"network '%s' cannot have %s: its own dnsmasq serves its guests on %s port %d; forward from one address of the host only",
					live.Name, c, s.Proto, s.Port)}
			}
		}
	}
	return nil
}

// checkListeners refuses to forward ports on which somebody listens. Ports that
// programs get from the kernel for their questions (ephemeral ones) come and go;
// they count only where one is forwarded by itself.
func (d *Driver) checkListeners(ctx context.Context, live *xml.Network, fresh []firewall.Claim) error {
	ports := func(c firewall.Claim) bool { return c.Proto != "" && !c.All }
	if d.cfg.Watcher == nil || !slices.ContainsFunc(fresh, ports) {
		return nil
	}
	list, err := d.cfg.Watcher.Listeners(ctx)
	if err != nil {
		return fmt.Errorf("looking who listens on the ports of network %q: %w", live.Name, err)
	}
	for _, l := range list {
		i := slices.IndexFunc(fresh, func(c firewall.Claim) bool { return takes(c, l.Proto, l.Port) && meets(c, l) })
		if i < 0 {
			continue
		}
		holder := d.cfg.Watcher.Holder(ctx, l)
		if holder == "" {
			holder = "a program"
		}
		return &Error{Kind: KindOperationFailed, Msg: fmt.Sprintf(
			"network '%s' cannot have %s: %s listens on %s port %d", live.Name, fresh[i], holder, l.Proto, l.Port)}
	}
	return nil
}

// firstEphemeral is the first port that Linux gives by itself
// (net.ipv4.ip_local_port_range).
const firstEphemeral = 32768

// meets reports whether a listener hears at some address of a claim.
func meets(c firewall.Claim, l plan.Listener) bool {
	if l.Proto == "udp" && l.Port >= firstEphemeral && c.Start != c.End {
		return false
	}
	at := l.Address.Unmap()
	if at.Is4() != c.Address.Is4() && !(l.Both && c.Address.Is4() && at == netip.IPv6Unspecified()) {
		return false
	}
	if l.Dev != "" {
		return c.Address.IsUnspecified()
	}
	return c.Address.IsUnspecified() || at.IsUnspecified() || at == c.Address
}
