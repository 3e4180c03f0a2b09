package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// Connections of the host to its own loopback addresses are forwarded without the
// sysctl route_localnet, which would have the kernel take packets for 127.0.0.0/8
// from guests, too: what keeps them out must not depend on rules that somebody can
// flush. The kernel refuses to send a packet from 127.0.0.1 out of the host. So
// once connection tracking knows the connection, and before its destination is
// translated, another source stands in for that; on its way out it becomes the
// bridge's address, as for other clients of the host. What the guest answers is
// translated back in two halves: before routing to an address of the bridge, where
// connection tracking says 127.0.0.1, and to that when the host has taken it. A
// packet that a guest sends to 127.0.0.1 by itself is no answer, and without rules
// none is translated at all: the kernel drops both. The same holds for ::1.

// The places of these chains: after connection tracking (-200) and before the
// translation of destinations (-100), after that, and after the translation of
// sources where the host takes packets (100). Source: linux/netfilter_ipv4.h.
const (
	beforeDNAT     = -150
	afterDNAT      = -50
	afterInputSNAT = 150
)

// standIn4 is the IPv4 dummy address, which nobody can have (RFC 7600 section 4.8).
func standIn4() netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 0, 8}) }

// standIn6 is an address of the dummy IPv6 prefix (RFC 9780).
func standIn6() netip.Addr { return netip.AddrFrom16([16]byte{0: 0x01, 7: 0x01, 15: 0x01}) }

// loopback returns the chains for the host's own loopback. Packets of connections
// that were local from the start stay so: their sources change only with the first
// packet, whose destination is translated then, or if it has been.
func loopback() []Chain {
	leave := Chain{Name: "loopback", Hook: &Hook{Type: "filter", Name: "output", Priority: beforeDNAT}}
	enter := Chain{Name: "homeward", Hook: &Hook{Type: "filter", Name: "prerouting", Priority: afterDNAT}}
	taken := Chain{Name: "home", Hook: &Hook{Type: "filter", Name: "input", Priority: afterInputSNAT}}
	var chains []Chain
	for i := range families {
		f := &families[i]
		own := netip.PrefixFrom(f.own, f.own.BitLen())
		for _, known := range []Match{{Field: State, Word: New}, {Field: Status, Word: Translated}} {
			leave.Rules = append(leave.Rules, Rule{
				Match: []Match{{Field: f.source, Prefix: own}, {Field: f.dest, Prefix: f.loopback}, {Field: Direction, Word: Original}, known},
				Do:    Action{Kind: Jump, Chain: "loopback" + f.suffix},
			})
		}
		answer := []Match{{Field: f.firstSource, Prefix: own}, {Field: Direction, Word: Reply}}
		enter.Rules = append(enter.Rules, Rule{
			Match: append(answer[:2:2], Match{Field: f.dest, Prefix: f.loopback}),
			Do:    Action{Kind: Rewrite, Field: f.dest, By: InName, Map: "home" + f.suffix},
		})
		taken.Rules = append(taken.Rules, Rule{
			Match: append(answer[:2:2], Match{Field: f.dest, Not: true, Prefix: f.loopback}),
			Do:    Action{Kind: Rewrite, Field: f.dest, To: f.own},
		})
		chains = append(chains, Chain{Name: "standin" + f.suffix, Rules: []Rule{
			{Do: Action{Kind: Rewrite, Field: f.source, To: f.standIn}},
			{Do: Action{Kind: Accept}},
		}}, Chain{Name: "loopback" + f.suffix, Rules: f.loopbackRules()})
	}
	return append(chains, leave, enter, taken)
}

// loopbackRules finds out whether a connection of the host to itself is forwarded,
// in the order of the chains that translate.
func (f *family) loopbackRules() []Rule {
	standIn := Action{Kind: Jump, Chain: "standin" + f.suffix}
	leaves := func(set string, fields ...Field) (rules []Rule) {
		for _, size := range blockSizes {
			rules = append(rules, Rule{Match: []Match{in(leveled(set+f.suffix, size), mask(size), fields...)}, Do: standIn})
		}
		return rules
	}
	rules := []Rule{f.spared("fromno", f.source, f.dest, Protocol, DestPort)}
	rules = append(rules, leaves("loopat", f.dest, Protocol, DestPort)...)
	rules = append(rules, f.excepted()...)
	rules = append(rules, f.spared("fromanyno", f.source, Protocol, DestPort))
	return append(rules, leaves("loopany", Protocol, DestPort)...)
}

// looped is a run of ports of the host's own loopback that is forwarded.
type looped struct {
	socket
	first, last uint16
}

func (l looped) order(o looped) int {
	return cmp.Or(l.addr.Compare(o.addr), cmp.Compare(l.proto, o.proto), cmp.Compare(l.first, o.first))
}

// loopback returns the ports of the host's own loopback that are forwarded: in
// order, and apart.
func (n *Network) loopback() []looped {
	var list []looped
	for _, e := range n.Entries {
		own := !e.From.IsValid() || e.from(ownAddress(e.Listen.Is4()))
		if e.Guest.IsValid() && own && (e.Listen.IsUnspecified() || e.Listen.IsLoopback()) {
			list = append(list, looped{socket{e.Listen, e.Proto}, e.Start, e.End})
		}
	}
	slices.SortFunc(list, looped.order)
	joined := list[:0]
	for _, l := range list {
		if k := len(joined) - 1; k >= 0 && joined[k].socket == l.socket && uint32(l.first) <= uint32(joined[k].last)+1 {
			joined[k].last = max(joined[k].last, l.last)
			continue
		}
		joined = append(joined, l)
	}
	return joined
}

// loopbackData returns the elements of such ports, and where answers come home to.
func (n *Network) loopbackData(list []looped) []Datum {
	var all []Datum
	for _, l := range list {
		name, at := "loopat", l.addr
		if l.addr.IsUnspecified() {
			name, at = "loopany", netip.Addr{}
		}
		for port, size := range blocks(l.first, l.last, false) {
			all = append(all, Datum{Map: leveled(name+suffix(l.addr), size), Owner: n.Bridge, Addr: at, Proto: l.proto, Port: port})
		}
	}
	for _, home := range n.Home {
		all = append(all, Datum{Map: "home" + suffix(home), Owner: n.Bridge, Link: n.Bridge, To: home})
	}
	return all
}

// ownAddress is where the host's own connections to its loopback come from.
func ownAddress(v4 bool) netip.Addr {
	if v4 {
		return families[0].own
	}
	return families[1].own
}

// from reports whether an entry for some sources is for an address.
func (e Entry) from(a netip.Addr) bool { return !a.Less(e.From) && !e.Until.Less(a) }
