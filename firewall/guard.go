package firewall

import (
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// Guard is what keeps the guests of one network honest: sets in the table "bridge
// virbr", whose chains all networks share. It survives a round trip through JSON.
//
// All that a port may do and is kept from are elements whose key has its name, so
// what a frame costs depends on neither the number of ports nor that of networks,
// and a port comes, changes and goes in one batch. What is dropped is counted in the
// element of the port in the set of the cause.
type Guard struct {
	Owner string      // the bridge
	Ports []GuardPort // in the order of their links; each once

	// Closed: what arrives from links that are not among the ports is dropped also
	// before anybody has seen them. It needs CONFIG_NFT_BRIDGE_META of the kernel.
	Closed bool `json:",omitzero"`

	// Base: the table is to be there though there are no ports yet.
	Base bool `json:",omitzero"`
}

// GuardPort is one port of the bridge.
type GuardPort struct {
	Link  string
	Guest string  `json:",omitempty"` // for people: whose it is
	Stops []Cause // in the order of [Causes]

	MACs  []xml.MAC      `json:",omitempty"` // with StopMAC: what it may send from
	Addrs []netip.Prefix `json:",omitempty"` // with StopIP: the same, of both families
	Asks  []netip.Addr   `json:",omitempty"` // with StopRate: addresses of the host that it may ask for, but not fast
}

// Cause is why a frame of a guest is dropped.
type Cause string

// The causes.
const (
	StopUnknown Cause = "unknown" // the port is of no guest that is known
	StopSTP     Cause = "stp"     // a frame of a bridge
	StopVLAN    Cause = "vlan"    // a VLAN tag
	StopHidden  Cause = "hidden"  // encapsulated so that filters do not see what it is
	StopMAC     Cause = "mac"     // from another MAC address
	StopIP      Cause = "ip"      // from another IP address
	StopDHCP    Cause = "dhcp"    // an answer of a DHCP server
	StopDHCP6   Cause = "dhcp6"   // the same of DHCPv6
	StopRA      Cause = "ra"      // a router advertisement, or a redirect
	StopRate    Cause = "rate"    // it asks for the host faster than an honest guest does
)

// Causes returns all causes.
func Causes() []Cause {
	return []Cause{StopUnknown, StopSTP, StopVLAN, StopHidden, StopMAC, StopIP, StopDHCP, StopDHCP6, StopRA, StopRate}
}

// Set returns the name of the set of the ports that are stopped for a cause.
func (c Cause) Set() string { return "stop_" + string(c) }

// GuardedSet is by port: all others pass.
const GuardedSet = "guarded"

// The sets of the table that are not named after a cause.
const (
	MACsSet      = "macs"      // by MAC address and port
	passSet      = "pass"      // by address, MAC address and port; 4 and 6
	freeSet      = "free"      // by port: any address
	AddressesSet = "addresses" // by address and port; 4 and 6
	SubnetsSet   = "subnets"   // by subnet and port; 4 and 6
	asksSet      = "asks"      // by address of the host and port; 4 and 6
	learnSet     = "learns"    // by port: those whose new addresses are told to virbrd
	closedSet    = "closed"    // by bridge
	rateSet      = "rate"      // by port, as fast as it asks
	tellSet      = "telling"   // by port, as fast as it claims
)

// GuardLog is the number of the group of nfnetlink_log to which packets from an
// address that a port may not have are told. Other programs' groups are small numbers.
const GuardLog = 30306

// GuardSnap is how much of such a packet is told, in bytes: IPv6 with some extension
// headers and neighbour discovery.
const GuardSnap = 160

// snapHeader are the headers of LLC and SNAP before a type of Ethernet (RFC 1042).
const snapHeader = 0xaaaa03000000

// Needs reports whether a guard needs a part of [GuardParts].
func (g *Guard) Needs(p Part) bool { return p.Marker == "" || p.Marker == closedSet && g.Closed }

// Rates of one port. An honest guest asks for each of the host's addresses once a
// minute or so; one that forwards for others asks for them from as many sources as it
// has. The kernel's table of neighbours has room for 1,024.
const (
	asksPerSecond   = 20
	asksBurst       = 60
	claimsPerSecond = 10
	claimsBurst     = 20
	meteredPorts    = 1 << 14
	meterSeconds    = 60
	guardPriority   = -310 // before ebtables, which libvirt's nwfilter uses (NF_BR_PRI_NAT_DST_BRIDGED: -300)
	closedPriority  = guardPriority - 1
)

// GuardParts returns the pieces of the table of guards: what all networks share, and
// what closes bridges to unknown links.
func GuardParts() []Part { return []Part{guardPart(), closedPart()} }

// closedPart drops what arrives from links of closed bridges that are no known ports.
func closedPart() Part {
	return Part{Marker: closedSet, Ruleset: Ruleset{
		Family: BridgeTable,
		Maps:   []Map{{Name: closedSet, Key: KeyName, Counter: true}},
		Chains: []Chain{{
			Name: closedSet, Hook: &Hook{Type: "filter", Name: "prerouting", Priority: closedPriority},
			Rules: []Rule{drop(notIn(GuardedSet, InName), in(closedSet, 0, InBridge))},
		}},
	}}
}

func guardPart() Part {
	p := Part{Ruleset: Ruleset{Family: BridgeTable, Maps: guardMaps()}}
	frames := []Rule{
		{Match: []Match{notIn(GuardedSet, InName)}, Do: Action{Kind: Accept}},
		// Nearly all frames are these: without a tag, TCP or UDP, from where they should be.
		{Match: []Match{{Field: EtherType, Word: FrameIPv4}}, Do: Action{Kind: Jump, Chain: "plain_ipv4"}},
		{Match: []Match{{Field: EtherType, Word: FrameIPv6}}, Do: Action{Kind: Jump, Chain: "plain_ipv6"}},
		stop(StopUnknown),
		stop(StopSTP, Match{Field: EtherDest, MAC: xml.MAC{0x01, 0x80, 0xc2}}),                   // IEEE 802.1D
		stop(StopSTP, Match{Field: EtherDest, MAC: xml.MAC{0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd}}), // Cisco's, one a VLAN
		stop(StopVLAN, Match{Field: EtherType, Word: TagC}),
		stop(StopVLAN, Match{Field: EtherType, Word: TagS}),
		stop(StopMAC, notIn(MACsSet, EtherSource, InName)),
	}
	for _, tag := range []string{TagC, TagS} {
		// Behind a tag of VLAN 0, which only says a priority, others are stripped
		// by whoever gets the frame (CVE-2021-27853). The kernel has taken the first
		// tag off: what it then takes for the protocol is the next one.
		frames = append(frames, stop(StopHidden, Match{Field: FrameProtocol, Word: tag}, Match{Field: VLANID, Port: 0}))
	}
	frames = append(frames,
		// IPv4, ARP and IPv6 behind LLC and SNAP (RFC 1042), which some hosts understand.
		stop(StopHidden, Match{Field: FrameProtocol, Word: FrameLLC}, Match{Field: SNAP}),
		// What is in a VLAN is on another network, whose addresses nobody knows here.
		Rule{Match: []Match{{Field: EtherType, Word: TagC}, {Field: VLANID, Not: true, Port: 0}}, Do: Action{Kind: Accept}},
		Rule{Match: []Match{{Field: EtherType, Word: TagS}, {Field: VLANID, Not: true, Port: 0}}, Do: Action{Kind: Accept}},
	)
	for _, f := range []struct{ word, chain string }{{FrameARP, "from_arp"}, {FrameIPv4, "from_ipv4"}, {FrameIPv6, "from_ipv6"}} {
		frames = append(frames, Rule{Match: []Match{{Field: FrameProtocol, Word: f.word}}, Do: Action{Kind: Jump, Chain: f.chain}})
	}
	p.Chains = []Chain{
		{Name: "plain_ipv4", Rules: framed(FrameIPv4, plainRules(Source4, "4", portClient4))},
		{Name: "plain_ipv6", Rules: framed(FrameIPv6, plainRules(Source6, "6", portClient6))},
		{Name: "claim", Rules: claimRules()},
		{Name: "from_arp", Rules: framed(FrameARP, arpRules())},
		{Name: "from_ipv4", Rules: framed(FrameIPv4, ipv4Rules())},
		{Name: "fragment", Rules: framed(FrameIPv6, fragmentRules())},
		{Name: "neighbour", Rules: framed(FrameIPv6, neighbourRules())},
		{Name: "from_ipv6", Rules: framed(FrameIPv6, ipv6Rules())},
		{Name: "frames", Hook: &Hook{Type: "filter", Name: "prerouting", Priority: guardPriority}, Rules: frames},
	}
	return p
}

// framed says in each rule of a chain what the frames are that come there: otherwise
// nft looks at the type in the frame itself, where a tag may be.
func framed(protocol string, rules []Rule) []Rule {
	for i := range rules {
		if len(rules[i].Match) > 0 {
			rules[i].Match = append([]Match{{Field: FrameProtocol, Word: protocol}}, rules[i].Match...)
		}
	}
	return rules
}

func guardMaps() []Map {
	list := []Map{
		{Name: GuardedSet, Key: KeyName}, {Name: learnSet, Key: KeyName}, {Name: freeSet, Key: KeyName}, {Name: MACsSet, Key: KeyMAC},
		{Name: rateSet, Key: KeyName, Size: meteredPorts, Timeout: meterSeconds},
		{Name: tellSet, Key: KeyName, Size: meteredPorts, Timeout: meterSeconds},
	}
	for _, f := range families {
		key := KeyUplink4
		if f.suffix == "6" {
			key = KeyUplink6
		}
		pass := KeyPass4
		if f.suffix == "6" {
			pass = KeyPass6
		}
		list = append(list, Map{Name: passSet + f.suffix, Key: pass}, Map{Name: AddressesSet + f.suffix, Key: key}, Map{Name: SubnetsSet + f.suffix, Key: key, Ranges: true}, Map{Name: asksSet + f.suffix, Key: key})
	}
	for _, c := range Causes() {
		list = append(list, Map{Name: c.Set(), Key: KeyName, Counter: true})
	}
	return list
}

// stop drops what matches and comes from a port that is kept from that. The port is
// looked up last: its element counts.
func stop(c Cause, m ...Match) Rule { return drop(append(m, in(c.Set(), 0, InName))...) }

func drop(m ...Match) Rule { return Rule{Match: m, Do: Action{Kind: Drop}} }

func notIn(set string, f ...Field) Match {
	m := in(set, 0, f...)
	m.Not = true
	return m
}

func accept(m ...Match) Rule { return Rule{Match: m, Do: Action{Kind: Accept}} }

// claimRules end what is sent from an address that the port may not have. virbrd hears
// of some of it: the first to claim an address that nobody has gets it.
func claimRules() []Rule {
	return []Rule{
		{Match: []Match{in(learnSet, 0, InName)}, Do: telling()},
		stop(StopIP),
	}
}

func telling() Action {
	return Action{Kind: Tell, Map: tellSet, Rate: claimsPerSecond, Burst: claimsBurst}
}

// own accepts what is sent from an address that the port may have.
func own(f Field, suffix string) []Rule {
	return []Rule{accept(in(AddressesSet+suffix, 0, f, InName)), accept(in(SubnetsSet+suffix, 0, f, InName))}
}

// arpRules are for ARP (RFC 826). A sender without an address asks whether somebody
// has one (RFC 5227), which tells nobody anything.
func arpRules() []Rule {
	rules := []Rule{
		stop(StopMAC, notIn(MACsSet, ARPSourceMAC, InName)),
		tooFast(in(asksSet+"4", 0, ARPDest, InName)),
		accept(Match{Field: ARPSource, Prefix: unspecified4()}),
	}
	return append(append(rules, own(ARPSource, "4")...), claim())
}

func claim() Rule { return Rule{Do: Action{Kind: Jump, Chain: "claim"}} }

// tooFast drops what a port asks for faster than it may.
func tooFast(m ...Match) Rule {
	return drop(append(m, Match{Field: Faster, Set: rateSet, Rate: asksPerSecond, Burst: asksBurst}, in(StopRate.Set(), 0, InName))...)
}

// The ports of DHCP clients (RFC 2131, RFC 9915).
const (
	portClient4 = 68
	portClient6 = 546
)

func unspecified4() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 32) }
func unspecified6() netip.Prefix { return netip.PrefixFrom(netip.IPv6Unspecified(), 128) }

// plainRules accept TCP, and UDP that is no answer of a DHCP server, from the addresses
// of the port. All else goes the longer way.
func plainRules(source Field, suffix string, client uint16) []Rule {
	from := in(passSet+suffix, 0, source, EtherSource, InName)
	tcp, udp := Match{Field: Protocol, Word: "tcp"}, Match{Field: Protocol, Word: "udp"}
	var rules []Rule
	for _, m := range [][]Match{{tcp}, {udp, {Field: DestPort, Not: true, Port: client}}} {
		rules = append(rules, accept(append(slices.Clone(m), from)...), accept(append(slices.Clone(m), in(freeSet, 0, InName))...))
	}
	return rules
}

// ipv4Rules: who answers a DHCP client plays the server, from whatever port. Relays ask
// on from the server's port, which is no answer (RFC 2131 section 4.1). A guest without
// an address may ask for one, and say which groups it is in (RFC 4541 section 2.1.1).
func ipv4Rules() []Rule {
	none := Match{Field: Source4, Prefix: unspecified4()}
	udp := Match{Field: Protocol, Word: "udp"}
	rules := []Rule{
		stop(StopDHCP, udp, Match{Field: DestPort, Port: portClient4}),
		accept(none, udp, Match{Field: DestPort, Port: PortDHCP4}),
		accept(none, Match{Field: Protocol, Word: "igmp"}),
	}
	return append(append(rules, own(Source4, "4")...), claim())
}

// Types of ICMPv6 (RFC 4861, RFC 2710, RFC 3810).
const (
	icmpEcho, icmpEchoReply = 128, 129
	icmpListener            = 131
	icmpListener2           = 143
	icmpRouter              = 134
	icmpNeighbourSolicit    = 135
	icmpNeighbour           = 136
	icmpRedirect            = 137
)

func icmp6(from, to uint8) Match { return Match{Field: ICMP6Type, Lo: from, Hi: to} }

// ipv6Rules: nft finds the protocol behind extension headers. A router speaks from a
// link-local address (RFC 4861 section 6.1.2).
func ipv6Rules() []Rule {
	none := Match{Field: Source6, Prefix: unspecified6()}
	rules := []Rule{
		{Match: []Match{{Field: Source6, Prefix: link6()}, {Field: Fragment}}, Do: Action{Kind: Jump, Chain: "fragment"}},
		stop(StopDHCP6, Match{Field: Protocol, Word: "udp"}, Match{Field: DestPort, Port: portClient6}),
		stop(StopRA, icmp6(icmpRouter, icmpRouter)),
		stop(StopRA, icmp6(icmpRedirect, icmpRedirect)),
		{Match: []Match{icmp6(icmpNeighbourSolicit, icmpNeighbour)}, Do: Action{Kind: Jump, Chain: "neighbour"}},
		accept(none, icmp6(icmpListener, icmpNeighbourSolicit)),
		accept(none, icmp6(icmpListener2, icmpListener2)),
	}
	return append(append(rules, own(Source6, "6")...), claim())
}

// fragmentRules are for the first fragments of what may be a router's. One that does
// not say what it is hides that (RFC 7112, RFC 7113): what is complete, and something
// else, passes.
func fragmentRules() []Rule {
	later := Match{Field: FragmentOffset, Not: true}
	goOn := Action{Kind: Return}
	return []Rule{
		{Match: []Match{later}, Do: goOn},
		{Match: []Match{{Field: Protocol, Word: "tcp"}}, Do: goOn},
		{Match: []Match{{Field: Protocol, Word: "udp"}}, Do: goOn},
		{Match: []Match{icmp6(icmpEcho, icmpEchoReply)}, Do: goOn},
		stop(StopRA),
	}
}

// neighbourRules are for neighbour discovery (RFC 4861). A guest speaks of its own link
// layer address only, and advertises its own addresses. What it asks before it takes an
// address (RFC 4862 section 5.4) virbrd hears; it need not go further: a guest that
// heard it could answer, and nobody else can have the address without being known.
func neighbourRules() []Rule {
	solicit, advert := icmp6(icmpNeighbourSolicit, icmpNeighbourSolicit), icmp6(icmpNeighbour, icmpNeighbour)
	none := Match{Field: Source6, Prefix: unspecified6()}
	var rules []Rule
	for _, option := range []uint16{optionSourceLink, optionTargetLink} {
		rules = append(rules, stop(StopMAC, Match{Field: NDOption, Port: option}, notIn(MACsSet, NDLinkAddress, InName)))
	}
	rules = append(rules, tooFast(solicit, in(asksSet+"6", 0, NDTarget, InName)))
	for _, m := range [][]Match{{advert}, {solicit, none}} {
		for _, set := range []string{AddressesSet, SubnetsSet} {
			rules = append(rules, Rule{Match: append(slices.Clone(m), in(set+"6", 0, NDTarget, InName)), Do: Action{Kind: Return}})
		}
	}
	// Not counted: it is how an honest guest begins.
	tell := Rule{Match: []Match{solicit, none, in(learnSet, 0, InName)}, Do: telling()}
	asks := drop(solicit, none, in(learnSet, 0, InName))
	return append(rules, tell, asks, Rule{Match: []Match{advert}, Do: Action{Kind: Jump, Chain: "claim"}})
}

// Options of neighbour discovery, and that they are eight bytes long.
const (
	optionSourceLink = 0x0101
	optionTargetLink = 0x0201
)
