package netlink

import (
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/virbr/virbr/firewall"
)

// Install makes the kernel's rules of each network's bridge exactly those of the
// network, in one batch, making the table and its base chains where they are
// missing. It is for new networks, for changed ones and for repair alike: chains
// that are as they should be keep their rules and counters. nil networks, which
// have no rules, are skipped.
func Install(conn *Conn, nets ...*firewall.Network) error {
	nets = slices.DeleteFunc(slices.Clone(nets), func(n *firewall.Network) bool { return n == nil })
	var guards []*firewall.Guard
	for _, n := range nets {
		if err := n.Validate(); err != nil {
			return fmt.Errorf("installing the rules of %q: %w", n.Bridge, err)
		}
		guards = append(guards, n.Guard)
	}
	if err := installGuards(conn, guards...); err != nil {
		return err
	}
	nets = slices.DeleteFunc(nets, func(n *firewall.Network) bool { return inet(n) == nil })
	if len(nets) == 0 {
		return nil
	}
	return conn.attempt(func(socket *netlink.Conn, exact bool) error {
		c := newChange(socket, exact)
		err := c.install(nets)
		conn.noteLocked(c.made)
		return err
	})
}

// bridges names the networks in a message.
func bridges(nets []*firewall.Network) string {
	if len(nets) == 1 {
		return fmt.Sprintf("%q", nets[0].Bridge)
	}
	return fmt.Sprintf("%q and %d more", nets[0].Bridge, len(nets)-1)
}

func (c *change) install(nets []*firewall.Network) error {
	doing := "installing the rules of " + bridges(nets)
	if len(nets) > 1 { // a repair, often of all that there was
		use, err := c.reader.use()
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		c.reader.absent = use < 0
	}
	if err := c.base(nets); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var gone []string
	for _, n := range nets {
		more, err := c.network(n)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		gone = append(gone, more...)
	}
	if err := c.settle(gone, nets); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return c.apply(doing)
}

// base makes what the networks share where it is missing. Base chains whose
// rules are not as they should be get them anew. They are not replaced unasked:
// freeing rules takes the kernel a while.
func (c *change) base(nets []*firewall.Network) error {
	needed := func(p firewall.Part) bool { return slices.ContainsFunc(nets, p.Needed) }
	changed, err := c.parts(firewall.Parts(), needed, nets)
	if err == nil && changed {
		err = c.retire()
	}
	return err
}

// parts makes those parts of a table that are needed, and reports whether the part for
// hairpins was not as it should be.
func (c *change) parts(parts []firewall.Part, needed func(firewall.Part) bool, nets []*firewall.Network) (changed bool, err error) {
	id := 0
	for _, part := range parts {
		if !needed(part) {
			continue
		}
		wrong, err := c.wrong(part)
		if err != nil {
			return false, err
		}
		changed = changed || part.Marker == firewall.HairpinMap && len(wrong) > 0
		// Rules that are right look into maps, which are there then.
		if c.exact || len(wrong) > 0 {
			c.addTable()
			for _, m := range part.Maps {
				c.addMap(m, id)
				id++
			}
		}
		for _, f := range part.Flowtables {
			for _, n := range nets {
				f.Links = append(f.Links, n.Fast...)
			}
			slices.Sort(f.Links)
			f.Links = slices.Compact(f.Links)
			c.addFlowtable(f)
		}
		for _, chain := range part.Chains {
			if exists, ok := wrong[chain.Name]; ok {
				c.chain(chain, records(chain, nil), exists)
			}
		}
	}
	return changed, nil
}

// retired is the map, the base chain and the first word of the networks' chains that
// earlier versions had for the host's loopback.
const retired = "local"

// retire deletes what earlier versions made and this one does not.
func (c *change) retire() error {
	exists, err := c.reader.exists(retired)
	if err != nil || !exists {
		return err
	}
	names, err := c.reader.chains()
	if err != nil {
		return err
	}
	c.delChain(retired)
	c.delMap(retired)
	for _, name := range names {
		if _, ok := firewall.ChainBridge(retired, name); ok {
			c.delChain(name)
		}
	}
	return nil
}

// wrong returns those of a part's chains that do not have their rules, by name,
// and whether they exist.
func (c *change) wrong(part firewall.Part) (map[string]bool, error) {
	list := map[string]bool{}
	for _, chain := range part.Chains {
		rules, exists, err := c.reader.rules(chain.Name)
		if err != nil {
			return nil, err
		}
		if !exists || !same(records(chain, nil), rules) {
			list[chain.Name] = exists
		}
	}
	return list, nil
}

// chain makes a chain with exactly its rules; flush where it may have others.
func (c *change) chain(chain firewall.Chain, userdata [][]byte, flush bool) {
	c.addChain(chain)
	if flush {
		c.delRule(chain.Name, 0)
	}
	for i, r := range chain.Rules {
		c.addRule(chain.Name, rule{exprs: c.encodeRule(r), userdata: userdata[i]})
	}
}

// network adds one network and returns the chains that it no longer has.
func (c *change) network(n *firewall.Network) (gone []string, err error) {
	have, err := c.own(n)
	if err != nil {
		return nil, err
	}
	come, err := c.stale(n, have)
	if err != nil {
		return nil, err
	}
	settled, gone, err := c.chains(n, have)
	if err != nil {
		return nil, err
	}
	if err := c.elements(n, settled); err != nil {
		return nil, err
	}
	for _, m := range dataMaps(firewall.Parts()) {
		c.addData(m, come[m])
	}
	for _, name := range gone {
		c.delChain(name)
	}
	return gone, nil
}

// chains makes the chains of a network that are not as they should be. It returns those
// that are, and those that the network no longer has. Ranges that are not wanted go
// first, as new ones may overlap them.
func (c *change) chains(n *firewall.Network, have map[string][]kernelRule) (settled map[string]bool, gone []string, err error) {
	settled = map[string]bool{}
	for _, m := range firewall.Owned() {
		name := firewall.ChainName(m.Name, n.Bridge)
		rules, exists := have[m.Name]
		i := slices.IndexFunc(n.Chains, func(chain firewall.Chain) bool { return chain.Name == name })
		var userdata [][]byte
		if i >= 0 {
			userdata = records(n.Chains[i], n.Elements)
		}
		right := i >= 0 && exists && same(userdata, rules)
		if m.Key != "" && (c.exact || exists && (i < 0 || !right && m.Ranges)) {
			if err := c.forget(m, name, n.Bridge, rules); err != nil {
				return nil, nil, err
			}
		}
		c.changed = c.changed || exists && !right
		switch {
		case right:
			settled[name] = !c.exact
		case i >= 0:
			c.chain(n.Chains[i], userdata, exists)
		case exists:
			gone = append(gone, name)
		}
	}
	return settled, gone, nil
}

// elements adds the elements of a network. Those that lead to chains as they should be
// are asked for one by one: to add again what is there costs more, as the kernel then
// checks all chains of the table.
func (c *change) elements(n *firewall.Network, settled map[string]bool) error {
	for _, e := range n.Elements {
		there := false
		if settled[e.Chain] {
			var err error
			if there, err = c.reader.leads(e); err != nil {
				return err
			}
		}
		if !there {
			c.addElements(e.Map, encodeElement(e))
		}
	}
	return nil
}

// own returns the rules of those of a bridge's chains that exist, by the map that
// they are named after. Those for forwards are looked for only where the network
// is to have some, or others have.
func (c *change) own(n *firewall.Network) (map[string][]kernelRule, error) {
	reach := c.exact || slices.ContainsFunc(n.Elements, func(e firewall.Element) bool { return reaches(e.Map) })
	for _, shared := range []string{firewall.HairpinMap, firewall.FlowChain, firewall.HostMap, firewall.ArrivalChain, firewall.GuardChain} {
		if reach {
			break
		}
		var err error
		if reach, err = c.reader.exists(shared); err != nil {
			return nil, err
		}
	}
	own := map[string][]kernelRule{}
	for _, m := range firewall.Owned() {
		if !reach && reaches(m.Name) {
			continue
		}
		rules, exists, err := c.reader.rules(firewall.ChainName(m.Name, n.Bridge))
		if err != nil {
			return nil, err
		}
		if exists {
			own[m.Name] = rules
		}
	}
	return own, nil
}

// reaches reports whether chains that are named after a map are for forwards or
// public addresses.
func reaches(m string) bool {
	return !slices.ContainsFunc(firewall.Base().Maps, func(core firewall.Map) bool { return core.Name == m })
}

// forget deletes the elements of a map that lead to a bridge's chain: those that
// are certainly there, or, in a first attempt, those that should be.
func (c *change) forget(m firewall.Map, chain, bridge string, rules []kernelRule) error {
	if c.exact {
		elements, err := c.reader.elements(m.Name, chain)
		c.delElements(m.Name, elements)
		return err
	}
	if !m.Ranges {
		c.delElements(m.Name, encodeElement(firewall.Element{Map: m.Name, Name: bridge, Chain: chain}))
		return nil
	}
	for _, p := range recorded(rules) {
		c.delElements(m.Name, encodeElement(firewall.Element{Map: m.Name, Prefix: p, Chain: chain}))
	}
	return nil
}
