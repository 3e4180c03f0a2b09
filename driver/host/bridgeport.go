package host

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// How long what a port claims is remembered, and how much of one: whoever needs an
// address claims it again.
const (
	claimLife  = 10 * time.Second
	portClaims = 32
)

// claims is what guarded ports said of themselves lately.
type claims struct {
	mu   sync.Mutex // guards what follows
	port map[int][]claim
}

type claim struct {
	address netip.Addr
	at      time.Time
}

// hear takes a claim down, and reports whether it is new.
func (c *claims) hear(port int, a netip.Addr, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.port == nil || len(c.port) >= maxSeen {
		c.port = map[int][]claim{}
	}
	list := slices.DeleteFunc(c.port[port], func(o claim) bool { return now.Sub(o.at) > claimLife })
	known := slices.ContainsFunc(list, func(o claim) bool { return o.address == a })
	if !known && len(list) < portClaims {
		list = append(list, claim{a, now})
	}
	c.port[port] = list
	return !known && len(list) <= portClaims
}

// of returns what a port claimed lately, the oldest first.
func (c *claims) of(port int, now time.Time) []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []netip.Addr
	for _, o := range c.port[port] {
		if now.Sub(o.at) <= claimLife {
			list = append(list, o.address)
		}
	}
	return list
}

// BridgePorts returns the links that are ports of a bridge, by name.
func (h *Host) BridgePorts(ctx context.Context, bridge string) ([]step.BridgePort, error) {
	links, _, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	var list []step.BridgePort
	now := time.Now()
	for name, l := range links {
		if l.Master == bridge {
			list = append(list, step.BridgePort{Link: name, MAC: l.MAC, Claims: h.claims.of(l.Index, now)})
		}
	}
	slices.SortFunc(list, func(a, b step.BridgePort) int { return cmp.Compare(a.Link, b.Link) })
	return list, nil
}

// hearClaims tells of bridges on which ports claim addresses, until ctx ends. A process
// that hears them already is waited for.
func (h *Host) hearClaims(ctx context.Context, tell func(step.Change)) error {
	var once sync.Once
	for {
		err := fwnetlink.Claims(ctx, h.fw, func(c fwnetlink.Claim) {
			if !h.claims.hear(c.Port, c.Address, time.Now()) {
				return
			}
			if _, names, err := h.readLinks(ctx); err == nil && names[c.Bridge] != "" {
				tell(step.Change{Kind: step.ChangePorts, Link: names[c.Bridge]})
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		once.Do(func() {
			level := h.log.WarnContext
			if errors.Is(err, syscall.EBUSY) {
				level = h.log.DebugContext
			}
			level(ctx, "guarded guests get only addresses of leases and definitions", "err", err)
		})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(claimLife):
		}
	}
}

// Stopped is what a guard has dropped of a port.
type Stopped = fwnetlink.Stopped

// Stopped returns what guards have dropped.
func (h *Host) Stopped(context.Context) ([]Stopped, error) { return fwnetlink.ReadStopped(h.fw) }

// Guarded returns the ports of some bridges that the kernel guards, by bridge: what each
// may send from, and what it is kept from.
func (h *Host) Guarded(_ context.Context, bridges []string) (map[string][]firewall.GuardPort, error) {
	all := map[string][]firewall.GuardPort{}
	for _, bridge := range bridges {
		ports, err := fwnetlink.ReadGuard(h.fw, bridge)
		if err != nil {
			return nil, err
		}
		all[bridge] = ports
	}
	return all, nil
}

// passBridges has frames of bridges that guarded ports send pass where the guard drops
// them: a bridge with STP takes them before. STP is off for bit 0 of the port's mask of
// link-local groups that are forwarded (group_fwd_mask, Linux 4.15; br_handle_frame).
func (h *Host) passBridges(ctx context.Context, from, to *firewall.Network) {
	was, is := stopsSTP(from), stopsSTP(to)
	for link := range was {
		if !is[link] {
			_ = h.passGroup(link, false) // mostly it is gone
		}
	}
	for link := range is {
		if was[link] {
			continue
		}
		if err := h.passGroup(link, true); err != nil { // it may be gone again
			h.log.DebugContext(ctx, "STP hears bridge frames of a guest", "link", link, "err", err)
		}
	}
}

// stopsSTP returns the ports whose guests may not send frames of bridges.
func stopsSTP(n *firewall.Network) map[string]bool {
	links := map[string]bool{}
	if n == nil || n.Guard == nil {
		return links
	}
	for _, p := range n.Guard.Ports {
		if slices.Contains(p.Stops, firewall.StopSTP) {
			links[p.Link] = true
		}
	}
	return links
}

// passGroup has frames of bridges pass a port, or STP take them.
func (h *Host) passGroup(link string, pass bool) error {
	const stp = 1
	mask := uint64(0)
	data, err := os.ReadFile(h.sysfs.path("class/net", link, "brport/group_fwd_mask"))
	if err == nil {
		mask, err = strconv.ParseUint(strings.TrimSpace(string(data)), 0, 16)
	}
	if err == nil && (mask&stp != 0) == pass {
		return nil
	}
	mask |= stp
	if !pass {
		mask &^= stp
	}
	index, err := h.index(link)
	if err != nil {
		return err
	}
	return h.setPort(index, step.PortSetting{ID: unix.IFLA_BRPORT_GROUP_FWD_MASK, Value: nl.Uint16Attr(uint16(mask))})
}
