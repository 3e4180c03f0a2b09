package netlink

import (
	"errors"
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
	return errors.Join(removeInet(conn, bridge), removeGuard(conn, bridge))
}

func removeInet(conn *Conn, bridge string) error {
	return conn.attempt(func(socket *netlink.Conn, exact bool) error {
		c := newChange(socket, exact)
		err := c.remove(bridge)
		conn.noteLocked(c.made)
		return err
	})
}

func (c *change) remove(bridge string) error {
	doing := fmt.Sprintf("removing the rules of %q", bridge)
	use, err := c.reader.use()
	if err != nil || use < 0 {
		return wrap(err, "%s", doing)
	}
	nothing := &firewall.Network{Bridge: bridge}
	own, err := c.own(nothing)
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
	gone, err := c.network(nothing)
	if err == nil {
		err = c.settle(gone, nil)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return c.apply(doing)
}

// last reports whether the table holds nothing but the shared part and a
// bridge's chains, given how many of its objects there are in all and how many
// of these are the bridge's. Only where there may be no others are the chains
// listed, which are few then.
func (c *change) last(bridge string, use, own int) (bool, error) {
	shared := 0
	for _, p := range firewall.Parts() {
		shared += len(p.Maps) + len(p.Flowtables) + len(p.Chains)
	}
	if old := 3; use > shared+own+old {
		return false, nil
	}
	names, err := c.reader.chains()
	if err != nil {
		return false, err
	}
	known := map[string]bool{retired: true, firewall.ChainName(retired, bridge): true}
	for _, p := range firewall.Parts() {
		for _, c := range p.Chains {
			known[c.Name] = true
		}
	}
	for _, m := range firewall.Owned() {
		known[firewall.ChainName(m.Name, bridge)] = true
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !known[name] }), nil
}

// prune deletes the parts of the base that nobody needs any more, given the
// chains that go and the networks that come in the same change. It returns their
// markers.
func (c *change) prune(gone []string, nets []*firewall.Network) (pruned []string, err error) {
	needed := func(name string) bool {
		return slices.ContainsFunc(firewall.Owned(), func(m firewall.Map) bool {
			_, ok := firewall.ChainBridge(m.Name, name)
			return ok && reaches(m.Name)
		})
	}
	if !slices.ContainsFunc(gone, needed) {
		return nil, nil
	}
	names, err := c.reader.chains()
	if err != nil {
		return nil, err
	}
	maps, err := c.reader.maps()
	if err != nil {
		return nil, err
	}
	for _, part := range slices.Backward(firewall.Parts()) {
		marks := func(name string) bool {
			_, ok := firewall.ChainBridge(part.Marker, name)
			return ok && !slices.Contains(gone, name)
		}
		if part.Marker != "" && !slices.ContainsFunc(nets, part.Needed) && !slices.ContainsFunc(names, marks) {
			if err := c.delPart(part, names, maps); err != nil {
				return nil, err
			}
			pruned = append(pruned, part.Marker)
		}
	}
	return pruned, nil
}

// settle ends what needs all networks to have changed: parts that nobody needs any
// more, and what the flowtable knows of rules that were others.
func (c *change) settle(gone []string, nets []*firewall.Network) error {
	pruned, err := c.prune(gone, nets)
	if err != nil || !c.changed || slices.Contains(pruned, firewall.FastMap) {
		return err
	}
	return c.interrupt(nets)
}

// delPart deletes what there is of a part: base chains, then those that they jump
// to, from the last, then the maps and flowtables that both name.
func (c *change) delPart(part firewall.Part, chains, maps []string) error {
	for _, hooked := range []bool{true, false} {
		for _, chain := range slices.Backward(part.Chains) {
			if (chain.Hook != nil) == hooked && slices.Contains(chains, chain.Name) {
				c.delChain(chain.Name)
			}
		}
	}
	for _, m := range part.Maps {
		if slices.Contains(maps, m.Name) {
			c.delMap(m.Name)
		}
	}
	for _, f := range part.Flowtables {
		_, exists, err := c.reader.flowtable(f.Name)
		if err != nil {
			return err
		}
		if exists {
			c.delFlowtable(f.Name)
		}
	}
	return nil
}
