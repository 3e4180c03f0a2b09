package netlink

import (
	"fmt"
	"slices"

	"github.com/google/nftables"

	"github.com/virbr/virbr/firewall"
)

// Install makes the kernel's rules of each network's bridge exactly those of the
// network, in one batch, making the table and its base chains where they are
// missing. It is for new networks, for changed ones and for repair alike: chains
// that are as they should be keep their rules and counters. nil networks, which
// have no rules, are skipped.
func Install(conn *Conn, nets ...*firewall.Network) error {
	nets = slices.DeleteFunc(slices.Clone(nets), func(n *firewall.Network) bool { return n == nil })
	if len(nets) == 0 {
		return nil
	}
	return conn.attempt(func(exact bool) error { return install(conn, nets, exact) })
}

func install(conn *Conn, nets []*firewall.Network, exact bool) error {
	b := newBatch(conn, exact)
	b.declare()
	if err := b.base(); err != nil {
		return err
	}
	for _, n := range nets {
		if err := b.install(n); err != nil {
			return fmt.Errorf("preparing the rules of %q: %w", n.Bridge, err)
		}
	}
	return b.send("installing the rules of " + bridges(nets))
}

// bridges names the networks in a message.
func bridges(nets []*firewall.Network) string {
	if len(nets) == 1 {
		return fmt.Sprintf("%q", nets[0].Bridge)
	}
	return fmt.Sprintf("%q and %d more", nets[0].Bridge, len(nets)-1)
}

// declare makes the table and its maps where they are missing.
func (b *batch) declare() {
	b.do(func() { b.conn.AddTable(b.table) })
	for _, m := range firewall.Base().Maps {
		b.queue = append(b.queue, func() error { return b.conn.AddSet(b.sets[m.Name], nil) })
	}
}

// base makes the base chains, and their rules anew where they are not as they
// should be. They are not replaced unasked: the kernel frees rules after an RCU
// grace period, and whoever closes the socket waits for it.
func (b *batch) base() error {
	for _, c := range firewall.Base().Chains {
		rules, exists, err := b.reader.rules(c.Name)
		if err != nil {
			return err
		}
		userdata := records(c, nil)
		if exists && same(userdata, rules) {
			continue
		}
		if err := b.chain(c, userdata, exists); err != nil {
			return err
		}
	}
	return nil
}

// chain makes a chain with exactly its rules; flush where it may have others.
func (b *batch) chain(c firewall.Chain, userdata [][]byte, flush bool) error {
	kernel, err := encodeHook(b.table, c)
	if err != nil {
		return err
	}
	b.do(func() { b.conn.AddChain(kernel) })
	if flush {
		b.do(func() { b.conn.FlushChain(kernel) })
	}
	for i, r := range c.Rules {
		exprs, err := encodeRule(r)
		if err != nil {
			return err
		}
		rule := &nftables.Rule{Table: b.table, Chain: kernel, Exprs: exprs, UserData: userdata[i]}
		b.do(func() { b.conn.AddRule(rule) })
	}
	return nil
}

// install adds one network. Elements that are there already may be added again;
// ranges that are not wanted go first, as the new ones may overlap them.
func (b *batch) install(n *firewall.Network) error {
	if err := n.Validate(); err != nil {
		return err
	}
	var gone []string
	for _, m := range firewall.Base().Maps {
		name := firewall.ChainName(m.Name, n.Bridge)
		i := slices.IndexFunc(n.Chains, func(c firewall.Chain) bool { return c.Name == name })
		if i >= 0 {
			if err := b.installChain(m, n.Chains[i], n.Elements); err != nil {
				return err
			}
			continue
		}
		rules, exists, err := b.reader.rules(name)
		if err != nil {
			return err
		}
		if exists {
			if err := b.delElements(m, name, n.Bridge, rules); err != nil {
				return err
			}
			gone = append(gone, name)
		}
	}
	for _, e := range n.Elements {
		b.queue = append(b.queue, func() error { return b.conn.SetAddElements(b.sets[e.Map], encodeElement(e)) })
	}
	for _, name := range gone {
		b.delChain(name)
	}
	return nil
}

// installChain makes a chain of a network unless it is there, and deletes the
// ranges that led to what was there instead.
func (b *batch) installChain(m firewall.Map, c firewall.Chain, elements []firewall.Element) error {
	rules, exists, err := b.reader.rules(c.Name)
	if err != nil {
		return err
	}
	userdata := records(c, elements)
	if exists && same(userdata, rules) {
		return nil
	}
	if exists && m.Interval() {
		if err := b.delElements(m, c.Name, "", rules); err != nil {
			return err
		}
	}
	return b.chain(c, userdata, exists)
}

// delElements deletes the elements of a map that lead to a chain: those that are
// certainly there, or, in a first attempt, those that should be.
func (b *batch) delElements(m firewall.Map, chain, bridge string, rules []kernelRule) error {
	var elements []nftables.SetElement
	switch {
	case b.exact:
		var err error
		if elements, err = b.reader.elements(m.Name, chain); err != nil {
			return err
		}
	case m.Interval():
		for _, p := range recorded(rules) {
			elements = append(elements, encodeElement(firewall.Element{Map: m.Name, Prefix: p, Chain: chain})...)
		}
	default:
		elements = encodeElement(firewall.Element{Map: m.Name, Name: bridge, Chain: chain})
	}
	if len(elements) > 0 {
		b.queue = append(b.queue, func() error { return b.conn.SetDeleteElements(b.sets[m.Name], elements) })
	}
	return nil
}

// delChain deletes a chain and its rules.
func (b *batch) delChain(name string) {
	b.do(func() { b.conn.DelChain(&nftables.Chain{Table: b.table, Name: name}) })
}
