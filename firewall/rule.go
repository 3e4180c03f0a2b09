package firewall

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/virbr/virbr/xml"
)

// TableName is the name of our tables: of family inet for what networks forward, of
// family bridge for what guests send on the bridge (see [Guard]).
const TableName = "virbr"

// TableFamily is that of a table. The zero value is inet.
type TableFamily uint8

// The families of our tables.
const (
	InetTable TableFamily = iota
	BridgeTable
)

// String returns nft's word.
func (f TableFamily) String() string {
	if f == BridgeTable {
		return "bridge"
	}
	return "inet"
}

// Ruleset is the contents of the table. Order counts for the rules of a chain
// only; the rest is printed in the order given.
type Ruleset struct {
	Family     TableFamily
	Maps       []Map
	Flowtables []Flowtable
	Chains     []Chain
	Elements   []Element
	Data       []Datum
}

// KeyType is the type of a map's keys, in nft's words.
type KeyType string

// The key types.
const (
	KeyName KeyType = "ifname"
	KeyIPv4 KeyType = "ipv4_addr"
	KeyIPv6 KeyType = "ipv6_addr"

	KeyMAC   KeyType = "ether_addr . ifname"
	KeyPass4 KeyType = "ipv4_addr . ether_addr . ifname"
	KeyPass6 KeyType = "ipv6_addr . ether_addr . ifname"

	KeyListen4 KeyType = "ipv4_addr . inet_proto . inet_service"
	KeyListen6 KeyType = "ipv6_addr . inet_proto . inet_service"
	KeyPort    KeyType = "inet_proto . inet_service"

	KeyOwner4     KeyType = "ipv4_addr . ipv4_addr"
	KeyOwner6     KeyType = "ipv6_addr . ipv6_addr"
	KeyUplink4    KeyType = "ipv4_addr . ifname"
	KeyUplink6    KeyType = "ipv6_addr . ifname"
	KeyReach4     KeyType = "ipv4_addr . inet_proto . inet_service . ipv4_addr . inet_service"
	KeyReach6     KeyType = "ipv6_addr . inet_proto . inet_service . ipv6_addr . inet_service"
	KeyReachAny4  KeyType = "inet_proto . inet_service . ipv4_addr . inet_service"
	KeyFrom4      KeyType = "ipv4_addr . ipv4_addr . inet_proto . inet_service"
	KeyFrom6      KeyType = "ipv6_addr . ipv6_addr . inet_proto . inet_service"
	KeyFromReach4 KeyType = "ipv4_addr . ipv4_addr . inet_proto . inet_service . ipv4_addr"
	KeyFromReach6 KeyType = "ipv6_addr . ipv6_addr . inet_proto . inet_service . ipv6_addr"
	KeyReachAny6  KeyType = "inet_proto . inet_service . ipv6_addr . inet_service"
)

// ValueType is what a map has for each key, in nft's words.
type ValueType string

// The types of values.
const (
	ValueVerdict ValueType = "verdict"
	ValueNone    ValueType = "" // it is a set
	ValueIPv4    ValueType = "ipv4_addr"
	ValueIPv6    ValueType = "ipv6_addr"
	ValueTo4     ValueType = "ipv4_addr . inet_service"
	ValueTo6     ValueType = "ipv6_addr . inet_service"
)

// Map is a map, or a set. Keys of one with Ranges are intervals, which must not
// overlap: of compound keys, each part is one.
type Map struct {
	Name   string
	Key    KeyType
	Value  ValueType
	Ranges bool

	Counter bool   // each element counts the packets that it is found for
	Size    int    // it is filled by rules: at most so many elements; 0: it is not
	Timeout uint32 // with Size: how long an element stays after its last use, in seconds
}

// Holds reports whether networks have data in the map, instead of an [Element].
func (m Map) Holds() bool { return m.Value != ValueVerdict || m.Key != KeyName && !m.Ranges }

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

	// Of the connection, as conntrack knows it: its opener's first packet, and
	// who answers, which is the guest where the destination was translated.
	FirstSource4 Field = "ct original ip saddr"
	FirstSource6 Field = "ct original ip6 saddr"
	FirstDest4   Field = "ct original ip daddr"
	FirstDest6   Field = "ct original ip6 daddr"
	FirstPort    Field = "ct original proto-dst"
	Answerer4    Field = "ct reply ip saddr"
	Answerer6    Field = "ct reply ip6 saddr"
	AnswererPort Field = "ct reply proto-src"

	Status    Field = "ct status"
	Direction Field = "ct direction"
	Family    Field = "meta nfproto"
	DestPort  Field = "th dport"
	DestType  Field = "fib daddr type"    // what the routes say of the destination
	DestLink  Field = "fib daddr oifname" // where the routes lead to the destination
	FromLink  Field = "fib saddr oifname" // and to the source
	ConnMark  Field = "ct mark"
	PackMark  Field = "meta mark"
	InIndex   Field = "meta iif"        // the number of the link that the packet came in by
	Socket    Field = "socket wildcard" // of the process on the host that listens; none: no match
	ICMP4Type Field = "icmp type"
	ICMP6Type Field = "icmpv6 type"
	Key       Field = "key" // Match.Key, which is in Match.Set

	// Of frames, in the table of family bridge.
	InBridge       Field = "meta ibrname"
	EtherSource    Field = "ether saddr"
	EtherDest      Field = "ether daddr"
	EtherType      Field = "ether type"    // of a frame with a tag, that of the tag
	FrameProtocol  Field = "meta protocol" // behind the first tag
	VLANID         Field = "@ll,112,16 & 0xfff"
	SNAP           Field = "@ll,112,48" // LLC and SNAP headers of a type of Ethernet (RFC 1042)
	ARPSourceMAC   Field = "arp saddr ether"
	ARPSource      Field = "arp saddr ip"
	ARPDest        Field = "arp daddr ip"
	NDTarget       Field = "icmpv6 taddr"
	NDOption       Field = "@th,192,16"      // the first option: its type and length
	NDLinkAddress  Field = "@th,208,48"      // the address in it
	Fragment       Field = "exthdr frag"     // whether there is a fragment header
	FragmentOffset Field = "frag frag-off"   // of IPv6
	Faster         Field = "limit rate over" // the port is faster than Match.Rate; Match.Set is where that is known
)

// The values of matches that are words.
const (
	// Established of State: packets of a connection that is known, or that a
	// known one announced.
	Established = "established,related"
	// New of State: the first packets of a connection, in one direction.
	New = "new"
	// Untracked of State: packets that have been excepted from tracking.
	Untracked = "untracked"
	// Stray of State: those, and packets of no connection, such as ICMP errors
	// about what is not tracked.
	Stray = "invalid,untracked"

	Translated = "dnat"     // of Status: the destination has been translated
	Original   = "original" // of Direction: from the opener of the connection
	Reply      = "reply"    // of Direction: to the opener
	IPv4       = "ipv4"     // of Family
	IPv6       = "ipv6"     // of Family
	Local      = "local"    // of DestType: an address of the host
	Unicast    = "unicast"  // of DestType: elsewhere
	Small      = "< 16384"  // of InIndex: fits into [LinkMark]
	Any        = "<= 1"     // of Socket: bound to the address or to all

	TagC = "8021q"  // of EtherType and FrameProtocol
	TagS = "8021ad" // the same, of providers

	FrameARP  = "arp" // of FrameProtocol
	FrameIPv4 = "ip"
	FrameIPv6 = "ip6"
	FrameLLC  = "0x0004" // a length instead of a type (ETH_P_802_2)
)

// Tuple is several properties of a packet, as the key of a map. Ports are masked
// with Mask, unless that is 0.
type Tuple struct {
	Fields []Field `json:",omitempty"`
	Mask   uint16  `json:",omitzero"`
	Ranges bool    `json:",omitzero"` // the map has ranges
}

// String prints the tuple in nft's language.
func (t Tuple) String() string {
	var words []string
	for _, f := range t.Fields {
		word := string(f)
		if t.Mask != 0 && f.port() {
			word = fmt.Sprintf("(%s & %#x)", f, t.Mask)
		}
		words = append(words, word)
	}
	return strings.Join(words, " . ")
}

// port reports whether a field is a port.
func (f Field) port() bool { return f == DestPort || f == FirstPort || f == AnswererPort }

// Match is one condition of a rule.
type Match struct {
	Field  Field
	Not    bool         `json:",omitzero"` // names, words and addresses only
	Word   string       `json:",omitzero"` // a device; "tcp", "udp" or "sctp"; Established, ...
	Prefix netip.Prefix `json:",omitzero"` // addresses
	Lo, Hi uint8        `json:",omitzero"` // types of ICMP: from, to
	Port   uint16       `json:",omitzero"` // DestPort
	Mark   uint32       `json:",omitzero"` // ConnMark, PackMark: those bits of it that are in
	Mask   uint32       `json:",omitzero"` // this mask; 0: all
	Key    Tuple        `json:",omitzero"` // Key: what is in
	Set    string       `json:",omitzero"` // this set
	MAC    xml.MAC      `json:",omitzero"` // EtherDest
	Rate   uint16       `json:",omitzero"` // Faster: so many a second, after so many at once
	Burst  uint16       `json:",omitzero"`
}

// ActionKind is what a rule does, in nft's words.
type ActionKind string

// The kinds of Action.
const (
	Return     ActionKind = "return"
	Accept     ActionKind = "accept" // for this base chain
	Drop       ActionKind = "drop"
	Jump       ActionKind = "jump"
	NoTrack    ActionKind = "notrack"
	DNAT       ActionKind = "dnat"
	Rewrite    ActionKind = "set"                                // of an address, to another or by a map, without connection tracking
	Embedded   ActionKind = "embedded"                           // Rewrite in the packet that an ICMP error is about
	Reject     ActionKind = "reject with icmpx port-unreachable" // ICMP 3/3, ICMPv6 1/4
	Lookup     ActionKind = "vmap"
	Masquerade ActionKind = "masquerade"
	SNAT       ActionKind = "snat"
	Mark       ActionKind = "mark"      // sets [VouchMark]
	Unmark     ActionKind = "unmark"    // clears it
	KeepLink   ActionKind = "keep link" // sets the connection's mark to [LinkMark] and the link that the packet came in by
	TellLink   ActionKind = "tell link" // sets the packet's mark to that of its connection
	Tell       ActionKind = "log"       // to whoever listens to [GuardLog], not more often than Rate; the packet goes on
	FlowAdd    ActionKind = "flow add"  // the rest of the connection goes by a flowtable
)

// Action is what a rule does with a packet.
type Action struct {
	Kind ActionKind

	Field Field  `json:",omitzero"` // Lookup: the key; Rewrite, Embedded: the address, and the key unless there is a By
	By    Field  `json:",omitzero"` // Rewrite: the key
	Map   string `json:",omitzero"` // Lookup, DNAT, SNAT, Rewrite, Embedded: where; FlowAdd: the flowtable
	Key   Tuple  `json:",omitzero"` // DNAT, SNAT with a map: the key
	IPv6  bool   `json:",omitzero"` // DNAT, SNAT with a map: the family
	Ports bool   `json:",omitzero"` // DNAT: the map has ports, too
	Chain string `json:",omitzero"` // Jump

	To netip.Addr `json:",omitzero"` // Rewrite: to this, without a map

	// SNAT: the new source, one of AddrStart to AddrEnd, both IPv4.
	AddrStart netip.Addr `json:",omitzero"`
	AddrEnd   netip.Addr `json:",omitzero"`

	// SNAT and Masquerade: the new source port; 0: the kernel's choice.
	PortStart uint16 `json:",omitzero"`
	PortEnd   uint16 `json:",omitzero"`

	// Tell: so many a second of each port, after so many at once.
	Rate  uint16 `json:",omitzero"`
	Burst uint16 `json:",omitzero"`
}

// Network is the firewall rules of one network: its own chains, and the
// elements that lead to them from the maps of the base chains. It survives a
// round trip through JSON.
type Network struct {
	Bridge   string // the key: rules of one bridge replace each other
	Chains   []Chain
	Elements []Element
	Entries  []Entry  `json:",omitempty"` // ports that are forwarded or left alone; disjoint
	Publics  []Public `json:",omitempty"` // addresses that are translated one to one
	Uplinks  []string `json:",omitempty"` // links to which guests send from their public addresses

	// Home are addresses of the bridge, one of each family at most, where answers to
	// the host's own loopback arrive.
	Home []netip.Addr `json:",omitempty"`

	Guard *Guard `json:",omitempty"` // nil: the ports of the bridge are not guarded

	Fast []string `json:",omitempty"` // links between which its established connections go by the flowtable
}

// With returns the ruleset with the networks' chains and elements added. nil
// networks, which have no rules, are left out.
func (r *Ruleset) With(nets ...*Network) *Ruleset {
	out := &Ruleset{
		Maps:       append([]Map(nil), r.Maps...),
		Flowtables: append([]Flowtable(nil), r.Flowtables...),
		Chains:     append([]Chain(nil), r.Chains...),
		Elements:   append([]Element(nil), r.Elements...),
		Data:       append([]Datum(nil), r.Data...),
	}
	for _, n := range nets {
		if n != nil {
			out.Chains = append(out.Chains, n.Chains...)
			out.Elements = append(out.Elements, n.Elements...)
			out.Data = append(out.Data, n.Data()...)
			out.carry(n.Fast)
		}
	}
	return out
}
