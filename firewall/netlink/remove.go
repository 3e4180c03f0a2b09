package netlink

import (
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/virbr/virbr/firewall"
)

// Remove deletes the rules of a bridge, and with the last bridge's the table.
// Rules that are not there are no error.
func Remove(conn *Conn, bridge string) error {
	if err := firewall.CheckDevice(bridge); err != nil {
		return fmt.Errorf("removing rules: %w", err)
	}
	return conn.attempt(func(socket *netlink.Conn, exact bool) error {
		return newChange(socket, exact).remove(bridge)
	})
}

func (c *change) remove(bridge string) error {
	doing := fmt.Sprintf("removing the rules of %q", bridge)
	use, err := c.reader.use()
	if err != nil || use < 0 {
		return wrap(err, "%s", doing)
	}
	own, err := c.own(bridge)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	last, err := c.last(bridge, use, len(own))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if last {
		c.delTable()
		return c.apply(doing)
	}
	for _, m := range firewall.Base().Maps {
		rules, ok := own[m.Name]
		if !ok {
			continue
		}
		chain := firewall.ChainName(m.Name, bridge)
		if err := c.forget(m, chain, bridge, rules); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		c.delChain(chain)
	}
	return c.apply(doing)
}

// own returns the rules of those of a bridge's chains that exist, by map.
func (c *change) own(bridge string) (map[string][]kernelRule, error) {
	own := map[string][]kernelRule{}
	for _, m := range firewall.Base().Maps {
		rules, exists, err := c.reader.rules(firewall.ChainName(m.Name, bridge))
		if err != nil {
			return nil, err
		}
		if exists {
			own[m.Name] = rules
		}
	}
	return own, nil
}

// last reports whether the table holds nothing but the shared part and a
// bridge's chains, given how many of its objects there are in all and how many
// of these are the bridge's. Only where there may be no others are the chains
// listed, which are few then.
func (c *change) last(bridge string, use, own int) (bool, error) {
	base := firewall.Base()
	if use > len(base.Maps)+len(base.Chains)+own {
		return false, nil
	}
	names, err := c.reader.chains()
	if err != nil {
		return false, err
	}
	known := map[string]bool{}
	for _, c := range base.Chains {
		known[c.Name] = true
	}
	for _, m := range base.Maps {
		known[firewall.ChainName(m.Name, bridge)] = true
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !known[name] }), nil
}

// List returns the bridges that have rules in the table, in no order.
func List(conn *Conn) (bridges []string, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		names, err := newChange(socket, false).reader.chains()
		for _, name := range names {
			if bridge, ok := firewall.ChainBridge(firewall.LeaveMap, name); ok {
				bridges = append(bridges, bridge)
			}
		}
		return err
	})
	return bridges, err
}
