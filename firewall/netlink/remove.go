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
		err = c.prune(gone, nil)
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
		shared += len(p.Maps) + len(p.Chains)
	}
	if use > shared+own {
		return false, nil
	}
	names, err := c.reader.chains()
	if err != nil {
		return false, err
	}
	known := map[string]bool{}
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
// chains that go and the networks that come in the same change.
func (c *change) prune(gone []string, nets []*firewall.Network) error {
	needed := func(name string) bool {
		return slices.ContainsFunc(firewall.Owned(), func(m firewall.Map) bool {
			_, ok := firewall.ChainBridge(m.Name, name)
			return ok && reaches(m.Name)
		})
	}
	if !slices.ContainsFunc(gone, needed) {
		return nil
	}
	names, err := c.reader.chains()
	if err != nil {
		return err
	}
	maps, err := c.reader.maps()
	if err != nil {
		return err
	}
	for _, part := range slices.Backward(firewall.Parts()) {
		marks := func(name string) bool {
			_, ok := firewall.ChainBridge(part.Marker, name)
			return ok && !slices.Contains(gone, name)
		}
		if part.Marker != "" && !slices.ContainsFunc(nets, part.Needed) && !slices.ContainsFunc(names, marks) {
			c.delPart(part, names, maps)
		}
	}
	return nil
}

// delPart deletes what there is of a part: base chains, then those that they jump
// to, then the maps that both look into.
func (c *change) delPart(part firewall.Part, chains, maps []string) {
	for _, hooked := range []bool{true, false} {
		for _, chain := range part.Chains {
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
}

// List returns the bridges that have rules in the table, sorted.
func List(conn *Conn) (bridges []string, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		names, err := newChange(socket, false).reader.chains()
		for _, name := range names {
			for _, m := range firewall.Owned() {
				if bridge, ok := firewall.ChainBridge(m.Name, name); ok {
					bridges = append(bridges, bridge)
				}
			}
		}
		slices.Sort(bridges)
		bridges = slices.Compact(bridges)
		return err
	})
	return bridges, err
}
