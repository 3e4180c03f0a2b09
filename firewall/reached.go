package firewall

import (
	"slices"

	"github.com/virbr/virbr/xml"
)

// Only what our own maps translated may enter networks that are closed otherwise.
// That a destination was translated (ct status dnat) says nothing of by whom: any
// program of the host may do so, with no thought of networks that it does not know.
// So it is looked up for what the connection was opened, and who answers.

// reached returns the chains that accept packets of connections that forwards and
// public addresses lead to guests, in both directions, and ICMP errors about them.
// Who jumps there has made sure of what it needs besides. The port
// that a connection was opened to cannot be asked for without a protocol.
func reached() []Chain {
	var chains []Chain
	for i := range families {
		f := &families[i]
		accept := func(m ...Match) Rule { return Rule{Match: m, Do: Action{Kind: Accept}} }
		var rules []Rule
		for _, proto := range []string{"tcp", "udp", "sctp"} {
			p := Match{Field: Protocol, Word: proto}
			for _, size := range blockSizes {
				rules = append(rules,
					accept(p, in(leveled("reach"+f.suffix, size), mask(size), f.firstDest, Protocol, FirstPort, f.answerer, AnswererPort)),
					accept(p, in(leveled("reachany"+f.suffix, size), mask(size), Protocol, FirstPort, f.answerer, AnswererPort)))
			}
			rules = append(rules,
				accept(p, within("fromreach"+f.suffix, f.firstSource, f.firstDest, Protocol, FirstPort, f.answerer)),
				accept(p, within("fromreachany"+f.suffix, f.firstSource, Protocol, FirstPort, f.answerer, AnswererPort)))
		}
		rules = append(rules, accept(in("owner"+f.suffix, 0, f.firstDest, f.answerer)))
		for _, m := range f.errors {
			rules = append(rules, accept(Match{Field: State, Word: Established}, m))
		}
		chains = append(chains, Chain{Name: "reached" + f.suffix, Rules: rules})
	}
	return chains
}

// reachedRules returns rules that jump to these chains, for the families that the
// network has.
func (c *compiler) reachedRules(m ...Match) []Rule {
	var rules []Rule
	for i := range families {
		f := &families[i]
		if !c.has(f.name == IPv4) {
			continue
		}
		rules = append(rules, Rule{
			Match: append(slices.Clone(m), Match{Field: Family, Word: f.name}),
			Do:    Action{Kind: Jump, Chain: "reached" + f.suffix}, Counter: true,
		})
	}
	return rules
}

// translated returns the condition that spares most packets the look-ups. Those to a
// guest's own address are not translated.
func (c *compiler) translated() []Match {
	if c.pinholes {
		return nil
	}
	return []Match{{Field: Status, Word: Translated}}
}

// VouchMark is set on packets whose forwarding our rules vouch for, and on no others
// of the bridge: for filters of others that cannot look into our maps.
const VouchMark = 0x04000000

// beforeFilters is a priority before everybody's filters of what is forwarded.
const beforeFilters = -10

// vouch is for networks that somebody else filters, such as libvirt.
func vouch() Part {
	return Part{Marker: VouchMap, Ruleset: Ruleset{
		Maps: []Map{{Name: VouchMap, Key: KeyName, Value: ValueVerdict}},
		Chains: []Chain{{
			Name: "vouch", Hook: &Hook{Type: "filter", Name: "forward", Priority: beforeFilters},
			Rules: []Rule{lookup(OutName, VouchMap), lookup(InName, VouchMap)},
		}},
	}}
}

// vouch adds the rules that mark what reaches guests. The mark is set before it is
// known to be deserved, as the chains that know end with an accept. In mode open
// nobody else filters.
func (c *compiler) vouch(n *Network) {
	if !c.forwarded || c.mode == xml.ForwardOpen {
		return
	}
	rules := []Rule{{Do: Action{Kind: Unmark}}, {Match: c.translated(), Do: Action{Kind: Mark}}}
	rules = append(rules, c.reachedRules(c.translated()...)...)
	c.filter(n, VouchMap, append(rules, Rule{Do: Action{Kind: Unmark}}))
}
