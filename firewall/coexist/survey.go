package coexist

import (
	"net/netip"
	"slices"
)

// Survey is what others have in the kernel's packet filter where guests' packets
// pass: all tables but ours that have base chains on the hooks that were asked for.
type Survey struct {
	Tables []Table

	settled bool
	marking []*Rule // that may set a packet's mark, but for those that see frames
	framed  bool    // some of those do
}

// TC is the name of the table that filters of tc(8) are told as: a chain for each
// direction of a device, with rules whose handles are the filters' preferences.
const TC = "filters of tc"

// The address families of tables, in nft's words.
const (
	IPv4   = "ip"
	IPv6   = "ip6"
	Inet   = "inet"
	Bridge = "bridge"
	Netdev = "netdev"
	ARP    = "arp"
)

// Table is one table of somebody else.
type Table struct {
	Family string // IPv4, ...
	Name   string
	Owned  bool // the kernel lets only the program that made it change it (NFT_TABLE_F_OWNER)
	Legacy bool // of the iptables that was before nf_tables: its own program alone changes it
	Chains []Chain
}

// String returns family and name, as nft has them.
func (t *Table) String() string {
	if t.Name == TC {
		return "tc"
	}
	return t.Family + " " + t.Name
}

// Iptables reports whether iptables-nft keeps the table: what is put there must
// be what it can read, else its listings fail.
func (t *Table) Iptables() bool {
	if t.Family != IPv4 && t.Family != IPv6 || !slices.Contains([]string{"filter", "mangle", "raw", "security"}, t.Name) {
		return false
	}
	for i := range t.Chains {
		switch t.Chains[i].Name {
		case "INPUT", "FORWARD", "OUTPUT":
			return true
		}
	}
	return false
}

// chain returns the position of a chain; -1: there is none.
func (t *Table) chain(name string) int {
	for i := range t.Chains {
		if t.Chains[i].Name == name {
			return i
		}
	}
	return -1
}

// Hook is a place where the kernel calls base chains.
type Hook string

// The hooks that are surveyed. Those at which virbrd accepts are the first three;
// doctor looks at all of them.
const (
	Input       Hook = "input"       // what comes to the host
	Forward     Hook = "forward"     // what the host passes on
	Output      Hook = "output"      // what the host sends
	Prerouting  Hook = "prerouting"  // what comes in
	Postrouting Hook = "postrouting" // what goes out
	Ingress     Hook = "ingress"     // what a device receives
	Egress      Hook = "egress"      // what a device sends
)

// Chain is a list of rules. With a Hook it is a base chain.
type Chain struct {
	Name     string
	Hook     Hook // "": only other chains lead here
	Priority int32
	Devices  []string // of Ingress and Egress
	Drop     bool     // policy of a base chain: what no rule decided is dropped
	Rules    []Rule
}

// Rule is one rule, as far as it matters for where packets go.
type Rule struct {
	Handle  uint64
	Comment string
	Match   []Match
	Verdict Verdict
	Marks   bool // it sets the packet's mark

	spec string // of a Legacy table: what iptables lists after the chain's name

	// Key and Map are those of a verdict map: a packet whose Key is that of an
	// entry has the entry's verdict. Verdict is Continue then.
	Key Field
	Map []Entry
}

// Entry is one entry of a verdict map.
type Entry struct {
	Value   Value
	Verdict Verdict
}

// VerdictKind is what a rule does with a packet.
type VerdictKind uint8

// The verdicts. Continue is that of rules that only count, log or mark; Other is
// one that ends the walk and is none of the others, as a queue to a program.
const (
	Continue VerdictKind = iota
	Accept
	Drop
	Reject
	Jump
	Goto
	Return
	Other
)

// Verdict is a kind, and for Jump and Goto where to.
type Verdict struct {
	Kind  VerdictKind
	Chain string
	Text  string // in the place of what Kind says

	// Rewrites says how an Accept changes an address, in nft's words:
	// "masquerade", "snat", "dnat" or "redirect"; "": it does not.
	Rewrites string
}

// Field is a property of a packet, in nft's words.
type Field string

// The fields that are understood. Unknown is any other condition.
const (
	InName     Field = "iifname"
	OutName    Field = "oifname"
	NFProto    Field = "meta nfproto"
	L4Proto    Field = "meta l4proto"
	DestPort   Field = "th dport"
	FromPort   Field = "th sport"
	ICMPType   Field = "icmp type" // and icmpv6 type: the first byte of the header
	State      Field = "ct state"
	Source     Field = "saddr"
	Dest       Field = "daddr"
	DestCast   Field = "fib daddr type"
	BackAny    Field = "fib saddr oif"
	PacketMark Field = "meta mark"           // only a mark of 0 is told from others
	BackIn     Field = "fib saddr . iif oif" // whether there is a way back to the source, by the interface that the packet came by
	Unknown    Field = ""
)

// Match is a condition: the field has one of the values, or with Not none.
type Match struct {
	Field  Field
	Not    bool
	Values []Value
	Text   string // of Unknown: the name of the expression or extension
}

// Value is one value of a field. Names use Name, addresses Prefix, all others
// the range Low to High. States are a set of bits, in Low.
type Value struct {
	Name      string
	Wild      bool // the name is that of all interfaces that begin so
	Low, High uint64
	Prefix    netip.Prefix
}

// The values of BackAny and BackIn.
const (
	Missing = 0
	Exists  = 1
)

// The values of DestCast, as the kernel has them (RTN_UNICAST and so on).
const (
	CastUnicast   = 1
	CastLocal     = 2 // the host's own addresses
	CastBroadcast = 3
	CastMulticast = 5
)

// The bits of State, as the kernel has them (NF_CT_STATE_BIT).
const (
	StateInvalid     = 1
	StateEstablished = 2
	StateRelated     = 4
	StateNew         = 8
	StateUntracked   = 64

	// StateTranslated is iptables' state DNAT, and nft's "ct status dnat".
	StateTranslated = 1 << 16
)
