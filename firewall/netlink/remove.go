package netlink

import (
	"fmt"
	"slices"

	"github.com/google/nftables"

	"github.com/virbr/virbr/firewall"
)

// Remove deletes the rules of a bridge, and with the last bridge's the table.
// Rules that are not there are no error.
func Remove(conn *Conn, bridge string) error {
	return conn.attempt(func(exact bool) error { return remove(conn, bridge, exact) })
}

func remove(conn *Conn, bridge string, exact bool) error {
	b := newBatch(conn, exact)
	use, err := b.reader.use()
	if err != nil || use < 0 {
		return err
	}
	doing := fmt.Sprintf("removing the rules of %q", bridge)
	own, err := b.own(bridge)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	last, err := b.last(bridge, use, len(own))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if last {
		b.do(func() { b.conn.DelTable(b.table) })
		return b.send(doing)
	}
	if len(own) == 0 {
		return nil
	}
	for _, m := range firewall.Base().Maps {
		rules, ok := own[m.Name]
		if !ok {
			continue
		}
		chain := firewall.ChainName(m.Name, bridge)
		if err := b.delElements(m, chain, bridge, rules); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		b.delChain(chain)
	}
	return b.send(doing)
}

// own returns the rules of those of a bridge's chains that exist, by map.
func (b *batch) own(bridge string) (map[string][]kernelRule, error) {
	own := map[string][]kernelRule{}
	for _, m := range firewall.Base().Maps {
		rules, exists, err := b.reader.rules(firewall.ChainName(m.Name, bridge))
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
func (b *batch) last(bridge string, use, own int) (bool, error) {
	base := firewall.Base()
	if use > len(base.Maps)+len(base.Chains)+own {
		return false, nil
	}
	names, err := b.reader.chains()
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
	err = conn.use(func() error {
		names, err := conn.reader(nftables.TableFamilyINet, firewall.TableName).chains()
		for _, name := range names {
			if bridge, ok := firewall.ChainBridge(firewall.LeaveMap, name); ok {
				bridges = append(bridges, bridge)
			}
		}
		return err
	})
	return bridges, err
}
