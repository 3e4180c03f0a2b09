package firewall

import (
	"fmt"
	"net/netip"
	"slices"
)

// Validate refuses a network with a value that cannot be written into a rule,
// or with chains and elements that are not its bridge's own. Compile's results
// are valid; values that were read from a file need not be.
func (n *Network) Validate() error {
	if err := CheckDevice(n.Bridge); err != nil {
		return err
	}
	own := map[string]string{}
	for _, m := range Owned() {
		own[ChainName(m.Name, n.Bridge)] = m.Name
	}
	for _, c := range n.Chains {
		if own[c.Name] == "" || c.Hook != nil {
			return fmt.Errorf("chain %q is not one of bridge %q", c.Name, n.Bridge)
		}
		for _, r := range c.Rules {
			if err := r.validate(own[c.Name]); err != nil {
				return fmt.Errorf("chain %q: %w", c.Name, err)
			}
		}
	}
	for _, e := range n.Elements {
		if err := e.validate(n.Bridge); err != nil {
			return err
		}
	}
	if n.Guard != nil && n.Guard.Owner != n.Bridge {
		return fmt.Errorf("the guard is of bridge %q, not %q", n.Guard.Owner, n.Bridge)
	}
	if n.Guard != nil {
		if err := n.Guard.Validate(); err != nil {
			return err
		}
	}
	for _, link := range n.Fast {
		if err := CheckDevice(link); err != nil {
			return err
		}
	}
	return n.validData()
}

func (e Element) validate(bridge string) error {
	ok := e.Chain == ChainName(e.Map, bridge)
	switch e.Map {
	case LeaveMap, EnterMap, HairpinMap, VouchMap, HostMap, FastMap, IngressMap, GuardMap:
		ok = ok && e.Name == bridge && !e.Prefix.IsValid()
	case NAT4Map:
		ok = ok && e.Name == "" && plain(e.Prefix, true)
	case NAT6Map:
		ok = ok && e.Name == "" && plain(e.Prefix, false)
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("element %q of map %q is not one of bridge %q", e, e.Map, bridge)
	}
	return nil
}

// actions are what the rules of a network's chains may do.
var actions = map[string][]ActionKind{
	LeaveMap: {Return, Jump, Reject}, EnterMap: {Return, Jump, Reject},
	NAT4Map: {Return, Masquerade, SNAT}, NAT6Map: {Return, Masquerade, SNAT},
	HairpinMap: {Masquerade, Accept}, VouchMap: {Mark, Unmark, Jump},
	inwardChain: {Return, Jump}, outwardChain: {Return, NoTrack},
	HostMap: {Return, Reject}, FastMap: {Jump}, IngressMap: {Jump}, GuardMap: {Return, Reject},
}

// validate checks a rule of the chain that is named after a map.
func (r Rule) validate(m string) error {
	for _, m := range r.Match {
		if !m.valid() {
			return fmt.Errorf("%q is not a condition", m)
		}
	}
	if !slices.Contains(actions[m], r.Do.Kind) || !r.Do.valid() {
		return fmt.Errorf("%q is not an action of a network's chain", r.Do)
	}
	return nil
}

func (m Match) valid() bool {
	switch m.Field {
	case InName, OutName, DestLink, FromLink:
		return CheckDevice(m.Word) == nil
	case Source4, Dest4:
		return !m.Not && plain(m.Prefix, true)
	case Source6, Dest6:
		return !m.Not && plain(m.Prefix, false)
	case Protocol:
		return !m.Not && (m.Word == "tcp" || m.Word == "udp")
	case State:
		return !m.Not && (m.Word == Established || m.Word == Untracked)
	case Status:
		return !m.Not && m.Word == Translated
	case Direction:
		return !m.Not && (m.Word == Original || m.Word == Reply)
	case Family:
		return !m.Not && (m.Word == IPv4 || m.Word == IPv6)
	case DestType:
		return m.Word == Unicast
	case Key:
		return !m.Not && (m.Set == "bare4" || m.Set == "bare6") && len(m.Key.Fields) == 1
	case DestPort:
		return !m.Not && m.Port != 0
	case ConnMark:
		return !m.Not && m.Mark&m.mask() == m.Mark
	case ICMP4Type, ICMP6Type:
		return !m.Not && m.Lo <= m.Hi
	case InBridge, EtherSource, EtherDest, EtherType, FrameProtocol, VLANID, SNAP, ARPSourceMAC, ARPSource, ARPDest, NDTarget, NDOption, NDLinkAddress, Fragment, FragmentOffset, Faster:
	case PackMark, InIndex, Socket, FirstSource4, FirstSource6, FirstDest4, FirstDest6, FirstPort, Answerer4, Answerer6, AnswererPort:
		// of base chains only
	}
	return false
}

// mask returns which bits of a mark count.
func (m Match) mask() uint32 {
	if m.Mask == 0 {
		return ^uint32(0)
	}
	return m.Mask
}

func (a Action) valid() bool {
	ports := a.PortStart <= a.PortEnd && (a.PortStart == 0) == (a.PortEnd == 0)
	switch a.Kind {
	case Return, Reject, Accept, Drop, NoTrack, Mark, Unmark:
		return true
	case Jump:
		return slices.Contains([]string{translateChain, keepChain, FlowChain, "reached4", "reached6"}, a.Chain)
	case Masquerade:
		return ports
	case SNAT:
		return ports && a.Map == "" && a.AddrStart.Is4() && a.AddrEnd.Is4() && !a.AddrEnd.Less(a.AddrStart)
	case Lookup, DNAT, Rewrite, Embedded, FlowAdd, Tell, KeepLink, TellLink: // of base chains only
	}
	return false
}

// plain reports whether p is a subnet of the family without host bits.
func plain(p netip.Prefix, v4 bool) bool {
	return p.IsValid() && p.Bits() > 0 && p == p.Masked() && p.Addr().Is4() == v4 && !p.Addr().Is4In6()
}
