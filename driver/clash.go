package driver

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// checkClash refuses a network whose translated subnets overlap those of a
// running one, or of one whose start began earlier. libvirt looks for equal
// subnets only and lets the rest start; then guests of the wider network lose
// what the narrower one takes. Two maps of ours could not hold both.
func (d *Driver) checkClash(n *network, live *xml.Network, earlier []*xml.Network) error {
	if live.Forward.Mode != xml.ForwardNAT {
		return nil
	}
	others := slices.Clone(earlier)
	for _, o := range d.networks() {
		if v := o.view.Load(); o != n && v != nil && v.active() {
			others = append(others, v.live)
		}
	}
	own := live.Prefixes(nil)
	for _, other := range others {
		if other.Forward.Mode != xml.ForwardNAT || !overlaps(own, other) {
			continue
		}
		mine, err := firewall.Compile(live, nil, firewall.Where{})
		if err != nil {
			return err
		}
		theirs, err := firewall.Compile(other, nil, firewall.Where{})
		if err != nil {
			continue // it runs with what it has
		}
		if subnet, clash := firewall.Conflicts(mine, theirs); clash {
			d.log.Warn("subnets overlap", "network", n.ref.Name, "subnet", subnet, "with", other.Name, "bridge", other.Bridge.Name)
			return &Error{Kind: KindInternal, Msg: fmt.Sprintf("Network is already in use by interface %s", other.Bridge.Name)}
		}
	}
	return nil
}

// narrower returns the translated subnets of running networks that lie within a wider
// one of another network, by the latter. Two of ours never overlap, but libvirt
// starts such networks, and both have to go on when we take over.
func (d *Driver) narrower() map[*network][]netip.Prefix {
	type owned struct {
		netip.Prefix
		n *network
	}
	var list []owned
	for _, n := range d.networks() {
		if v := n.view.Load(); v != nil && v.active() && v.live.Forward.Mode == xml.ForwardNAT {
			for _, p := range v.live.Prefixes(nil) {
				list = append(list, owned{p, n})
			}
		}
	}
	slices.SortFunc(list, func(a, b owned) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	found := map[*network][]netip.Prefix{}
	var around []owned // those that hold the current one, the widest first
	for _, p := range list {
		for len(around) > 0 && !around[len(around)-1].Overlaps(p.Prefix) {
			around = around[:len(around)-1]
		}
		for _, wide := range around {
			if wide.n != p.n && wide.Bits() < p.Bits() {
				found[wide.n] = append(found[wide.n], p.Prefix)
			}
		}
		around = append(around, p)
	}
	return found
}

// overlaps reports whether a network has a subnet that shares addresses with one of
// others. It makes no list of its own: each start asks it of all networks.
func overlaps(own []netip.Prefix, def *xml.Network) bool {
	ips := def.Subnets()
	for i := range ips {
		if p, ok := ips[i].Subnet(); ok && slices.ContainsFunc(own, p.Overlaps) {
			return true
		}
	}
	return false
}

// claimPrefix refuses a definition with an advertised prefix of which another network
// has something, and one with a subnet that lies in another's. Of others counts what
// they have of theirs, and what is on its way in. The definition is held against
// others until unclaimPrefix, so of two that come at the same time one is refused.
func (d *Driver) claimPrefix(n *network, def *xml.Network, theirs func(*view) []*xml.Network) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var others []*xml.Network
	for _, o := range d.byUUID {
		if o == n {
			continue
		}
		if v := o.view.Load(); v != nil {
			others = append(others, theirs(v)...)
		}
		others = append(others, o.incoming...)
	}
	if err := plan.CheckPrefix(def, others); err != nil {
		return err
	}
	n.incoming = append(n.incoming, def)
	return nil
}

// unclaimPrefix is for when the definition is where others look for it, or is not to
// be.
func (d *Driver) unclaimPrefix(n *network) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.incoming = nil
}

// running returns the definition of a network that runs.
func (v *view) running() []*xml.Network {
	if v.live == nil {
		return nil
	}
	return []*xml.Network{v.live}
}
