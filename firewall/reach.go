package firewall

import (
	"fmt"
	"net/netip"
)

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
	p.Chains = append(reached(), []Chain{
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
			Rules: list([]Rule{lookup(OutName, HairpinMap)}, families[0].privateRules(), families[1].privateRules()),
		},
	}...)
	p.Chains = append(p.Chains, loopback()...)
	return p
}

// family is what differs between IPv4 and IPv6.
type family struct {
	name, suffix string

	addr, listen    KeyType
	owner, uplink   KeyType
	reach, reachAny KeyType
	from, fromReach KeyType
	value, to       ValueType

	source, dest           Field
	firstSource, firstDest Field
	answerer               Field

	errors   []Match      // ICMP errors: they hold the packet that they are about
	loopback netip.Prefix // the host's own addresses
	own      netip.Addr   // that which the host's own connections come from
	standIn  netip.Addr   // stands in for it where they leave the host
}

// families are IPv4 (RFC 792) and IPv6 (RFC 4443).
var families = [2]family{{
	name: IPv4, suffix: "4", addr: KeyIPv4, listen: KeyListen4, owner: KeyOwner4, uplink: KeyUplink4, reach: KeyReach4, reachAny: KeyReachAny4, from: KeyFrom4, fromReach: KeyFromReach4,
	value: ValueIPv4, to: ValueTo4, source: Source4, dest: Dest4, firstSource: FirstSource4, firstDest: FirstDest4, answerer: Answerer4,
	errors:   []Match{{Field: ICMP4Type, Lo: 3, Hi: 5}, {Field: ICMP4Type, Lo: 11, Hi: 12}},
	loopback: loopback4(), own: netip.AddrFrom4([4]byte{127, 0, 0, 1}), standIn: standIn4(),
}, {
	name: IPv6, suffix: "6", addr: KeyIPv6, listen: KeyListen6, owner: KeyOwner6, uplink: KeyUplink6, reach: KeyReach6, reachAny: KeyReachAny6, from: KeyFrom6, fromReach: KeyFromReach6,
	value: ValueIPv6, to: ValueTo6, source: Source6, dest: Dest6, firstSource: FirstSource6, firstDest: FirstDest6, answerer: Answerer6,
	errors:   []Match{{Field: ICMP6Type, Lo: 1, Hi: 4}},
	loopback: loopback6(), own: netip.IPv6Loopback(), standIn: standIn6(),
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
			Map{Name: leveled("any"+f.suffix, size), Key: KeyPort, Value: to},
			Map{Name: leveled("loopat"+f.suffix, size), Key: f.listen},
			Map{Name: leveled("loopany"+f.suffix, size), Key: KeyPort},
			Map{Name: leveled("reach"+f.suffix, size), Key: f.reach},
			Map{Name: leveled("reachany"+f.suffix, size), Key: f.reachAny})
	}
	return append(maps,
		Map{Name: "public" + f.suffix, Key: f.addr, Value: f.value},
		Map{Name: "owner" + f.suffix, Key: f.owner},
		Map{Name: "private" + f.suffix, Key: f.addr, Value: f.value},
		Map{Name: "uplink" + f.suffix, Key: f.uplink},
		Map{Name: "claimed" + f.suffix, Key: f.addr},
		Map{Name: "from" + f.suffix, Key: f.from, Value: f.value, Ranges: true},
		Map{Name: "fromto" + f.suffix, Key: f.from, Value: f.to, Ranges: true},
		Map{Name: "fromno" + f.suffix, Key: f.from, Ranges: true},
		Map{Name: "fromany" + f.suffix, Key: f.listen, Value: f.value, Ranges: true},
		Map{Name: "fromanyto" + f.suffix, Key: f.listen, Value: f.to, Ranges: true},
		Map{Name: "fromanyno" + f.suffix, Key: f.listen, Ranges: true},
		Map{Name: "fromreach" + f.suffix, Key: f.fromReach, Ranges: true},
		Map{Name: "fromreachany" + f.suffix, Key: f.reach, Ranges: true},
		Map{Name: "home" + f.suffix, Key: KeyName, Value: f.value})
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
	rules := append(f.dnatFrom("from", f.source, f.dest, Protocol, DestPort), f.spared("fromno", f.source, f.dest, Protocol, DestPort))
	rules = append(rules, f.dnat("listen", f.dest, Protocol, DestPort)...)
	return append(rules, f.excepted()...)
}

// excepted returns the rules that end the chain for what an address of its own
// leaves alone.
func (f *family) excepted() []Rule {
	var rules []Rule
	for _, size := range blockSizes {
		rules = append(rules, Rule{Match: []Match{in(leveled("except"+f.suffix, size), mask(size), f.dest, Protocol, DestPort)}, Do: Action{Kind: Accept}})
	}
	return rules
}

// within is in for a set with ranges.
func within(set string, fields ...Field) Match {
	m := in(set, 0, fields...)
	m.Key.Ranges = true
	return m
}

// in matches what has its fields in a set, with ports masked; 0: as they are.
func in(set string, mask uint16, fields ...Field) Match {
	return Match{Field: Key, Key: Tuple{Fields: fields, Mask: mask}, Set: set}
}

func (f *family) anyRules() []Rule {
	rules := append(f.dnatFrom("fromany", f.source, Protocol, DestPort), f.spared("fromanyno", f.source, Protocol, DestPort))
	return append(rules, f.dnat("any", Protocol, DestPort)...)
}

// dnatFrom returns the rules for forwards that some sources may use. nft wants to
// know a protocol that has ports before it takes a port from such a map.
func (f *family) dnatFrom(m string, fields ...Field) []Rule {
	key, six := Tuple{Fields: fields, Ranges: true}, f.name == IPv6
	var rules []Rule
	for _, proto := range []string{"tcp", "udp", "sctp"} {
		rules = append(rules, Rule{
			Match: []Match{{Field: Protocol, Word: proto}},
			Do:    Action{Kind: DNAT, Key: key, Map: m + "to" + f.suffix, IPv6: six, Ports: true},
		})
	}
	return append(rules, Rule{Do: Action{Kind: DNAT, Key: key, Map: m + f.suffix, IPv6: six}})
}

// spared returns the rule that ends the chain for sources that are left alone.
func (f *family) spared(set string, fields ...Field) Rule {
	return Rule{Match: []Match{within(set+f.suffix, fields...)}, Do: Action{Kind: Accept}}
}

func (f *family) publicRule() Rule {
	return Rule{Do: Action{Kind: DNAT, Key: Tuple{Fields: []Field{f.dest}}, Map: "public" + f.suffix, IPv6: f.name == IPv6}}
}

// privateRules have guests send from their public addresses to the uplinks, and to
// each other's public addresses. What is behind tunnels and other bridges knows
// the way back to the guest's own address, or to the host's, but not to that one.
func (f *family) privateRules() []Rule {
	do := Action{Kind: SNAT, Key: Tuple{Fields: []Field{f.source}}, Map: "private" + f.suffix, IPv6: f.name == IPv6}
	return []Rule{
		{Match: []Match{in("uplink"+f.suffix, 0, f.source, OutName)}, Do: do},
		{Match: []Match{in("claimed"+f.suffix, 0, f.firstDest)}, Do: do},
	}
}
