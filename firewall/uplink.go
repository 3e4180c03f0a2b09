package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// LinkMark, with the index of a link in the bits of MaxLink, marks connections that
// others opened to guests, and the packets of guests that answer in them, with the
// link that the connection came in by: rules of routing send the answers back by it.
// The bits between are left alone: programs that mark packets to be masqueraded or
// tunnelled use those (Kubernetes 0x4000 and 0x8000, Tailscale 0xff0000).
const (
	LinkMark     = 0x5a000000
	LinkMarkMask = 0xff000000
	MaxLink      = 0x3fff
)

// MarkOf returns the mark of a link's connections; 0: they have none, as a link with a
// higher index than [MaxLink].
func MarkOf(index int) uint32 {
	if index <= 0 || index > MaxLink {
		return 0
	}
	return LinkMark | uint32(index)
}

// IngressMap says by which link connections come to guests: by bridge.
const IngressMap = "ingress"

// GuardMap keeps guests off links that are not their uplinks: by bridge.
const GuardMap = "guard"

// The base chains that look into these maps.
const (
	ArrivalChain = "arrivals"
	GuardChain   = "leakguard"
)

// atMangle is the priority at which packets are marked before they are routed
// (NF_IP_PRI_MANGLE): their connection is known by then.
const atMangle = -150

// ingress is for networks whose guests others open connections to. What another
// program marked is left alone.
func ingress() Part {
	noted := Match{Field: ConnMark, Mask: LinkMarkMask, Mark: LinkMark}
	return Part{Marker: IngressMap, Ruleset: Ruleset{
		Maps: []Map{{Name: IngressMap, Key: KeyName, Value: ValueVerdict}},
		Chains: []Chain{{
			Name:  keepChain,
			Rules: []Rule{{Match: []Match{{Field: ConnMark}, {Field: InIndex, Word: Small}}, Do: Action{Kind: KeepLink}}},
		}, {
			Name: ArrivalChain, Hook: &Hook{Type: "filter", Name: "forward", Priority: beforeFilters},
			Rules: []Rule{{Match: []Match{{Field: State, Word: New}}, Do: Action{Kind: Lookup, Field: OutName, Map: IngressMap}}},
		}, {
			Name: "answers", Hook: &Hook{Type: "filter", Name: "prerouting", Priority: atMangle},
			Rules: []Rule{{Match: []Match{{Field: Direction, Word: Reply}, noted, {Field: PackMark}}, Do: Action{Kind: TellLink}}},
		}},
	}}
}

// ingress notes the link that connections to guests come in by.
func (c *compiler) ingress(n *Network) {
	open := c.mode == xml.ForwardRoute || c.mode == xml.ForwardNAT &&
		slices.ContainsFunc(c.subnets6, func(p netip.Prefix) bool { return !slices.Contains(c.replies6, p) })
	if !open && !c.forwarded {
		return
	}
	c.filter(n, IngressMap, []Rule{{Do: Action{Kind: Jump, Chain: keepChain}}})
}

// guard is for networks that have uplinks of their own: the second line behind the
// rules of routing, which somebody may delete or get ahead of.
func guard() Part {
	return Part{Marker: GuardMap, Ruleset: Ruleset{
		Maps: []Map{{Name: GuardMap, Key: KeyName, Value: ValueVerdict}},
		Chains: []Chain{{
			Name: GuardChain, Hook: &Hook{Type: "filter", Name: "forward", Priority: beforeFilters},
			Rules: []Rule{lookup(InName, GuardMap)},
		}},
	}}
}

// Shut is a link by which the guests of a network must not leave.
type Shut struct {
	Link   string
	Index  int            // answers to what came in by it may leave by it
	IPv6   bool           // the family
	Except []netip.Prefix `json:",omitempty"` // where more specific routes than the default one lead by it
}

func (s Shut) validate() error {
	if err := CheckDevice(s.Link); err != nil {
		return err
	}
	for _, p := range s.Except {
		if !plain(p, !s.IPv6) {
			return fmt.Errorf("%s cannot be a destination by %q", p, s.Link)
		}
	}
	return nil
}

// Equal reports whether both shut the same.
func (s Shut) Equal(o Shut) bool {
	return s.Link == o.Link && s.Index == o.Index && s.IPv6 == o.IPv6 && slices.Equal(s.Except, o.Except)
}

// guard refuses what leaves by links that are shut.
func (c *compiler) guard(n *Network, ext *xml.Extensions, where Where) error {
	if ext == nil || !ext.Guarded(true) && !ext.Guarded(false) {
		return nil
	}
	var rules []Rule
	for _, s := range where.Shut {
		if err := s.validate(); err != nil {
			return err
		}
		f, out := &families[0], device(OutName, s.Link)
		if s.IPv6 {
			f = &families[1]
		}
		if mark := MarkOf(s.Index); mark != 0 {
			rules = append(rules, allow(out, Match{Field: ConnMark, Mark: mark}, Match{Field: Direction, Word: Reply}))
		}
		for _, p := range s.Except {
			rules = append(rules, allow(out, Match{Field: f.dest, Prefix: p}))
		}
		rules = append(rules, Rule{Match: []Match{out, {Field: Family, Word: f.name}}, Counter: true, Do: Action{Kind: Reject}})
	}
	c.filter(n, GuardMap, rules)
	return nil
}
