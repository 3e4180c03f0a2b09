package firewall

import (
	"fmt"
	"net/netip"
)

// Validate refuses a network with a value that cannot be written into a rule,
// or with chains and elements that are not its bridge's own. Compile's results
// are valid; values that were read from a file need not be.
func (n *Network) Validate() error {
	if err := CheckDevice(n.Bridge); err != nil {
		return err
	}
	own := map[string]bool{}
	for _, m := range Base().Maps {
		own[ChainName(m.Name, n.Bridge)] = true
	}
	for _, c := range n.Chains {
		if !own[c.Name] || c.Hook != nil {
			return fmt.Errorf("chain %q is not one of bridge %q", c.Name, n.Bridge)
		}
		for _, r := range c.Rules {
			if err := r.validate(); err != nil {
				return fmt.Errorf("chain %q: %w", c.Name, err)
			}
		}
	}
	for _, e := range n.Elements {
		if err := e.validate(n.Bridge); err != nil {
			return err
		}
	}
	return nil
}

func (e Element) validate(bridge string) error {
	ok := e.Chain == ChainName(e.Map, bridge)
	switch e.Map {
	case LeaveMap, EnterMap:
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

func (r Rule) validate() error {
	for _, m := range r.Match {
		if !m.valid() {
			return fmt.Errorf("%q is not a condition", m)
		}
	}
	if !r.Do.valid() {
		return fmt.Errorf("%q is not an action of a network's chain", r.Do)
	}
	return nil
}

func (m Match) valid() bool {
	switch m.Field {
	case InName, OutName:
		return CheckDevice(m.Word) == nil
	case Source4, Dest4:
		return !m.Not && plain(m.Prefix, true)
	case Source6, Dest6:
		return !m.Not && plain(m.Prefix, false)
	case Protocol:
		return !m.Not && (m.Word == "tcp" || m.Word == "udp")
	case State:
		return !m.Not && m.Word == Established
	}
	return false
}

func (a Action) valid() bool {
	ports := a.PortStart <= a.PortEnd && (a.PortStart == 0) == (a.PortEnd == 0)
	switch a.Kind {
	case Return, Reject:
		return true
	case Masquerade:
		return ports
	case SNAT:
		return ports && a.AddrStart.Is4() && a.AddrEnd.Is4() && !a.AddrEnd.Less(a.AddrStart)
	case Lookup: // of base chains only
	}
	return false
}

// plain reports whether p is a subnet of the family without host bits.
func plain(p netip.Prefix, v4 bool) bool {
	return p.IsValid() && p.Bits() > 0 && p == p.Masked() && p.Addr().Is4() == v4 && !p.Addr().Is4In6()
}
