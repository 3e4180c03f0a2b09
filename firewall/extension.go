package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// CompileExtension returns the rules that the extensions of a network add to
// those of somebody else who filters what its guests send and are sent, such as
// libvirt; nil: none. What nobody else knows of is filtered here: an advertised
// prefix, and a network of mode open where the extensions ask for that.
func CompileExtension(def *xml.Network, ext *xml.Extensions, where Where) (*Network, error) {
	n, err := compileExtension(def, ext, where)
	if err != nil {
		return nil, err
	}
	return guarded(n, def, ext, where)
}

func compileExtension(def *xml.Network, ext *xml.Extensions, where Where) (*Network, error) {
	if made := filtered(def, ext); made != def {
		return Compile(made, ext, where)
	}
	if m := def.Forward.Mode; def.Advertise != nil && (m == xml.ForwardNone || m == xml.ForwardNAT || m == xml.ForwardRoute) {
		return CompileIPv6(def, ext, where)
	}
	if ext == nil || len(ext.Forwards)+len(ext.Publics)+len(ext.Uplinks) == 0 && !ext.Firewall.Offload && !ext.Firewall.Services {
		return nil, nil
	}
	c, err := newCompiler(def)
	if err != nil {
		return nil, err
	}
	n, err := c.network(def, ext, where, true, func(*Network) {})
	if err != nil || len(n.Chains) == 0 {
		return nil, err
	}
	return n, nil
}

// extend resolves forwards and public addresses and notes what they need.
func (c *compiler) extend(n *Network, ext *xml.Extensions, where Where) error {
	if ext == nil {
		return nil
	}
	c.publics = ext.Publics
	if len(ext.Forwards)+len(ext.Publics) > 0 && len(c.subnets4)+len(c.subnets6) == 0 {
		return errors.New("it has no subnet of its own: nothing can be forwarded to its guests")
	}
	if len(ext.Publics) > 0 && c.mode == xml.ForwardNone {
		return errors.New("it is isolated: a guest with a public address needs a way out, such as forward mode nat or route")
	}
	all, err := c.forwards(ext.Forwards, where)
	if err != nil {
		return err
	}
	n.Entries = entries(all)
	for i := range ext.Publics {
		p := &ext.Publics[i]
		if slices.ContainsFunc(c.subnets(p.Public.Is4()), func(s netip.Prefix) bool { return s.Contains(p.Public) }) {
			return fmt.Errorf("public address %s is in a subnet of the network itself", p.Public)
		}
		guest, err := c.guest(p.Guest, p.Public.Is4(), where)
		if err != nil {
			return err
		}
		withheld := slices.ContainsFunc(where.Withheld, func(c Claim) bool { return c.Proto == "" && c.Address == p.Public })
		if guest.IsValid() && !withheld {
			n.Publics = append(n.Publics, Public{Address: p.Public, Guest: guest, Stateless: p.Stateless})
			c.untracked = c.untracked || p.Stateless
		}
	}
	c.forwarded = len(n.Entries)+len(n.Publics) > 0
	c.pinholes = slices.ContainsFunc(n.Entries, func(e Entry) bool { return e.Guest.IsValid() && e.Listen == e.Guest })
	own := n.loopback()
	for _, v4 := range []bool{true, false} {
		i := slices.IndexFunc(c.own, func(a netip.Addr) bool { return a.Is4() == v4 && plainAddr(a) })
		if i >= 0 && slices.ContainsFunc(own, func(l looped) bool { return l.addr.Is4() == v4 }) {
			n.Home = append(n.Home, c.own[i])
		}
	}
	c.uplinks = where.Uplinks
	if len(c.uplinks) == 0 && c.dev != "" {
		c.uplinks = []string{c.dev}
	}
	if len(n.Publics) > 0 {
		n.Uplinks = c.uplinks
	}
	return nil
}

// enterReached allows what forwards and public addresses lead to guests, and, to
// guests with stateless addresses, what is not tracked. The forward device limits
// these, too.
func (c *compiler) enterReached() []Rule {
	var rules []Rule
	if c.forwarded {
		rules = append(rules, c.reachedRules(c.only(InName, c.translated()...)...)...)
	}
	for i := range families {
		f := &families[i]
		if c.untracked && len(c.subnets(f.name == IPv4)) > 0 {
			rules = append(rules, allow(c.only(InName, Match{Field: State, Word: Untracked}, in("bare"+f.suffix, 0, f.dest))...))
		}
	}
	return rules
}

// reach adds the chains that forwards and public addresses need.
func (c *compiler) reach(n *Network) {
	if !c.forwarded {
		return
	}
	c.filter(n, HairpinMap, c.hairpin())
	if c.untracked {
		n.Chains = append(n.Chains,
			Chain{Name: ChainName(inwardChain, c.bridge), Rules: c.outside(FromLink, Action{Kind: Jump, Chain: translateChain})},
			Chain{Name: ChainName(outwardChain, c.bridge), Rules: c.outside(DestLink, Action{Kind: NoTrack})})
	}
}

// hairpin returns the rules for what is forwarded to guests. They must answer
// through the host, but for clients outside, whose addresses are kept: those on
// the same bridge, which they would answer directly, and the host's loopback.
// Guests of an isolated network know no other way than to the bridge's address.
// What does not come from outside keeps its address otherwise.
func (c *compiler) hairpin() []Rule {
	masquerade := Action{Kind: Masquerade}
	translated := Match{Field: Status, Word: Translated}
	if c.mode == xml.ForwardNone && !c.pinholes {
		return []Rule{{Match: []Match{translated}, Counter: true, Do: masquerade}}
	}
	var rules []Rule
	for i := range families {
		f := &families[i]
		own := netip.PrefixFrom(f.standIn, f.standIn.BitLen())
		rules = append(rules, Rule{Match: []Match{{Field: f.source, Prefix: own}}, Counter: true, Do: masquerade})
	}
	for _, p := range slices.Concat(c.subnets4, c.subnets6) {
		f := Source4
		if p.Addr().Is6() {
			f = Source6
		}
		rules = append(rules,
			Rule{Match: []Match{{Field: f, Prefix: p}, translated}, Counter: true, Do: masquerade},
			Rule{Match: []Match{{Field: f, Prefix: p}}, Counter: true, Do: Action{Kind: Accept}})
	}
	if c.mode == xml.ForwardNone {
		rules = append(rules, Rule{Counter: true, Do: masquerade}) // only what is forwarded comes here
	}
	return rules
}

// outside returns rules that do something where the routes lead to a client
// outside. The same is asked about both directions, so both are treated alike.
func (c *compiler) outside(link Field, do Action) []Rule {
	var rules []Rule
	for _, dev := range c.uplinks {
		rules = append(rules, Rule{Match: []Match{{Field: link, Word: dev}}, Counter: true, Do: do})
	}
	if len(rules) > 0 {
		return rules
	}
	rules = append(rules, allow(device(link, c.bridge)))
	if link == DestLink {
		rules = append(rules, allow(Match{Field: DestType, Not: true, Word: Unicast}))
	}
	return append(rules, Rule{Counter: true, Do: do})
}

// loopback4 is the host's own network (RFC 1122 section 3.2.1.3).
func loopback4() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8) }

// loopback6 is the host's own address (RFC 4291 section 2.5.3).
func loopback6() netip.Prefix { return netip.PrefixFrom(netip.IPv6Loopback(), 128) }

// link6 holds the addresses of one link only (RFC 4291 section 2.5.6).
func link6() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80}), 10) }
