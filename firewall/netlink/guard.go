package netlink

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// inet returns the part of a network's rules that is in the table of family inet; nil:
// none.
func inet(n *firewall.Network) *firewall.Network {
	if n == nil || len(n.Chains) == 0 {
		return nil
	}
	return n
}

func guard(n *firewall.Network) *firewall.Guard {
	if n == nil {
		return nil
	}
	return n.Guard
}

// installGuards makes the guards of some bridges what they are to be: the shared part
// is made or mended, elements that are missing, wrong or too much are. What others
// have in the maps is read with them, once.
func installGuards(conn *Conn, guards ...*firewall.Guard) error {
	guards = slices.DeleteFunc(guards, func(g *firewall.Guard) bool { return g == nil })
	if len(guards) == 0 {
		return nil
	}
	return conn.attempt(func(socket *netlink.Conn, exact bool) error {
		c := newGuardChange(socket, exact)
		doing := fmt.Sprintf("guarding the ports of %q", guards[0].Owner)
		use, err := c.reader.use()
		if err != nil {
			return wrap(err, "%s", doing)
		}
		c.reader.absent = use < 0
		needed := func(p firewall.Part) bool {
			return slices.ContainsFunc(guards, func(g *firewall.Guard) bool { return g.Needs(p) })
		}
		if _, err := c.parts(firewall.GuardParts(), needed, nil); err != nil {
			return wrap(err, "%s", doing)
		}
		want := map[string]map[string][]datum{}
		for _, g := range guards {
			want[g.Owner] = byMap(g.Data())
		}
		if err := c.reconcile(want); err != nil {
			return wrap(err, "%s", doing)
		}
		err = c.apply(doing)
		conn.noteLocked(c.made)
		return err
	})
}

// reconcile deletes the elements that some owners have and should not, and adds those
// that they lack. It is a map's elements by the owner and the map.
func (c *change) reconcile(want map[string]map[string][]datum) error {
	for _, m := range dataMaps(firewall.GuardParts()) {
		have, err := c.reader.allData(m)
		if err != nil {
			return err
		}
		var gone, come []datum
		for _, owner := range slices.Sorted(maps.Keys(want)) {
			own := have[owner]
			for _, d := range want[owner][m] {
				if own[d.key] == d {
					delete(own, d.key)
				} else {
					come = append(come, d)
				}
			}
			for _, key := range slices.Sorted(maps.Keys(own)) {
				gone = append(gone, own[key])
			}
		}
		c.delData(m, gone)
		c.addData(m, come)
	}
	return nil
}

// changeGuard makes one guard of another. What is sent is what differs.
func changeGuard(conn *Conn, from, to *firewall.Guard) error {
	switch {
	case to == nil && from == nil:
		return nil
	case to == nil:
		return removeGuard(conn, from.Owner)
	case from == nil, from.Owner != to.Owner, from.Closed != to.Closed:
		return installGuards(conn, to)
	}
	take, bring := firewall.GuardDifference(from, to)
	err := conn.use(func(socket *netlink.Conn) error {
		c := newGuardChange(socket, false)
		gone, come := byMap(take), byMap(bring)
		for _, m := range dataMaps(firewall.GuardParts()) {
			c.delData(m, gone[m])
			c.addData(m, come[m])
		}
		err := c.apply(fmt.Sprintf("changing the guard of %q", to.Owner))
		conn.noteLocked(c.made)
		return err
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		return installGuards(conn, to)
	}
	return err
}

// removeGuard deletes the elements of a bridge's guard, and with the last ones the
// table.
func removeGuard(conn *Conn, bridge string) error {
	return conn.attempt(func(socket *netlink.Conn, _ bool) error {
		c := newGuardChange(socket, false)
		doing := fmt.Sprintf("removing the guard of %q", bridge)
		use, err := c.reader.use()
		if err != nil || use < 0 {
			return wrap(err, "%s", doing)
		}
		last := true
		for _, m := range dataMaps(firewall.GuardParts()) {
			have, err := c.reader.allData(m)
			if err != nil {
				return wrap(err, "%s", doing)
			}
			var gone []datum
			for owner, list := range have {
				if owner == bridge {
					gone = slices.Collect(maps.Values(list))
				} else if owner != "" { // those that rules add have none
					last = false
				}
			}
			c.delData(m, gone)
		}
		if last {
			c.msgs = nil
			c.delTable()
		}
		err = c.apply(doing)
		conn.noteLocked(c.made)
		return err
	})
}

// HasGuards reports whether the kernel can have the table of guards, and whether it
// can close bridges to unknown links: it is asked to make both, and to forget them.
func HasGuards(conn *Conn) (has, closes bool, err error) {
	try := func(parts []firewall.Part) error {
		return conn.use(func(socket *netlink.Conn) error {
			c := newGuardChange(socket, true)
			c.table = firewall.TableName + "-try"
			c.reader.absent = true
			if _, err := c.parts(parts, func(firewall.Part) bool { return true }, nil); err != nil {
				return err
			}
			c.delTable()
			return c.apply("looking whether the kernel has what guards need")
		})
	}
	lacks := func(err error) bool {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
	}
	parts := firewall.GuardParts()
	if err := try(parts[:1]); err != nil {
		if lacks(err) {
			err = nil
		}
		return false, false, err
	}
	err = try(parts)
	if lacks(err) {
		return true, false, nil
	}
	return true, err == nil, err
}

// Stopped is how many frames of a port were dropped for a cause since it is guarded.
type Stopped struct {
	Bridge, Link, Guest string // Guest: "" where no guest is known
	Cause               firewall.Cause
	Packets             uint64
}

// ReadStopped returns what guards have dropped, in the order of ports and causes. Ports
// that sent nothing of the kind are left out.
func ReadStopped(conn *Conn) (list []Stopped, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		list = nil
		r := newGuardChange(socket, false).reader
		for _, cause := range firewall.Causes() {
			err := r.members(cause.Set(), func(ad *netlink.AttributeDecoder) { list = append(list, decodeStopped(ad, cause)) })
			if err != nil {
				return wrap(err, "reading the counters of guards")
			}
		}
		return nil
	})
	list = slices.DeleteFunc(list, func(s Stopped) bool { return s.Packets == 0 || s.Bridge == "" })
	slices.SortStableFunc(list, func(a, b Stopped) int { return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), cmp.Compare(a.Link, b.Link)) })
	return list, err
}

// decodeStopped reads an element with a counter.
func decodeStopped(list *netlink.AttributeDecoder, cause firewall.Cause) Stopped {
	s := Stopped{Cause: cause}
	each(list, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			dig(ad, func(ad *netlink.AttributeDecoder) { s.Link, _, _ = strings.Cut(string(ad.Bytes()), "\x00") }, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_USERDATA:
			s.Bridge, s.Guest, _ = strings.Cut(comment(ad.Bytes()), " ")
		case unix.NFTA_SET_ELEM_EXPR:
			dig(ad, func(ad *netlink.AttributeDecoder) { s.Packets = ad.Uint64() }, unix.NFTA_EXPR_DATA, unix.NFTA_COUNTER_PACKETS)
		}
	})
	return s
}
