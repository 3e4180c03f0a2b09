package netlink

import (
	"fmt"
	"slices"

	"github.com/google/nftables"

	"github.com/virbr/virbr/firewall"
)

// Remove deletes the rules of a bridge, and with the last bridge's the table.
// Rules that are not there are no error.
func Remove(conn *nftables.Conn, bridge string) error {
	b, err := newBatch(conn)
	if err != nil {
		return err
	}
	defer b.reader.close()
	use, err := b.reader.use()
	if err != nil || use < 0 {
		return err
	}
	doing := fmt.Sprintf("removing the rules of %q", bridge)
	own, err := b.own(bridge)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	last, err := b.last(use, own)
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
	b.declare()
	if err := b.remove(bridge, own); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return b.send(doing)
}

// own returns those of a bridge's chains that exist, by map.
func (b *batch) own(bridge string) (map[string]string, error) {
	own := map[string]string{}
	for _, m := range firewall.Base().Maps {
		name := firewall.ChainName(m.Name, bridge)
		exists, err := b.reader.exists(name)
		if err != nil {
			return nil, err
		}
		if exists {
			own[m.Name] = name
		}
	}
	return own, nil
}

// last reports whether the table holds nothing but the shared part and the
// chains given. The number of its objects tells that there is more; only where
// there may be no more, the few chains are listed.
func (b *batch) last(use int, own map[string]string) (bool, error) {
	base := firewall.Base()
	if use > len(base.Maps)+len(base.Chains)+len(own) {
		return false, nil
	}
	names, err := b.reader.chains()
	if err != nil {
		return false, err
	}
	for _, name := range names {
		shared := slices.ContainsFunc(base.Chains, func(c firewall.Chain) bool { return c.Name == name })
		mine := false
		for _, c := range own {
			mine = mine || c == name
		}
		if !shared && !mine {
			return false, nil
		}
	}
	return true, nil
}

// remove deletes a bridge's elements, then its chains, which the kernel keeps
// while elements lead to them. Elements keyed by name are added before they are
// deleted, which does nothing to those that exist, so that missing ones are no
// error.
func (b *batch) remove(bridge string, own map[string]string) error {
	for _, m := range firewall.Base().Maps {
		chain, ok := own[m.Name]
		if !ok {
			continue
		}
		if m.Interval() {
			if err := b.delRanges(m.Name, chain); err != nil {
				return err
			}
		} else {
			e := encodeElement(firewall.Element{Map: m.Name, Name: bridge, Chain: chain})
			b.queue = append(b.queue,
				func() error { return b.conn.SetAddElements(b.sets[m.Name], e) },
				func() error { return b.conn.SetDeleteElements(b.sets[m.Name], e) })
		}
		b.delChain(chain)
	}
	return nil
}

// List returns the bridges that have rules in the table, in no order.
func List(conn *nftables.Conn) ([]string, error) {
	r, err := newReader(conn, nftables.TableFamilyINet, firewall.TableName)
	if err != nil {
		return nil, err
	}
	defer r.close()
	names, err := r.chains()
	if err != nil {
		return nil, err
	}
	var bridges []string
	for _, name := range names {
		if bridge, ok := firewall.ChainBridge(firewall.LeaveMap, name); ok {
			bridges = append(bridges, bridge)
		}
	}
	return bridges, nil
}
