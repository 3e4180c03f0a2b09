package netlink

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// Change makes the rules of a bridge, which are those of from, those of to; nil:
// none. What is sent to the kernel is what differs, and nothing is read from it:
// one forward more among thousands is one element. Where the kernel finds that
// the rules were not those of from, and where more than forwards and public
// addresses differ, it does what [Install] does. Damage that is in nobody's way
// it does not see; Install does.
func Change(conn *Conn, from, to *firewall.Network) error {
	if to != nil {
		if err := to.Validate(); err != nil {
			return fmt.Errorf("changing the rules of %q: %w", to.Bridge, err)
		}
	}
	return errors.Join(changeGuard(conn, guard(from), guard(to)), changeInet(conn, inet(from), inet(to)))
}

func changeInet(conn *Conn, from, to *firewall.Network) error {
	switch {
	case to == nil && from == nil:
		return nil
	case to == nil:
		return removeInet(conn, from.Bridge)
	case from == nil:
		return Install(conn, to)
	case from.Bridge != to.Bridge:
		return errors.Join(removeInet(conn, from.Bridge), Install(conn, to))
	case !alike(from, to):
		return Install(conn, to)
	}
	if err := errors.Join(from.Validate(), to.Validate()); err != nil {
		return fmt.Errorf("changing the rules of %q: %w", to.Bridge, err)
	}
	err := conn.use(func(socket *netlink.Conn) error {
		c := newChange(socket, false)
		c.difference(from, to)
		err := c.apply(fmt.Sprintf("changing the rules of %q", to.Bridge))
		conn.noteLocked(c.made)
		return err
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		return Install(conn, to)
	}
	return err
}

// alike reports whether two networks differ in data only.
func alike(a, b *firewall.Network) bool {
	return slices.Equal(a.Elements, b.Elements) && slices.Equal(a.Fast, b.Fast) && slices.EqualFunc(a.Chains, b.Chains, func(x, y firewall.Chain) bool {
		return x.Name == y.Name && slices.EqualFunc(x.Rules, y.Rules, func(r, s firewall.Rule) bool { return r.String() == s.String() })
	})
}

// difference adds what Change sends: what goes first, as keys may get new values.
func (c *change) difference(from, to *firewall.Network) {
	gone, come := firewall.Difference(from, to)
	take, bring := byMap(gone), byMap(come)
	for _, m := range dataMaps(firewall.Parts()) {
		c.delData(m, take[m])
	}
	for _, m := range dataMaps(firewall.Parts()) {
		c.addData(m, bring[m])
	}
}

// dataMaps returns the names of the maps and sets that networks have data in.
func dataMaps(parts []firewall.Part) []string {
	var names []string
	for _, p := range parts {
		for _, m := range p.Maps {
			if m.Holds() && m.Size == 0 {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// byMap encodes data and sorts them by their maps.
func byMap(data []firewall.Datum) map[string][]datum {
	out := map[string][]datum{}
	for _, d := range data {
		out[d.Map] = append(out[d.Map], encodeDatum(d))
	}
	return out
}

// stale deletes the data that a network has and should not have, and returns
// those that it lacks. have are the network's chains: without one for forwards
// there are no data.
func (c *change) stale(n *firewall.Network, have map[string][]kernelRule) (lacks map[string][]datum, err error) {
	want := byMap(n.Data())
	reached := c.exact
	for m := range have {
		reached = reached || reaches(m) && !slices.Contains([]string{firewall.FastMap, firewall.HostMap, firewall.IngressMap, firewall.GuardMap}, m)
	}
	if !reached {
		return want, nil
	}
	lacks = map[string][]datum{}
	for _, m := range dataMaps(firewall.Parts()) {
		own, err := c.reader.data(m, n.Bridge)
		if err != nil {
			return nil, err
		}
		for _, d := range want[m] {
			if own[d.key] == d {
				delete(own, d.key)
			} else {
				lacks[m] = append(lacks[m], d)
			}
		}
		var gone []datum
		for _, d := range own {
			gone = append(gone, d)
		}
		c.delData(m, gone)
	}
	return lacks, nil
}
