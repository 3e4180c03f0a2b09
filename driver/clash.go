package driver

import (
	"fmt"
	"slices"

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
	for _, other := range others {
		if other.Forward.Mode != xml.ForwardNAT || !overlap(live, other) {
			continue
		}
		mine, err := firewall.Compile(live)
		if err != nil {
			return err
		}
		theirs, err := firewall.Compile(other)
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

// overlap reports whether two networks have subnets that share addresses.
func overlap(a, b *xml.Network) bool {
	for i := range a.IPs {
		for k := range b.IPs {
			x, okX := a.IPs[i].Subnet()
			y, okY := b.IPs[k].Subnet()
			if okX && okY && x.Overlaps(y) {
				return true
			}
		}
	}
	return false
}
