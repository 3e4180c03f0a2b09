package topology

import (
	"net/netip"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// Owner is who makes the rules of virbr's own table.
const Owner coexist.Owner = "virbr"

// Rules returns the table that virbr has for networks, for a walk through it. What
// decides where a packet goes is in it, what only marks or counts is not.
//
// That the destination was translated is not asked of our own maps again: who walks
// has found that in [firewall.Network.Entries], of which the maps are made.
func Rules(nets ...*firewall.Network) coexist.Table {
	all := &firewall.Ruleset{}
	for _, part := range firewall.Parts() {
		for _, n := range nets {
			if n != nil && part.Needed(n) {
				all.Chains = append(all.Chains, part.Chains...)
				break
			}
		}
	}
	all = all.With(nets...)
	t := coexist.Table{Family: coexist.Inet, Name: firewall.TableName}
	for _, c := range all.Chains {
		made := coexist.Chain{Name: c.Name}
		if c.Hook != nil {
			made.Hook, made.Priority = coexist.Hook(c.Hook.Name), c.Hook.Priority
		}
		for _, r := range c.Rules {
			if rule, ok := ruleOf(r, all.Elements); ok {
				made.Rules = append(made.Rules, rule)
			}
		}
		t.Chains = append(t.Chains, made)
	}
	return t
}

// ruleOf returns a rule, unless it says nothing about where packets go.
func ruleOf(r firewall.Rule, elements []firewall.Element) (coexist.Rule, bool) {
	var made coexist.Rule
	for _, m := range r.Match {
		made.Match = append(made.Match, matchOf(m))
	}
	switch r.Do.Kind {
	case firewall.Return:
		made.Verdict.Kind = coexist.Return
	case firewall.Accept:
		made.Verdict.Kind = coexist.Accept
	case firewall.Drop:
		made.Verdict.Kind = coexist.Drop
	case firewall.Reject:
		made.Verdict.Kind = coexist.Reject
	case firewall.Jump:
		made.Verdict = coexist.Verdict{Kind: coexist.Jump, Chain: r.Do.Chain}
	case firewall.Masquerade, firewall.SNAT:
		if r.Do.Map != "" { // to a public address, which who walks finds himself
			return made, false
		}
		made.Verdict = coexist.Verdict{Kind: coexist.Accept, Rewrites: string(r.Do.Kind)}
	case firewall.Lookup:
		made.Key = fieldOf(r.Do.Field)
		for _, e := range elements {
			if e.Map == r.Do.Map {
				made.Map = append(made.Map, coexist.Entry{
					Value: coexist.Value{Name: e.Name, Prefix: e.Prefix}, Verdict: coexist.Verdict{Kind: coexist.Jump, Chain: e.Chain},
				})
			}
		}
		return made, len(made.Map) > 0
	case firewall.DNAT, firewall.Rewrite, firewall.Embedded, firewall.NoTrack, firewall.Mark, firewall.Unmark, firewall.FlowAdd:
		return made, false
	default:
		return made, false
	}
	return made, true
}

// fieldOf returns the field of which an own one is a kind.
func fieldOf(f firewall.Field) coexist.Field {
	switch f {
	case firewall.InName:
		return coexist.InName
	case firewall.OutName:
		return coexist.OutName
	case firewall.Source4, firewall.Source6:
		return coexist.Source
	case firewall.Dest4, firewall.Dest6:
		return coexist.Dest
	case firewall.Protocol:
		return coexist.L4Proto
	case firewall.Family:
		return coexist.NFProto
	case firewall.State, firewall.Status, firewall.Direction, firewall.Key:
		return coexist.State
	case firewall.DestPort:
		return coexist.DestPort
	case firewall.ICMP4Type, firewall.ICMP6Type:
		return coexist.ICMPType
	default: // what connections were opened for, and the like
		return coexist.Unknown
	}
}

// The numbers of Protocol (IANA) and Family (NFPROTO_*).
var numbers = map[string]uint64{"tcp": 6, "udp": 17, "sctp": 132, firewall.IPv4: 2, firewall.IPv6: 10}

// statesOf are the bits of words about connections. The first packet of one goes in
// its original direction.
var statesOf = map[string]uint64{
	firewall.Established: coexist.StateEstablished | coexist.StateRelated,
	firewall.New:         coexist.StateNew,
	firewall.Untracked:   coexist.StateUntracked,
	firewall.Stray:       coexist.StateInvalid | coexist.StateUntracked,
	firewall.Translated:  coexist.StateTranslated,
	firewall.Original:    coexist.StateNew,
	firewall.Reply:       coexist.StateEstablished,
}

func matchOf(m firewall.Match) coexist.Match {
	made := coexist.Match{Field: fieldOf(m.Field), Not: m.Not, Text: string(m.Field)}
	var v coexist.Value
	switch made.Field {
	case coexist.InName, coexist.OutName:
		v.Name = m.Word
	case coexist.Source, coexist.Dest:
		v.Prefix = m.Prefix
	case coexist.L4Proto, coexist.NFProto:
		v.Low, v.High = numbers[m.Word], numbers[m.Word]
	case coexist.State:
		v.Low = statesOf[m.Word]
		if m.Field == firewall.Key {
			v.Low = coexist.StateTranslated
		}
		v.High = v.Low
	case coexist.DestPort:
		v.Low, v.High = uint64(m.Port), uint64(m.Port)
	case coexist.ICMPType:
		v.Low, v.High = uint64(m.Lo), uint64(m.Hi)
	default:
		return coexist.Match{Field: coexist.Unknown, Text: string(m.Field)}
	}
	made.Values = []coexist.Value{v}
	return made
}

// guestOf is an address of a guest in the first subnet of a family.
func guestOf(subnets []netip.Prefix, six bool) netip.Addr {
	for _, p := range subnets {
		if p.Addr().Is6() == six {
			return p.Masked().Addr().Next().Next()
		}
	}
	return netip.Addr{}
}
