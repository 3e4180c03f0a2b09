package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/virbr/virbr/xml"
)

// Datum is one element of a map of data, or of a set: the key, and what it leads
// to. It is comparable.
type Datum struct {
	Map   string
	Owner string // the bridge of the network, as a comment
	Note  string // for people: more of the comment

	// The key: those of them that the map has, in this order.
	From      netip.Addr // of a map with ranges: the first source, and the last one
	Until     netip.Addr
	Addr      netip.Addr
	MAC       xml.MAC
	Link      string
	Proto     string // "tcp", "udp" or "sctp"
	Port      uint16
	PortEnd   uint16 // of a map with ranges
	Guest     netip.Addr
	GuestPort uint16
	GuestEnd  uint16 // of a map with ranges

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
	Guest      netip.Addr // invalid: an exception from what is forwarded at all addresses, or to all
	To         uint16     // the guest's port that Start goes to

	// From and Until are the first and the last source that the entry is for;
	// invalid: all for which there is no entry that says them.
	From  netip.Addr `json:",omitzero"`
	Until netip.Addr `json:",omitzero"`
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
	return append(append(all, n.publicData()...), n.loopbackData(n.loopback())...)
}

// publicData returns the elements of the public addresses. A guest with several
// sends from the first.
func (n *Network) publicData() []Datum {
	var all []Datum
	sends := map[netip.Addr]bool{}
	for _, p := range n.Publics {
		all = append(all, p.data(n.Bridge)...)
		if !sends[p.Guest] {
			s := suffix(p.Guest)
			all = append(all, Datum{Map: "private" + s, Owner: n.Bridge, Addr: p.Guest, To: p.Address})
			for _, link := range n.Uplinks {
				all = append(all, Datum{Map: "uplink" + s, Owner: n.Bridge, Addr: p.Guest, Link: link})
			}
		}
		sends[p.Guest] = true
	}
	return all
}

// Difference returns the elements of data that a change of a bridge's rules takes
// away and those that it brings. A key whose value changes is in both.
func Difference(from, to *Network) (take, bring []Datum) {
	if from.Bridge != to.Bridge {
		return from.Data(), to.Data()
	}
	var before, after []Datum
	gone, come := Apart(from.Entries, to.Entries)
	for _, e := range gone {
		before = append(before, e.data(from.Bridge)...)
	}
	for _, e := range come {
		after = append(after, e.data(to.Bridge)...)
	}
	less, more := apart(from.loopback(), to.loopback(), looped.order)
	before = slices.Concat(before, from.publicData(), from.loopbackData(less))
	after = slices.Concat(after, to.publicData(), to.loopbackData(more))
	return without(before, after), without(after, before)
}

// Apart returns the entries of two networks without those that both have.
func Apart(a, b []Entry) (onlyA, onlyB []Entry) { return apart(a, b, Entry.order) }

// apart returns lists without what both have. Both are in order.
func apart[T comparable](a, b []T, order func(T, T) int) (onlyA, onlyB []T) {
	for len(a) > 0 && len(b) > 0 {
		switch order := order(a[0], b[0]); {
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
	if e.From.IsValid() {
		return e.limited(owner)
	}
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
		if e.Guest.IsValid() {
			all = append(all, e.reach(d, size))
		}
	}
	return all
}

// reach returns what says of a connection that the entry led it to the guest.
func (e Entry) reach(d Datum, size uint32) Datum {
	r := Datum{Owner: d.Owner, Addr: d.Addr, Proto: d.Proto, Port: d.Port, Guest: e.Guest, GuestPort: e.To + (d.Port - e.Start)}
	name := "reach"
	if !d.Addr.IsValid() {
		name = "reachany"
	}
	r.Map = leveled(name+suffix(e.Listen), size)
	return r
}

// blocks yields the blocks that the ports of an entry are cut into: the first
// port and how many. Ports that change are blocks of their own.
func (e Entry) blocks() func(yield func(uint16, uint32) bool) {
	return blocks(e.Start, e.End, e.Guest.IsValid() && e.To != e.Start)
}

// blocks yields the blocks that a run of ports is cut into; single: each port is one.
func blocks(first, last uint16, single bool) func(yield func(uint16, uint32) bool) {
	return func(yield func(uint16, uint32) bool) {
		for p := uint32(first); p <= uint32(last); {
			size := uint32(1)
			for _, s := range blockSizes {
				if !single && p%s == 0 && p+s-1 <= uint32(last) {
					size = s
				}
			}
			if !yield(uint16(p), size) {
				return
			}
			p += size
		}
	}
}

// data returns the elements of an address.
func (p Public) data(owner string) []Datum {
	s := suffix(p.Address)
	all := []Datum{
		{Map: "public" + s, Owner: owner, Addr: p.Address, To: p.Guest},
		{Map: "claimed" + s, Owner: owner, Addr: p.Address},
		{Map: "owner" + s, Owner: owner, Addr: p.Address, Guest: p.Guest},
	}
	if p.Stateless {
		all = append(all,
			Datum{Map: "bare" + s, Owner: owner, Addr: p.Guest},
			Datum{Map: "inward" + s, Owner: owner, Addr: p.Address, Chain: ChainName(inwardChain, owner)},
			Datum{Map: "outward" + s, Owner: owner, Addr: p.Guest, Chain: ChainName(outwardChain, owner)},
			Datum{Map: "stateless" + s, Owner: owner, Addr: p.Guest, To: p.Address})
	}
	return all
}

// String prints the datum as in a list of elements:
// `tcp . 8080 comment "virbr0" : 192.168.122.2 . 80`.
func (d Datum) String() string {
	var key []string
	value := ""
	if d.From.IsValid() {
		key = append(key, addresses(d.From, d.Until))
	}
	if d.Addr.IsValid() {
		key = append(key, d.Addr.String())
	}
	if !d.MAC.IsZero() {
		key = append(key, d.MAC.String())
	}
	if d.Link != "" {
		key = append(key, quote(d.Link))
	}
	if d.Proto != "" {
		key = append(key, d.Proto, span(d.Port, d.PortEnd))
	}
	if d.Guest.IsValid() {
		key = append(key, d.Guest.String())
	}
	if d.GuestPort != 0 {
		key = append(key, span(d.GuestPort, d.GuestEnd))
	}
	switch {
	case d.Chain != "":
		value = " : jump " + d.Chain
	case d.ToPort != 0:
		value = fmt.Sprintf(" : %s . %d", d.To, d.ToPort)
	case d.To.IsValid():
		value = " : " + d.To.String()
	}
	return strings.Join(key, " . ") + " comment " + quote(strings.TrimSuffix(d.Owner+" "+d.Note, " ")) + value
}

// span prints a range of ports; one port where the end is 0.
func span(first, last uint16) string {
	if last == 0 || last == first {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// order sorts entries by address, protocol and ports, as those of a network are.
func (e Entry) order(o Entry) int {
	return cmp.Or(e.Listen.Compare(o.Listen), cmp.Compare(e.Proto, o.Proto), e.From.Compare(o.From), cmp.Compare(e.Start, o.Start))
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
			if e.order(before) <= 0 || e.overlaps(before) {
				return fmt.Errorf("%s port %d at %s is forwarded twice, or out of order", e.Proto, e.Start, e.Listen)
			}
		}
		for range e.count() {
			if count++; count > maxData {
				return fmt.Errorf("more than %d ports are forwarded", maxData)
			}
		}
	}
	if count+len(n.Publics) > maxData {
		return fmt.Errorf("more than %d public addresses", maxData)
	}
	for _, home := range n.Home {
		if !plainAddr(home) || home.IsLoopback() {
			return fmt.Errorf("%s cannot be an address of bridge %q", home, n.Bridge)
		}
	}
	for _, link := range n.Uplinks {
		if err := CheckDevice(link); err != nil {
			return err
		}
	}
	return n.validPublics()
}

func (e Entry) valid() bool {
	listen := plainAddr(e.Listen) || e.Listen == netip.IPv4Unspecified() || e.Listen == netip.IPv6Unspecified()
	if !listen || e.Start == 0 || e.End < e.Start || e.Proto != "tcp" && e.Proto != "udp" && e.Proto != "sctp" {
		return false
	}
	if e.From.IsValid() != e.Until.IsValid() || e.From.IsValid() && (e.From.Is4() != e.Listen.Is4() || e.Until.Is4() != e.Listen.Is4() || e.Until.Less(e.From)) {
		return false
	}
	if !e.Guest.IsValid() {
		return e.To == 0 && (!e.Listen.IsUnspecified() || e.From.IsValid())
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
