package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/xml"
)

// Verdict is what the rules of networks do with the first packet of a connection, in
// the words of docs/packets.md.
type Verdict string

// The verdicts.
const (
	Passes     Verdict = "yes"    // it arrives, with the sender's own address
	Translated Verdict = "NAT"    // it arrives, from an address of the host
	Rejected   Verdict = "reject" // the sender is told that it may not
	NoPath     Verdict = ""       // the family is not spoken at both ends
)

// Arrives reports whether packets do.
func (v Verdict) Arrives() bool { return v == Passes || v == Translated }

// Place is where packets come from and go to: a network, or what is beyond a link of
// the host.
type Place struct {
	link    string // a bridge, or the host's uplink
	subnets []netip.Prefix
	known   bool              // subnets are all that there are
	rules   *firewall.Network // nil: none
}

// Outside is what is beyond a link of the host.
func Outside(link string) Place { return Place{link: link} }

// Inside is a network, whose definition is complete. Of a bridge that others made the
// subnets are not known.
func Inside(def *xml.Network) (Place, error) {
	p := Place{link: def.Bridge.Name, known: def.OwnsBridge(), subnets: def.Prefixes(nil)}
	ext, err := def.Extensions()
	if err != nil {
		return p, err
	}
	if p.rules, err = firewall.Compile(def, ext, firewall.Where{}); err != nil {
		return p, fmt.Errorf("compiling the rules of network %q: %w", def.Name, err)
	}
	return p, nil
}

// speaks reports whether a place has a family, as far as it is known.
func (p *Place) speaks(six bool) bool {
	return !p.known || slices.ContainsFunc(p.subnets, func(s netip.Prefix) bool { return s.Addr().Is6() == six })
}

// packet is the first one of a connection between guests of two places.
func packet(from, to *Place, six bool) coexist.Packet {
	return coexist.Packet{
		Hook: coexist.Forward, IPv6: six, In: from.link, Out: to.link, Proto: "udp",
		Source: guestOf(from.subnets, six), Dest: guestOf(to.subnets, six),
	}
}

// Walks are those of packets between places whose rules are compiled once.
type Walks struct{ s *coexist.Survey }

// Between prepares walks between some places.
func Between(places ...Place) *Walks {
	rules := make([]*firewall.Network, 0, len(places))
	for i := range places {
		rules = append(rules, places[i].rules)
	}
	return &Walks{&coexist.Survey{Tables: []coexist.Table{Rules(rules...)}}}
}

// May says what becomes of the first packet of a connection from one of the places to
// another, as far as the rules of networks decide that. External hosts have no rules.
func (w *Walks) May(from, to Place, six bool) Verdict {
	if !from.speaks(six) || !to.speaks(six) {
		return NoPath
	}
	p := packet(&from, &to, six)
	for way := range w.s.Passages(&p) {
		if way.Verdict.Kind != coexist.Accept {
			return Rejected
		}
	}
	p.Hook = coexist.Postrouting
	for way := range w.s.Passages(&p) {
		if way.Verdict.Rewrites != "" {
			return Translated
		}
	}
	return Passes
}
