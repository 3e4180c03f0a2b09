package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// Claim is what a forward or a public address takes for itself: ports of a
// protocol at an address. It is comparable.
type Claim struct {
	Proto      string     // "tcp", "udp" or "sctp"; "": everything, for a public address
	Address    netip.Addr // 0.0.0.0 and ::: any of the host's of the family
	Start, End uint16     // ports
	All        bool       // of a forward of all ports: what the host listens on it leaves alone
	Forward    int        // index in the extensions' Forwards, or Publics where Proto is ""
}

// String says it for people: "tcp port 8080 at any IPv4 address".
func (c Claim) String() string {
	at := "at " + c.Address.String()
	switch c.Address {
	case netip.IPv4Unspecified():
		at = "at any IPv4 address"
	case netip.IPv6Unspecified():
		at = "at any IPv6 address"
	}
	switch {
	case c.Proto == "":
		return "public address " + c.Address.String()
	case c.Start == c.End:
		return fmt.Sprintf("%s port %d %s", c.Proto, c.Start, at)
	case c.Start == 1 && c.End == 65535:
		return fmt.Sprintf("all %s ports %s", c.Proto, at)
	}
	return fmt.Sprintf("%s ports %d to %d %s", c.Proto, c.Start, c.End, at)
}

// Claims returns what the extensions of a network claim, whether the guests are
// known or not; what they except is not claimed. Of the definition, bridge and
// addresses may still be to be chosen. An interface is claimed as far
// as its addresses are known.
func Claims(def *xml.Network, ext *xml.Extensions, where Where) ([]Claim, error) {
	if ext == nil {
		return nil, nil
	}
	c := &compiler{publics: ext.Publics, claims: true}
	c.open4, c.open6 = def.Open()
	for _, ip := range def.Subnets() {
		if p, err := subnet(&ip); err == nil && p.Addr().Is4() {
			c.subnets4 = append(c.subnets4, p)
		} else if err == nil {
			c.subnets6 = append(c.subnets6, p)
		}
	}
	where.Withheld = nil // they are claimed all the same
	all, err := c.forwards(ext.Forwards, where)
	if err != nil {
		return nil, fmt.Errorf("forwards of network %q: %w", def.Name, err)
	}
	var claims []Claim
	for _, t := range all {
		f := &ext.Forwards[t.rank]
		if f.Ignore {
			continue
		}
		every := !slices.ContainsFunc(f.Ranges, func(r xml.ForwardRange) bool { return !r.Exclude })
		claims = append(claims, Claim{Proto: t.proto, Address: t.addr, Start: t.first, End: t.last, All: every, Forward: t.rank})
	}
	for i, p := range ext.Publics {
		claims = append(claims, Claim{Address: p.Public, Forward: i})
	}
	return claims, nil
}

// Leads returns what the extensions of a network lead to which guests now.
func Leads(def *xml.Network, ext *xml.Extensions, where Where) ([]Entry, []Public, error) {
	if ext == nil || len(ext.Forwards)+len(ext.Publics) == 0 {
		return nil, nil, nil
	}
	c, err := newCompiler(def)
	if err != nil {
		return nil, nil, err
	}
	n := &Network{Bridge: c.bridge}
	err = c.extend(n, ext, where)
	return n.Entries, n.Publics, err
}

// Clash is what a network claims, or the part of it, that another one has.
type Clash struct{ Mine, Theirs Claim }

// Clashes returns what of two networks' claims cannot both hold: the same port at
// the same address, or at all addresses and at one; a public address and a port of
// it. Claims of one network do not clash, their order decides.
func Clashes(mine, theirs []Claim) []Clash {
	held := index(theirs)
	var list []Clash
	for open := slices.Clone(mine); len(open) > 0; {
		m := open[0]
		open = open[1:]
		t, ok := held.first(m)
		if !ok {
			continue
		}
		part := m
		if m.Proto != "" && t.Proto != "" {
			part.Start, part.End = max(m.Start, t.Start), min(m.End, t.End)
			open = append(open, m.without(part)...)
		}
		list = append(list, Clash{Mine: part, Theirs: t})
	}
	return list
}

// without returns a claim without a part of it.
func (c Claim) without(part Claim) (list []Claim) {
	low, high := c, c
	if c.Start < part.Start {
		low.End = part.Start - 1
		list = append(list, low)
	}
	if c.End > part.End {
		high.Start = part.End + 1
		list = append(list, high)
	}
	return list
}

// place is where claims are found.
type place struct {
	addr  netip.Addr
	proto string
}

// claimed is claims by where they are, those of a place in the order of their ends.
type claimed map[place][]Claim

func index(list []Claim) claimed {
	by := claimed{}
	for _, t := range list {
		by[place{t.Address, t.Proto}] = append(by[place{t.Address, t.Proto}], t)
		if t.Proto != "" && !t.Address.IsUnspecified() {
			every := place{unspecified(t.Address.Is4()), t.Proto + " at one"}
			by[every] = append(by[every], t)
		}
		by[place{t.Address, "all"}] = append(by[place{t.Address, "all"}], t)
	}
	for _, list := range by {
		slices.SortStableFunc(list, func(a, b Claim) int { return int(a.End) - int(b.End) })
	}
	return by
}

// first returns the first claim that another one cannot hold beside.
func (by claimed) first(m Claim) (Claim, bool) {
	places := []place{{m.Address, m.Proto}, {m.Address, ""}}
	switch {
	case m.Proto == "":
		places = []place{{m.Address, "all"}}
	case m.Address.IsUnspecified():
		places = append(places, place{m.Address, m.Proto + " at one"})
	default:
		places = append(places, place{unspecified(m.Address.Is4()), m.Proto})
	}
	for _, p := range places {
		if t, ok := m.meets(by[p], p.proto == m.Proto); ok {
			return t, true
		}
	}
	return Claim{}, false
}

// meets returns the first of some claims, in the order of their ends, that has a
// port in common. Those of one address are apart.
func (c Claim) meets(list []Claim, apart bool) (Claim, bool) {
	for _, o := range list[c.from(list):] {
		switch {
		case c.Proto == "" || o.Proto == "" || o.Start <= c.End:
			return o, true
		case apart:
			return Claim{}, false
		}
	}
	return Claim{}, false
}

// from returns the index of the first claim that does not end before this one.
func (c Claim) from(list []Claim) int {
	i, _ := slices.BinarySearchFunc(list, c, func(o, c Claim) int {
		if c.Proto == "" || o.Proto == "" || o.End >= c.Start {
			return 1
		}
		return -1
	})
	return i
}
