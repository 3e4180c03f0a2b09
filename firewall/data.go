package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Datum is one element of a map of data, or of a set: the key, and what it leads
// to. It is comparable.
type Datum struct {
	Map   string
	Owner string // the bridge of the network, as a comment

	// The key: any of them that the map has.
	Addr  netip.Addr
	Proto string // "tcp", "udp" or "sctp"
	Port  uint16

	// The value: an address and, where the map has ports, a port; or a chain.
	To     netip.Addr
	ToPort uint16
	Chain  string
}

// Entry is a run of ports at an address that go to a guest, or are left alone.
// The entries of a network are disjoint, and in order. It is comparable.
type Entry struct {
	Listen     netip.Addr // 0.0.0.0 and ::: all of the host's of the family
	Proto      string     // "tcp", "udp" or "sctp"
	Start, End uint16     // ports, both included
	Guest      netip.Addr // invalid: an exception from what is forwarded at all addresses
	To         uint16     // the guest's port that Start goes to
}

// Public is an address that belongs to a guest. It is comparable.
type Public struct {
	Address   netip.Addr
	Guest     netip.Addr
	Stateless bool
}

// maxData is how many elements of data one network can have.
const maxData = 1 << 17

// Data returns the elements that stand for the entries and the public addresses.
func (n *Network) Data() []Datum {
	var all []Datum
	for _, e := range n.Entries {
		all = append(all, e.data(n.Bridge)...)
	}
	private := map[netip.Addr]bool{}
	for _, p := range n.Publics {
		all = append(all, p.data(n.Bridge, private[p.Guest])...)
		private[p.Guest] = true
	}
	return all
}

// Difference returns the elements of data that a change of a bridge's rules takes
// away and those that it brings. A key whose value changes is in both.
func Difference(from, to *Network) (gone, come []Datum) {
	if from.Bridge != to.Bridge {
		return from.Data(), to.Data()
	}
	old, changed := &Network{Bridge: from.Bridge}, &Network{Bridge: to.Bridge}
	old.Entries, changed.Entries = apart(from.Entries, to.Entries)
	if !slices.Equal(from.Publics, to.Publics) {
		old.Publics, changed.Publics = from.Publics, to.Publics
	}
	before, after := old.Data(), changed.Data()
	return without(before, after), without(after, before)
}

// apart returns entries without those that both lists have. Both are in order.
func apart(a, b []Entry) (onlyA, onlyB []Entry) {
	for len(a) > 0 && len(b) > 0 {
		switch order := a[0].order(b[0]); {
		case a[0] == b[0]:
			a, b = a[1:], b[1:]
		case order < 0:
			onlyA, a = append(onlyA, a[0]), a[1:]
		case order > 0:
			onlyB, b = append(onlyB, b[0]), b[1:]
		default:
			onlyA, onlyB, a, b = append(onlyA, a[0]), append(onlyB, b[0]), a[1:], b[1:]
		}
	}
	return append(onlyA, a...), append(onlyB, b...)
}

// without returns what is in a list and not in another one.
func without[T comparable](list, other []T) []T {
	known := make(map[T]bool, len(other))
	for _, x := range other {
		known[x] = true
	}
	var rest []T
	for _, x := range list {
		if !known[x] {
			rest = append(rest, x)
		}
	}
	return rest
}

// suffix returns what the names of maps of an address's family end with.
func suffix(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

func (e Entry) data(owner string) []Datum {
	name, key := "listen", e.Listen
	switch {
	case !e.Guest.IsValid():
		name = "except"
	case e.Listen.IsUnspecified():
		name, key = "any", netip.Addr{}
	}
	name += suffix(e.Listen)
	var all []Datum
	for port, size := range e.blocks() {
		d := Datum{Map: leveled(name, size), Owner: owner, Addr: key, Proto: e.Proto, Port: port, To: e.Guest}
		if size == 1 && e.Guest.IsValid() {
			d.ToPort = e.To + (port - e.Start)
		}
		all = append(all, d)
	}
	return all
}

// blocks yields the blocks that the ports of an entry are cut into: the first
// port and how many. Ports that change are blocks of their own.
func (e Entry) blocks() func(yield func(uint16, uint32) bool) {
	return func(yield func(uint16, uint32) bool) {
		for p := uint32(e.Start); p <= uint32(e.End); {
			size := uint32(1)
			if !e.Guest.IsValid() || e.To == e.Start {
				for _, s := range blockSizes {
					if p%s == 0 && p+s-1 <= uint32(e.End) {
						size = s
					}
				}
			}
			if !yield(uint16(p), size) {
				return
			}
			p += size
		}
	}
}

// data returns the elements of an address; shared where another one's are used
// for what the guest sends.
func (p Public) data(owner string, shared bool) []Datum {
	s := suffix(p.Address)
	all := []Datum{
		{Map: "public" + s, Owner: owner, Addr: p.Address, To: p.Guest},
		{Map: "claimed" + s, Owner: owner, Addr: p.Address},
	}
	if !shared {
		all = append(all, Datum{Map: "private" + s, Owner: owner, Addr: p.Guest, To: p.Address})
	}
	if p.Stateless {
		all = append(all,
			Datum{Map: "inward" + s, Owner: owner, Addr: p.Address, Chain: ChainName(inwardChain, owner)},
			Datum{Map: "outward" + s, Owner: owner, Addr: p.Guest, Chain: ChainName(outwardChain, owner)},
			Datum{Map: "stateless" + s, Owner: owner, Addr: p.Guest, To: p.Address})
	}
	return all
}

// String prints the datum as in a list of elements:
// `tcp . 8080 comment "virbr0" : 192.168.122.2 . 80`.
func (d Datum) String() string {
	key, value := "", ""
	if d.Addr.IsValid() {
		key = d.Addr.String()
	}
	if d.Proto != "" {
		if key != "" {
			key += " . "
		}
		key += fmt.Sprintf("%s . %d", d.Proto, d.Port)
	}
	switch {
	case d.Chain != "":
		value = " : jump " + d.Chain
	case d.ToPort != 0:
		value = fmt.Sprintf(" : %s . %d", d.To, d.ToPort)
	case d.To.IsValid():
		value = " : " + d.To.String()
	}
	return key + " comment " + quote(d.Owner) + value
}

// order sorts entries by address, protocol and ports, as those of a network are.
func (e Entry) order(o Entry) int {
	return cmp.Or(e.Listen.Compare(o.Listen), cmp.Compare(e.Proto, o.Proto), cmp.Compare(e.Start, o.Start))
}

// validData refuses entries and public addresses that rules cannot hold, that
// overlap, or that are too many.
func (n *Network) validData() error {
	count := 0
	for i, e := range n.Entries {
		if !e.valid() {
			return fmt.Errorf("ports %d to %d of %q at %s cannot be forwarded to %s port %d", e.Start, e.End, e.Proto, e.Listen, e.Guest, e.To)
		}
		if i > 0 {
			before := n.Entries[i-1]
			if e.order(before) <= 0 || e.Listen == before.Listen && e.Proto == before.Proto && e.Start <= before.End {
				return fmt.Errorf("%s port %d at %s is forwarded twice, or out of order", e.Proto, e.Start, e.Listen)
			}
		}
		for range e.blocks() {
			if count++; count > maxData {
				return fmt.Errorf("more than %d ports are forwarded", maxData)
			}
		}
	}
	if count+len(n.Publics) > maxData {
		return fmt.Errorf("more than %d public addresses", maxData)
	}
	return n.validPublics()
}

func (e Entry) valid() bool {
	listen := plainAddr(e.Listen) || e.Listen == netip.IPv4Unspecified() || e.Listen == netip.IPv6Unspecified()
	if !listen || e.Start == 0 || e.End < e.Start || e.Proto != "tcp" && e.Proto != "udp" && e.Proto != "sctp" {
		return false
	}
	if !e.Guest.IsValid() {
		return e.To == 0 && !e.Listen.IsUnspecified()
	}
	return plainAddr(e.Guest) && !e.Guest.IsLoopback() && e.Guest.Is4() == e.Listen.Is4() &&
		e.To != 0 && uint32(e.To)+uint32(e.End-e.Start) <= 65535
}

// plainAddr reports whether a is an address that one host can have.
func plainAddr(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (n *Network) validPublics() error {
	publics, guests := map[netip.Addr]bool{}, map[netip.Addr]Public{}
	for _, p := range n.Publics {
		if !plainAddr(p.Address) || !plainAddr(p.Guest) || p.Address.Is4() != p.Guest.Is4() || p.Address == p.Guest || p.Guest.IsLoopback() || p.Address.IsLoopback() {
			return fmt.Errorf("%s cannot be a public address of %s", p.Address, p.Guest)
		}
		other, again := guests[p.Guest]
		switch {
		case publics[p.Address]:
			return fmt.Errorf("public address %s is given twice", p.Address)
		case again && (p.Stateless || other.Stateless):
			return fmt.Errorf("%s has the public addresses %s and %s: with a stateless one it can have no other", p.Guest, other.Address, p.Address)
		}
		publics[p.Address], guests[p.Guest] = true, p
	}
	return nil
}

// NeedsLocalnet reports whether connections of the host to 127.0.0.0/8 are
// forwarded: then the bridge's sysctl route_localnet must be 1. The rules keep
// guests from abusing it.
func (n *Network) NeedsLocalnet() bool {
	return n.forwardsLoopback(true)
}

// NeedsLocalRoute reports whether connections of the host to [::1] are forwarded:
// then the kernel takes replies from the bridge only with a route "local ::1 dev
// BRIDGE table local", with a metric above 0, so that the host's own comes first.
// It does nothing for guests: what they send to ::1 themselves the kernel drops.
func (n *Network) NeedsLocalRoute() bool {
	return n.forwardsLoopback(false)
}

func (n *Network) forwardsLoopback(v4 bool) bool {
	return n != nil && slices.ContainsFunc(n.Entries, func(e Entry) bool {
		return e.Guest.IsValid() && e.Listen.Is4() == v4 && (e.Listen.IsUnspecified() || e.Listen.IsLoopback())
	})
}
