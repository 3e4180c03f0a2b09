package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/policy"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// Egress is by which of its uplinks the guests of a network leave in one family.
type Egress struct {
	step.Way
	Used  int             `json:"used"`  // which of the uplinks; -1: none can carry the family
	Since int64           `json:"since"` // seconds since the epoch
	Tried []UplinkVerdict `json:"tried"` // one for each uplink
}

// UplinkVerdict is what is to be said about one uplink for one family.
type UplinkVerdict struct {
	Gateway netip.Addr `json:"gateway,omitzero"` // invalid: none, or a line with two ends
	Reason  string     `json:"reason,omitempty"` // why it cannot carry the family; "": it can
}

// name names a family for people.
func familyName(v4 bool) string {
	if v4 {
		return "IPv4"
	}
	return "IPv6"
}

// place is where a family is in lists of both.
func place(v4 bool) int {
	if v4 {
		return 0
	}
	return 1
}

// egress decides about both families, IPv4 first; nil: the network has no uplinks. What
// has not changed keeps its time.
func egress(ext *xml.Extensions, seen Observations, before [2]*Egress) (both [2]*Egress) {
	if len(ext.Uplinks) == 0 {
		return both
	}
	for _, v4 := range []bool{true, false} {
		e := &Egress{Used: -1, Since: seen.Now}
		e.Guard = ext.Guarded(v4)
		for i := range ext.Uplinks {
			v := verdict(&ext.Uplinks[i], v4, seen)
			e.Tried = append(e.Tried, v)
			if v.Reason == "" && e.Used < 0 {
				e.Used, e.Link, e.Gateway = i, ext.Uplinks[i].Dev, v.Gateway
			}
		}
		if was := before[place(v4)]; was != nil && was.Link == e.Link && was.Gateway == e.Gateway {
			e.Since = was.Since
		}
		both[place(v4)] = e
	}
	return both
}

// verdict says whether an uplink can carry a family now: it is up, and the host has a
// default route by it or was told the gateway.
func verdict(u *xml.Uplink, v4 bool, seen Observations) UplinkVerdict {
	link, there := seen.Links[u.Dev]
	switch {
	case !u.Carries(v4):
		return UplinkVerdict{Reason: "it is for " + familyName(!v4) + " only"}
	case !there:
		return UplinkVerdict{Reason: fmt.Sprintf("there is no link %s", u.Dev)}
	case !link.Up:
		return UplinkVerdict{Reason: fmt.Sprintf("link %s is down, or has no carrier", u.Dev)}
	case u.Gateway.IsValid():
		return UplinkVerdict{Gateway: u.Gateway}
	}
	var best *policy.Default
	for i := range seen.Defaults[place(v4)] {
		if d := &seen.Defaults[place(v4)][i]; d.Link == u.Dev && (best == nil || d.Before(*best)) {
			best = d
		}
	}
	if best == nil {
		return UplinkVerdict{Reason: fmt.Sprintf("there is no %s default route by %s", familyName(v4), u.Dev)}
	}
	return UplinkVerdict{Gateway: best.Gateway}
}

// sameEgress reports whether guests leave in the same way.
func sameEgress(a, b [2]*Egress) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) || a[i] != nil && (a[i].Way != b[i].Way || !slices.Equal(a[i].Tried, b[i].Tried)) {
			return false
		}
	}
	return true
}

// EgressChanges says in which families guests leave in another way, and why.
func EgressChanges(before, after *Resolution) []string {
	var texts []string
	for i, e := range after.Egress {
		was := before.Egress[i]
		if e == nil || was == nil || was.Way == e.Way {
			continue
		}
		text := familyName(i == 0) + " by " + e.Link
		switch {
		case e.Used < 0 && e.Guard:
			text = familyName(i == 0) + " not at all"
		case e.Used < 0:
			text = familyName(i == 0) + " as the host does"
		case e.Gateway.IsValid():
			text += " via " + e.Gateway.String()
		}
		for at := range e.Tried {
			if reason := e.Tried[at].Reason; reason != "" && (e.Used < 0 || at < e.Used) && after.Ext.Uplinks[at].Carries(i == 0) {
				text += ", not by " + after.Ext.Uplinks[at].Dev + " (" + reason + ")"
			}
		}
		texts = append(texts, text)
	}
	return texts
}

// maxExcept bounds the destinations that a link that is shut has routes to.
const maxExcept = 64

// shut returns the links by which guests must not leave: all by which everything is
// reached, but for their uplink. Where more specific routes lead by one, as to its own
// subnet, these are for guests, too. One with a great many of those is left to routing
// alone.
func shut(def *xml.Network, both [2]*Egress, seen Observations) []firewall.Shut {
	var list []firewall.Shut
	for _, v4 := range []bool{true, false} {
		e := both[place(v4)]
		if e == nil || !e.Guard {
			continue
		}
		doors := map[string]bool{}
		for _, d := range seen.Defaults[place(v4)] {
			doors[d.Link] = d.Link != e.Link && d.Link != def.Bridge.Name && firewall.CheckDevice(d.Link) == nil
		}
		for _, link := range slices.Sorted(maps.Keys(doors)) {
			s := firewall.Shut{Link: link, Index: seen.Links[link].Index, IPv6: !v4}
			for _, r := range seen.Routes {
				if r.Link == link && r.Dest.Addr().Is4() == v4 && !policy.IsDefault(r.Dest) && !slices.Contains(s.Except, r.Dest.Masked()) {
					s.Except = append(s.Except, r.Dest.Masked())
				}
			}
			slices.SortFunc(s.Except, netip.Prefix.Compare)
			if doors[link] && len(s.Except) <= maxExcept {
				list = append(list, s)
			}
		}
	}
	return list
}

// uplinksOf returns the links by which guests leave, as far as uplinks say.
func uplinksOf(both [2]*Egress) []string {
	var list []string
	for _, e := range both {
		if e != nil && e.Link != "" && !slices.Contains(list, e.Link) {
			list = append(list, e.Link)
		}
	}
	return list
}

// routing keeps rules and routes of routing as the network needs them.
func (c *compiler) routing() error {
	if !c.def.OwnsBridge() || !c.def.Forward.Mode.Routed() {
		return nil
	}
	op := step.RouteNetwork{Bridge: c.bridge}
	routeless := c.def.Advertise != nil && c.def.Advertise.ProxyNDP != ""
	for i := range c.ips {
		ip := &c.ips[i]
		subnet, ok := ip.Subnet()
		switch {
		case !ok || !ip.Address.IsValid():
		case routeless && i >= len(c.def.IPs):
			op.Through = append(op.Through, subnet)
		default:
			op.Addresses = append(op.Addresses, netip.PrefixFrom(ip.Address, subnet.Bits()))
		}
	}
	if c.resolution != nil {
		for i, e := range c.resolution.Egress {
			if e != nil {
				w := e.Way
				*[]**step.Way{&op.IPv4, &op.IPv6}[i] = &w
			}
		}
	}
	led := op.IPv4 != nil || op.IPv6 != nil // else it is as good as before
	c.add(step.Step{Do: op, Undo: step.UnrouteNetwork{Bridge: c.bridge}, Tolerate: !led})
	return nil
}

// overlayRouting does so for a network of another daemon, which knows nothing of it: for
// all its addresses.
func (c *compiler) overlayRouting(made *xml.Network) func() error {
	return func() error {
		all := *c
		all.def, all.ips = made, made.Subnets()
		err := all.routing()
		c.steps = all.steps
		return err
	}
}

// UplinkState is what one uplink of a network comes to in one family.
type UplinkState struct {
	IPv6    bool
	Used    bool // guests leave by it
	Since   int64
	Gateway netip.Addr
	Reason  string // why it cannot carry the family; "": it can
}

// UplinkStates says what an uplink, which has a place in the list, comes to, for the
// families that it is for.
func (r *Resolution) UplinkStates(at int) []UplinkState {
	var list []UplinkState
	for i, e := range r.Egress {
		if v4 := i == 0; e == nil || at >= len(e.Tried) || !r.Ext.Uplinks[at].Carries(v4) {
			continue
		}
		s := UplinkState{IPv6: i == 1, Used: e.Used == at, Gateway: e.Tried[at].Gateway, Reason: e.Tried[at].Reason}
		if s.Used {
			s.Since = e.Since
		}
		list = append(list, s)
	}
	return list
}
