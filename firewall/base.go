package firewall

// The maps of the base chains.
const (
	LeaveMap = "leave" // by bridge: what its guests send
	EnterMap = "enter" // by bridge: what is sent to its guests
	NAT4Map  = "nat4"  // by source subnet
	NAT6Map  = "nat6"

	HairpinMap = "hairpin" // by bridge: source NAT of what is forwarded to its guests
	VouchMap   = "vouch"   // by bridge: marks what reaches its guests by forwards and public addresses
)

// Chains of networks that no map is named after: those that inward4 and inward6,
// outward4 and outward6 lead to.
const (
	inwardChain  = "inward"  // to a stateless public address
	outwardChain = "outward" // from the guest that has one
)

// Chains that all networks share, and that only others jump to.
const (
	translateChain = "translate" // makes a packet to a stateless public address one to the guest
	keepChain      = "keep"      // notes the link that a connection comes in by
)

// Part is a piece of what networks share. It is there as long as a network needs
// it, so that nobody pays for what nobody uses.
type Part struct {
	Ruleset

	// Marker names the part: networks that need it have a chain of that name
	// (see [ChainName]). All need the part without one.
	Marker string
}

// Parts returns all parts, those that others rest on first.
func Parts() []Part {
	return []Part{core(), reach(), vouch(), stateless(), host(), ingress(), guard(), fast()}
}

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
		Map{Name: VouchMap, Key: KeyName, Value: ValueVerdict}, Map{Name: inwardChain}, Map{Name: outwardChain},
		Map{Name: HostMap, Key: KeyName, Value: ValueVerdict},
		Map{Name: IngressMap, Key: KeyName, Value: ValueVerdict},
		Map{Name: GuardMap, Key: KeyName, Value: ValueVerdict},
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
			Map{Name: "bare" + f.suffix, Key: f.addr},
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
