package firewall

import "net/netip"

// TableName is the one table, of family inet.
const TableName = "virbr"

// Ruleset is the contents of the table. Order counts for the rules of a chain
// only; the rest is printed in the order given.
type Ruleset struct {
	Maps     []Map
	Chains   []Chain
	Elements []Element
}

// KeyType is the type of a map's keys, in nft's words.
type KeyType string

// The key types.
const (
	KeyName KeyType = "ifname"
	KeyIPv4 KeyType = "ipv4_addr"
	KeyIPv6 KeyType = "ipv6_addr"
)

// Map is a verdict map. Maps of addresses hold intervals, which must not
// overlap.
type Map struct {
	Name string
	Key  KeyType
}

// Element is one entry of a verdict map: packets whose key is Name or lies in
// Prefix jump to Chain.
type Element struct {
	Map    string
	Name   string       `json:",omitzero"` // maps of KeyName
	Prefix netip.Prefix `json:",omitzero"` // maps of KeyIPv4 and KeyIPv6
	Chain  string
}

// Chain is a list of rules. With a Hook it is a base chain, which the kernel
// calls; without, only others jump to it, and a packet that no rule of it
// decides goes back to the caller.
type Chain struct {
	Name  string
	Hook  *Hook `json:",omitzero"`
	Rules []Rule
}

// Hook is where and when the kernel calls a base chain. Its policy is accept:
// policies would decide about traffic of others.
type Hook struct {
	Type     string // "filter" or "nat"
	Name     string // "forward", "postrouting", ...
	Priority int32  // printed as a number: names differ between versions of nft
}

// Rule does Do with the packets for which every Match holds.
type Rule struct {
	Match   []Match `json:",omitempty"`
	Counter bool    `json:",omitzero"` // count what gets as far as Do
	Do      Action
}

// Field is a property of a packet, in nft's words.
type Field string

// The fields.
const (
	InName   Field = "iifname"
	OutName  Field = "oifname"
	Source4  Field = "ip saddr"
	Dest4    Field = "ip daddr"
	Source6  Field = "ip6 saddr"
	Dest6    Field = "ip6 daddr"
	Protocol Field = "meta l4proto"
	State    Field = "ct state"
)

// Established is the value of a State match: packets of a connection that is
// known, or that a known one announced.
const Established = "established,related"

// Match is one condition of a rule.
type Match struct {
	Field  Field
	Not    bool         `json:",omitzero"` // names only
	Word   string       `json:",omitzero"` // a device; "tcp" or "udp"; Established
	Prefix netip.Prefix `json:",omitzero"` // addresses
}

// ActionKind is what a rule does, in nft's words.
type ActionKind string

// The kinds of Action.
const (
	Return     ActionKind = "return"
	Reject     ActionKind = "reject with icmpx port-unreachable" // ICMP 3/3, ICMPv6 1/4
	Lookup     ActionKind = "vmap"
	Masquerade ActionKind = "masquerade"
	SNAT       ActionKind = "snat"
)

// Action is what a rule does with a packet.
type Action struct {
	Kind ActionKind

	Field Field  `json:",omitzero"` // Lookup: the key
	Map   string `json:",omitzero"` // Lookup: where

	// SNAT: the new source, one of AddrStart to AddrEnd, both IPv4.
	AddrStart netip.Addr `json:",omitzero"`
	AddrEnd   netip.Addr `json:",omitzero"`

	// SNAT and Masquerade: the new source port; 0: the kernel's choice.
	PortStart uint16 `json:",omitzero"`
	PortEnd   uint16 `json:",omitzero"`
}

// Network is the firewall rules of one network: its own chains, and the
// elements that lead to them from the maps of the base chains. It survives a
// round trip through JSON.
type Network struct {
	Bridge   string // the key: rules of one bridge replace each other
	Chains   []Chain
	Elements []Element
}

// The maps of the base chains.
const (
	LeaveMap = "leave" // by bridge: what its guests send
	EnterMap = "enter" // by bridge: what is sent to its guests
	NAT4Map  = "nat4"  // by source subnet
	NAT6Map  = "nat6"
)

// Base returns what all networks share: the maps and the base chains. That
// forward asks both the network that a packet leaves and the one that it enters
// closes a hole that libvirt has: there the second one's accept is final, so
// isolated guests can send into routed networks.
func Base() *Ruleset {
	lookup := func(f Field, m string) Rule { return Rule{Do: Action{Kind: Lookup, Field: f, Map: m}} }
	return &Ruleset{
		Maps: []Map{
			{Name: LeaveMap, Key: KeyName},
			{Name: EnterMap, Key: KeyName},
			{Name: NAT4Map, Key: KeyIPv4},
			{Name: NAT6Map, Key: KeyIPv6},
		},
		Chains: []Chain{{
			Name:  "forward",
			Hook:  &Hook{Type: "filter", Name: "forward", Priority: 0},
			Rules: []Rule{lookup(InName, LeaveMap), lookup(OutName, EnterMap)},
		}, {
			Name:  "postrouting",
			Hook:  &Hook{Type: "nat", Name: "postrouting", Priority: 100},
			Rules: []Rule{lookup(Source4, NAT4Map), lookup(Source6, NAT6Map)},
		}},
	}
}

// With returns the ruleset with the networks' chains and elements added. nil
// networks, which have no rules, are left out.
func (r *Ruleset) With(nets ...*Network) *Ruleset {
	out := &Ruleset{
		Maps:     append([]Map(nil), r.Maps...),
		Chains:   append([]Chain(nil), r.Chains...),
		Elements: append([]Element(nil), r.Elements...),
	}
	for _, n := range nets {
		if n != nil {
			out.Chains = append(out.Chains, n.Chains...)
			out.Elements = append(out.Elements, n.Elements...)
		}
	}
	return out
}
