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
	if len(nets) == 0 {
		return nil
	}
	for _, n := range nets {
		if err := n.Validate(); err != nil {
			return fmt.Errorf("installing the rules of %q: %w", n.Bridge, err)
		}
	}
	return conn.attempt(func(socket *netlink.Conn, exact bool) error {
		return newChange(socket, exact).install(nets)
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
	if err := c.base(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for _, n := range nets {
		if err := c.network(n); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return c.apply(doing)
}

// base makes what all networks share where it is missing. Base chains whose
// rules are not as they should be get them anew. They are not replaced unasked:
// freeing rules takes the kernel a while.
func (c *change) base() error {
	c.addTable()
	for i, m := range firewall.Base().Maps {
		c.addMap(m, i)
	}
	for _, chain := range firewall.Base().Chains {
		rules, exists, err := c.reader.rules(chain.Name)
		if err != nil {
			return err
		}
		userdata := records(chain, nil)
		if !exists || !same(userdata, rules) {
			c.chain(chain, userdata, exists)
		}
	}
	return nil
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

// network adds one network. Elements that are there already may be added again;
// ranges that are not wanted go first, as the new ones may overlap them.
func (c *change) network(n *firewall.Network) error {
	var gone []string
	for _, m := range firewall.Base().Maps {
		name := firewall.ChainName(m.Name, n.Bridge)
		rules, exists, err := c.reader.rules(name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(n.Chains, func(chain firewall.Chain) bool { return chain.Name == name })
		var userdata [][]byte
		if i >= 0 {
			userdata = records(n.Chains[i], n.Elements)
		}
		right := i >= 0 && exists && same(userdata, rules)
		if c.exact || exists && (i < 0 || !right && m.Interval()) {
			if err := c.forget(m, name, n.Bridge, rules); err != nil {
				return err
			}
		}
		if right {
			continue
		}
		if i >= 0 {
			c.chain(n.Chains[i], userdata, exists)
		} else if exists {
			gone = append(gone, name)
		}
	}
	for _, e := range n.Elements {
		c.addElements(e.Map, encodeElement(e))
	}
	for _, name := range gone {
		c.delChain(name)
	}
	return nil
}

// forget deletes the elements of a map that lead to a bridge's chain: those that
// are certainly there, or, in a first attempt, those that should be.
func (c *change) forget(m firewall.Map, chain, bridge string, rules []kernelRule) error {
	if c.exact {
		elements, err := c.reader.elements(m.Name, chain)
		c.delElements(m.Name, elements)
		return err
	}
	if !m.Interval() {
		c.delElements(m.Name, encodeElement(firewall.Element{Map: m.Name, Name: bridge, Chain: chain}))
		return nil
	}
	for _, p := range recorded(rules) {
		c.delElements(m.Name, encodeElement(firewall.Element{Map: m.Name, Prefix: p, Chain: chain}))
	}
	return nil
}
