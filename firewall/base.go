package firewall

import "fmt"

// The maps of the base chains.
const (
	LeaveMap = "leave" // by bridge: what its guests send
	EnterMap = "enter" // by bridge: what is sent to its guests
	NAT4Map  = "nat4"  // by source subnet
	NAT6Map  = "nat6"

	HairpinMap = "hairpin" // by bridge: source NAT of what is forwarded to its guests
	LocalMap   = "local"   // by bridge: what its guests send, before anything else
)

// Chains of networks that no map is named after: those that inward4 and inward6,
// outward4 and outward6 lead to.
const (
	inwardChain  = "inward"  // to a stateless public address
	outwardChain = "outward" // from the guest that has one
)

// Chains that all networks share, and that only others jump to.
const translateChain = "translate" // makes a packet to a stateless public address one to the guest

// Part is a piece of what networks share. It is there as long as a network needs
// it, so that nobody pays for what nobody uses.
type Part struct {
	Ruleset

	// Marker names the part: networks that need it have a chain of that name
	// (see [ChainName]). All need the part without one.
	Marker string
}

// Parts returns all parts, those that others rest on first.
func Parts() []Part { return []Part{core(), reach(), local(), stateless(), fast()} }

// Base returns what networks without forwards and public addresses share.
func Base() *Ruleset {
	p := core()
	return &p.Ruleset
}

// base returns what a network needs of what networks share.
func (n *Network) base() *Ruleset {
	all := &Ruleset{}
	for _, p := range Parts() {
		if p.Needed(n) {
			all.Maps = append(all.Maps, p.Maps...)
			all.Flowtables = append(all.Flowtables, p.Flowtables...)
			all.Chains = append(all.Chains, p.Chains...)
		}
	}
	return all
}

// Needed reports whether a network needs the part.
func (p Part) Needed(n *Network) bool {
	if p.Marker == "" {
		return true
	}
	for _, c := range n.Chains {
		if c.Name == ChainName(p.Marker, n.Bridge) {
			return true
		}
	}
	return false
}

// Owned returns the maps after which the chains of networks are named. Those
// without a key have only the name: data lead to their chains.
func Owned() []Map {
	return append(core().Maps, Map{Name: HairpinMap, Key: KeyName, Value: ValueVerdict},
		Map{Name: LocalMap, Key: KeyName, Value: ValueVerdict}, Map{Name: inwardChain}, Map{Name: outwardChain},
		Map{Name: FastMap, Key: KeyName, Value: ValueVerdict})
}

func lookup(f Field, m string) Rule { return Rule{Do: Action{Kind: Lookup, Field: f, Map: m}} }

// core filters and translates for all networks. That forward asks both the
// network that a packet leaves and the one that it enters closes a hole that
// libvirt has: there the second one's accept is final, so isolated guests can
// send into routed networks.
func core() Part {
	return Part{Ruleset: Ruleset{
		Maps: []Map{
			{Name: LeaveMap, Key: KeyName, Value: ValueVerdict},
			{Name: EnterMap, Key: KeyName, Value: ValueVerdict},
			{Name: NAT4Map, Key: KeyIPv4, Value: ValueVerdict, Ranges: true},
			{Name: NAT6Map, Key: KeyIPv6, Value: ValueVerdict, Ranges: true},
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
	}}
}

// reach is for forwards and public addresses. Its chains see the first packet of
// a connection only. Public addresses come first, as all of one belongs to its
// guest, then forwards of one address, then those of all of the host's. What is
// sent to those, a process of the host that listens there gets first: a forward
// of all ports takes nothing from it. Addresses of a link (127.0.0.0/8 from
// elsewhere, fe80::/10) are nobody else's to reach.
func reach() Part {
	p := Part{Marker: HairpinMap}
	p.Maps = []Map{{Name: HairpinMap, Key: KeyName, Value: ValueVerdict}}
	for _, f := range families {
		p.Maps = append(p.Maps, f.reachMaps()...)
	}
	jump := func(to string) []Rule {
		var rules []Rule
		for _, f := range families {
			rules = append(rules, Rule{Match: []Match{{Field: Family, Word: f.name}}, Do: Action{Kind: Jump, Chain: to + f.suffix}})
		}
		return rules
	}
	foreign := Rule{Match: []Match{{Field: DestType, Not: true, Word: Local}}, Do: Action{Kind: Return}}
	list := func(lists ...[]Rule) (all []Rule) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	publics := []Rule{families[0].publicRule(), families[1].publicRule()}
	p.Chains = []Chain{
		{Name: "listen4", Rules: families[0].listenRules()},
		{Name: "listen6", Rules: families[1].listenRules()},
		{Name: "any4", Rules: families[0].anyRules()},
		{Name: "any6", Rules: families[1].anyRules()},
		{
			Name: "prerouting", Hook: &Hook{Type: "nat", Name: "prerouting", Priority: -100},
			Rules: list([]Rule{
				{Match: []Match{{Field: Dest4, Prefix: loopback4()}}, Do: Action{Kind: Return}},
				{Match: []Match{{Field: Dest6, Prefix: link6()}}, Do: Action{Kind: Return}},
			}, publics, jump("listen"), []Rule{
				foreign,
				{Match: []Match{{Field: Socket, Word: Any}}, Do: Action{Kind: Return}},
			}, jump("any")),
		},
		{
			Name: "output", Hook: &Hook{Type: "nat", Name: "output", Priority: -100},
			Rules: list([]Rule{
				{Match: []Match{{Field: Dest6, Prefix: link6()}}, Do: Action{Kind: Return}},
			}, publics, jump("listen"), []Rule{foreign}, jump("any")),
		},
		{
			Name: "hairpin", Hook: &Hook{Type: "nat", Name: "postrouting", Priority: 99},
			Rules: []Rule{lookup(OutName, HairpinMap), families[0].privateRule(), families[1].privateRule()},
		},
	}
	return p
}

// local keeps guests of bridges with the sysctl route_localnet from sending to
// the host's loopback, or in its name (CVE-2020-8558). It asks before connection
// tracking has given replies the destination that they are meant for.
func local() Part {
	return Part{Marker: LocalMap, Ruleset: Ruleset{
		Maps: []Map{{Name: LocalMap, Key: KeyName, Value: ValueVerdict}},
		Chains: []Chain{{
			Name:  "local",
			Hook:  &Hook{Type: "filter", Name: "prerouting", Priority: -300},
			Rules: []Rule{lookup(InName, LocalMap)},
		}},
	}}
}

// stateless translates what goes to stateless public addresses before connection
// tracking and routing, and what comes from their guests after it. What is for a
// public address and is still so after the first look-up is tracked.
func stateless() Part {
	p := Part{Marker: inwardChain}
	var translate, embedded, enter, leave []Rule
	for _, f := range families {
		p.Maps = append(p.Maps,
			Map{Name: "inward" + f.suffix, Key: f.addr, Value: ValueVerdict},
			Map{Name: "outward" + f.suffix, Key: f.addr, Value: ValueVerdict},
			Map{Name: "stateless" + f.suffix, Key: f.addr, Value: f.value})
		for _, m := range f.errors {
			translate = append(translate, Rule{Match: []Match{m}, Do: Action{Kind: Embedded, Field: f.source, Map: "public" + f.suffix}})
			embedded = append(embedded, Rule{
				Match: []Match{{Field: State, Word: Stray}, m}, Do: Action{Kind: Embedded, Field: f.dest, Map: "stateless" + f.suffix},
			})
		}
		enter = append(enter, lookup(f.dest, "inward"+f.suffix), Rule{
			Match: []Match{{Field: Key, Key: Tuple{Fields: []Field{f.dest}}, Set: "claimed" + f.suffix}}, Do: Action{Kind: Accept},
		}, lookup(f.source, "outward"+f.suffix))
		leave = append(leave, Rule{
			Match: []Match{{Field: State, Word: Untracked}}, Do: Action{Kind: Rewrite, Field: f.source, Map: "stateless" + f.suffix},
		})
	}
	translate = append(translate, Rule{Do: Action{Kind: NoTrack}})
	for _, f := range families {
		translate = append(translate, Rule{Do: Action{Kind: Rewrite, Field: f.dest, Map: "public" + f.suffix}})
	}
	p.Chains = []Chain{
		{Name: translateChain, Rules: translate},
		{Name: "arrival", Hook: &Hook{Type: "filter", Name: "prerouting", Priority: -300}, Rules: enter},
		{Name: "departure", Hook: &Hook{Type: "filter", Name: "postrouting", Priority: 300}, Rules: append(embedded, leave...)},
	}
	return p
}

// family is what differs between IPv4 and IPv6.
type family struct {
	name, suffix string
	addr, listen KeyType
	value, to    ValueType
	source, dest Field
	errors       []Match // ICMP errors: they hold the packet that they are about
}

// families are IPv4 (RFC 792) and IPv6 (RFC 4443).
var families = [2]family{{
	name: IPv4, suffix: "4", addr: KeyIPv4, listen: KeyListen4, value: ValueIPv4, to: ValueTo4, source: Source4, dest: Dest4,
	errors: []Match{{Field: ICMP4Type, Lo: 3, Hi: 5}, {Field: ICMP4Type, Lo: 11, Hi: 12}},
}, {
	name: IPv6, suffix: "6", addr: KeyIPv6, listen: KeyListen6, value: ValueIPv6, to: ValueTo6, source: Source6, dest: Dest6,
	errors: []Match{{Field: ICMP6Type, Lo: 1, Hi: 4}},
}}

// blockSizes are how many ports one element can stand for. A range is cut into
// blocks of these sizes, each beginning at a multiple of its size, so every
// look-up is of one exact key, and a range of whatever length is 105 elements at
// most. (Intervals of compound keys would be searched in time that grows with
// their number, and copied whole with every change.)
var blockSizes = [4]uint32{1, 16, 256, 4096}

// leveled returns the name of the map that holds blocks of a size.
func leveled(name string, size uint32) string {
	if size == 1 {
		return name
	}
	return fmt.Sprintf("%s_%d", name, size)
}

// mask returns what a port is masked with to find its block; 0: nothing.
func mask(size uint32) uint16 {
	if size == 1 {
		return 0
	}
	return ^uint16(size - 1)
}

func (f *family) reachMaps() []Map {
	var maps []Map
	for _, size := range blockSizes {
		to := f.value
		if size == 1 {
			to = f.to
		}
		maps = append(maps,
			Map{Name: leveled("listen"+f.suffix, size), Key: f.listen, Value: to},
			Map{Name: leveled("except"+f.suffix, size), Key: f.listen},
			Map{Name: leveled("any"+f.suffix, size), Key: KeyPort, Value: to})
	}
	return append(maps,
		Map{Name: "public" + f.suffix, Key: f.addr, Value: f.value},
		Map{Name: "private" + f.suffix, Key: f.addr, Value: f.value},
		Map{Name: "claimed" + f.suffix, Key: f.addr})
}

// dnat returns the rules that look a tuple up that ends with the port.
func (f *family) dnat(m string, fields ...Field) []Rule {
	var rules []Rule
	for _, size := range blockSizes {
		rules = append(rules, Rule{Do: Action{
			Kind: DNAT, Key: Tuple{Fields: fields, Mask: mask(size)}, Map: leveled(m+f.suffix, size), IPv6: f.name == IPv6, Ports: size == 1,
		}})
	}
	return rules
}

func (f *family) listenRules() []Rule {
	rules := f.dnat("listen", f.dest, Protocol, DestPort)
	for _, size := range blockSizes {
		rules = append(rules, Rule{
			Match: []Match{{
				Field: Key, Key: Tuple{Fields: []Field{f.dest, Protocol, DestPort}, Mask: mask(size)}, Set: leveled("except"+f.suffix, size),
			}},
			Do: Action{Kind: Accept},
		})
	}
	return rules
}

func (f *family) anyRules() []Rule { return f.dnat("any", Protocol, DestPort) }

func (f *family) publicRule() Rule {
	return Rule{Do: Action{Kind: DNAT, Key: Tuple{Fields: []Field{f.dest}}, Map: "public" + f.suffix, IPv6: f.name == IPv6}}
}

func (f *family) privateRule() Rule {
	return Rule{Do: Action{Kind: SNAT, Key: Tuple{Fields: []Field{f.source}}, Map: "private" + f.suffix, IPv6: f.name == IPv6}}
}
