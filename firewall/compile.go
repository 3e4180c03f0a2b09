package firewall

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// Compile returns the rules of a network, or nil where it has none: forward mode
// open and those without a bridge, unless its extensions ask for some. The
// verdicts are those of libvirt's networkAddFirewallRules, but that leaving and
// entering are both asked (see [Base]).
//
// The definition must be complete: bridge name and addresses chosen. A port
// range that ends before it starts is an [xml.Error], as at libvirt's start of
// a network; values that cannot be written into a rule are plain errors.
//
// ext may be nil, and where may be empty: then what they would add is left out.
func Compile(def *xml.Network, ext *xml.Extensions, where Where) (*Network, error) {
	n, err := compile(def, ext, where, false)
	if err != nil {
		return nil, err
	}
	return guarded(n, def, ext, where)
}

// compile is [Compile]; beside: somebody else filters the network, too.
func compile(def *xml.Network, ext *xml.Extensions, where Where, beside bool) (*Network, error) {
	def = filtered(def, ext)
	switch def.Forward.Mode {
	case xml.ForwardNone, xml.ForwardNAT, xml.ForwardRoute:
	case xml.ForwardOpen, xml.ForwardBridge, xml.ForwardPrivate,
		xml.ForwardVEPA, xml.ForwardPassthrough, xml.ForwardHostdev:
		return compileExtension(def, ext, where)
	default:
		return nil, fmt.Errorf("compiling the firewall of network %q: unknown forward mode %d", def.Name, def.Forward.Mode)
	}
	c, err := newCompiler(def)
	if err != nil {
		return nil, err
	}
	return c.network(def, ext, where, beside, func(n *Network) {
		c.filter(n, LeaveMap, c.leave())
		c.filter(n, EnterMap, c.enter())
		if c.mode == xml.ForwardNAT {
			c.nat(n, NAT4Map, c.subnets4, where.Narrower)
			c.nat(n, NAT6Map, c.nat6, where.Narrower)
		}
	})
}

// network returns the rules of extensions, and after what forwards need those of the
// forward mode.
func (c *compiler) network(def *xml.Network, ext *xml.Extensions, where Where, beside bool, mode func(*Network)) (*Network, error) {
	n := &Network{Bridge: c.bridge}
	if err := c.extend(n, ext, where); err != nil {
		return nil, uncompiled(def, err)
	}
	mode(n)
	c.reach(n)
	if beside {
		c.vouch(n)
	}
	c.services(n, def, ext)
	c.ingress(n)
	if err := c.guard(n, ext, where); err != nil {
		return nil, uncompiled(def, err)
	}
	c.fast(n, ext, where)
	return n, n.Validate()
}

// uncompiled says of which network the error is.
func uncompiled(def *xml.Network, err error) error {
	return fmt.Errorf("compiling the firewall of network %q: %w", def.Name, err)
}

// filtered returns the definition with the forward mode whose rules it is to
// have: for mode open, the extensions can name one.
func filtered(def *xml.Network, ext *xml.Extensions) *xml.Network {
	if ext == nil || !ext.Firewall.Filter || def.Forward.Mode != xml.ForwardOpen {
		return def
	}
	changed := *def
	changed.Forward.Mode = ext.Firewall.Mode
	return &changed
}

// compiler is the part of a definition that the firewall needs, checked.
type compiler struct {
	bridge   string
	dev      string // "": any
	mode     xml.ForwardMode
	subnets4 []netip.Prefix // merged
	subnets6 []netip.Prefix
	own      []netip.Addr   // the bridge's addresses
	replies6 []netip.Prefix // those that only replies may enter
	nat6     []netip.Prefix // those that are translated

	addrStart, addrEnd netip.Addr // invalid: masquerade
	portStart, portEnd uint16

	publics []xml.PublicAddress
	uplinks []string

	forwarded bool // something is forwarded to guests
	pinholes  bool // some of it at the guest's own address
	untracked bool // guests have stateless public addresses

	claims       bool // only what is claimed is asked, whoever the guests are
	open4, open6 bool // subnets are still to be chosen
}

func newCompiler(def *xml.Network) (*compiler, error) {
	c := &compiler{
		bridge: def.Bridge.Name,
		dev:    def.Forward.Dev(),
		mode:   def.Forward.Mode,
	}
	if err := CheckDevice(c.bridge); err != nil {
		return nil, uncompiled(def, err)
	}
	if c.mode == xml.ForwardNone {
		c.dev = ""
	}
	if c.dev != "" {
		if err := CheckDevice(c.dev); err != nil {
			return nil, uncompiled(def, err)
		}
	}
	ips := def.Subnets()
	for i := range ips {
		p, err := subnet(&ips[i])
		if err != nil {
			return nil, uncompiled(def, err)
		}
		c.own = append(c.own, ips[i].Address)
		if p.Addr().Is4() {
			c.subnets4 = append(c.subnets4, p)
		} else {
			c.subnets6 = append(c.subnets6, p)
		}
	}
	c.subnets4, c.subnets6 = merge(c.subnets4), merge(c.subnets6)
	for _, p := range c.subnets6 {
		if def.Replies(p) {
			c.replies6 = append(c.replies6, p)
		}
		if def.Translates(p) {
			c.nat6 = append(c.nat6, p)
		}
	}
	if c.mode != xml.ForwardNAT {
		return c, nil
	}
	return c, c.takeNAT(def)
}

// takeNAT checks the <nat> element. Equal ends of the port range are accepted,
// unlike in libvirt: one port is a range too.
func (c *compiler) takeNAT(def *xml.Network) error {
	nat := &def.Forward.NAT
	start, end := nat.PortStart, nat.PortEnd
	if start == 0 && end == 0 {
		start, end = 1024, math.MaxUint16
	}
	if start > end || end > math.MaxUint16 {
		return &xml.Error{Kind: xml.KindInternal, Msg: fmt.Sprintf("Invalid port range '%d-%d'.", start, end)}
	}
	c.portStart, c.portEnd = uint16(max(start, 1)), uint16(end) // no connection has port 0
	a, b := nat.AddressStart, nat.AddressEnd
	if a.IsValid() != b.IsValid() || a.IsValid() && (!a.Is4() || !b.Is4() || b.Less(a)) {
		return fmt.Errorf("compiling the firewall of network %q: %q to %q is not a range of IPv4 addresses", def.Name, a, b)
	}
	c.addrStart, c.addrEnd = a, b
	return nil
}

// filter adds a chain and the element that leads to it.
func (c *compiler) filter(n *Network, m string, rules []Rule) {
	chain := ChainName(m, c.bridge)
	n.Chains = append(n.Chains, Chain{Name: chain, Rules: rules})
	n.Elements = append(n.Elements, Element{Map: m, Name: c.bridge, Chain: chain})
}

// leave returns the rules for what guests send. Traffic within the bridge comes
// first: it gets here when guests have addresses of two subnets, or with
// br_netfilter.
func (c *compiler) leave() []Rule {
	rules := []Rule{allow(device(OutName, c.bridge))}
	if c.mode == xml.ForwardNone && c.forwarded {
		rules = append(rules, c.reachedRules(Match{Field: Direction, Word: Reply})...)
	}
	if c.mode != xml.ForwardNone {
		for _, p := range c.subnets4 {
			rules = append(rules, allow(c.only(OutName, Match{Field: Source4, Prefix: p})...))
		}
		for _, p := range c.subnets6 {
			rules = append(rules, allow(c.only(OutName, Match{Field: Source6, Prefix: p})...))
		}
	}
	return append(rules, reject())
}

// enter returns the rules for what is sent to guests. IPv6 of an <ip> that is
// not translated is routed, also in mode nat: the outside can open connections.
// Into an advertised prefix it cannot, unless the definition says so.
func (c *compiler) enter() []Rule {
	rules := []Rule{allow(device(InName, c.bridge))}
	if c.mode != xml.ForwardNone {
		for _, p := range c.subnets4 {
			m := c.only(InName, Match{Field: Dest4, Prefix: p})
			if c.mode == xml.ForwardNAT {
				m = append(m, Match{Field: State, Word: Established})
			}
			rules = append(rules, allow(m...))
		}
		for _, p := range c.subnets6 {
			m := c.only(InName, Match{Field: Dest6, Prefix: p})
			if slices.Contains(c.replies6, p) {
				m = append(m, Match{Field: State, Word: Established})
			}
			rules = append(rules, allow(m...))
		}
	}
	return append(append(rules, c.enterReached()...), reject())
}

// only puts the forward device, if there is one, in front of conditions.
func (c *compiler) only(f Field, m ...Match) []Match {
	if c.dev == "" {
		return m
	}
	return append([]Match{device(f, c.dev)}, m...)
}

// nat adds a chain that translates sources and the elements that lead to it,
// one a subnet. Multicast and broadcast that stay on the link, and traffic
// within the subnet, keep their addresses. Ports matter for tcp and udp only.
func (c *compiler) nat(n *Network, m string, subnets, narrower []netip.Prefix) {
	if len(subnets) == 0 {
		return
	}
	source, dest, exempt := Source4, Dest4, exempt4()
	if m == NAT6Map {
		source, dest, exempt = Source6, Dest6, exempt6()
	}
	var rules []Rule
	if c.dev != "" {
		rules = append(rules, allow(Match{Field: OutName, Not: true, Word: c.dev}))
	}
	for _, p := range exempt {
		rules = append(rules, allow(Match{Field: dest, Prefix: p}))
	}
	chain := ChainName(m, c.bridge)
	for _, p := range subnets {
		rules = append(rules, allow(Match{Field: source, Prefix: p}, Match{Field: dest, Prefix: p}))
		for _, p := range punched(p, narrower) {
			n.Elements = append(n.Elements, Element{Map: m, Prefix: p, Chain: chain})
		}
	}
	do := Action{Kind: Masquerade}
	if m == NAT4Map && c.addrStart.IsValid() {
		do = Action{Kind: SNAT, AddrStart: c.addrStart, AddrEnd: c.addrEnd}
	}
	ported := do
	ported.PortStart, ported.PortEnd = c.portStart, c.portEnd
	n.Chains = append(n.Chains, Chain{Name: chain, Rules: append(rules,
		Rule{Match: []Match{{Field: Protocol, Word: "tcp"}}, Counter: true, Do: ported},
		Rule{Match: []Match{{Field: Protocol, Word: "udp"}}, Counter: true, Do: ported},
		Rule{Counter: true, Do: do},
	)})
}

// exempt4 lists the IPv4 destinations that are never translated: local network
// control (RFC 5771) and limited broadcast (RFC 919).
func exempt4() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{224, 0, 0, 0}), 24),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 32),
	}
}

// exempt6 lists the IPv6 destinations that are never translated: link-local
// multicast (RFC 4291 section 2.7).
func exempt6() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02}), 16)}
}

func device(f Field, name string) Match { return Match{Field: f, Word: name} }

func allow(m ...Match) Rule { return Rule{Match: m, Counter: true, Do: Action{Kind: Return}} }

func reject() Rule { return Rule{Counter: true, Do: Action{Kind: Reject}} }
