package xml

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
)

// span is a run of IPv4 addresses that DHCP gives to guests, and the numbers in
// an IPv6 prefix that they begin at.
type span struct {
	from, size, number uint32
	of                 Range
}

// checkLeasedIDs refuses ranges of DHCP whose leases hostid='ipv4' could give an
// address that another lease, a static host or the bridge has.
func (n *Network) checkLeasedIDs(bridge netip.Prefix, owners map[netip.Addr]idOwner) error {
	mask := uint32(1)<<min(128-bridge.Bits(), 32) - 1 // of 32 bits: all ones
	var spans []span
	for _, r := range n.leasedRanges() {
		size := number(r.End) - number(r.Start)
		if size > mask {
			return unfit("hostid='ipv4' in network '%s' has no room for the range %s - %s in %s", n.Name, r.Start, r.End, bridge.Masked())
		}
		spans = append(spans, split(span{number(r.Start), size, number(r.Start) & mask, r}, mask)...)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.from, b.from)) })
	for i := 1; i < len(spans); i++ {
		a, b := spans[i-1], spans[i]
		if b.number-a.number <= a.size {
			return unfit("hostid='ipv4' in network '%s' gives %s to leases of %s - %s and of %s - %s", n.Name,
				Embed(bridge, quad(b.from)), a.of.Start, a.of.End, b.of.Start, b.of.End)
		}
	}
	for _, addr := range slices.SortedFunc(maps.Keys(owners), netip.Addr.Compare) {
		owner, low := owners[addr], addr.As16()
		number := binary.BigEndian.Uint32(low[12:]) & mask
		at, _ := slices.BinarySearchFunc(spans, number, func(s span, want uint32) int {
			if s.number <= want {
				return -1
			}
			return 1
		})
		if at == 0 || number-spans[at-1].number > spans[at-1].size {
			continue
		}
		s := spans[at-1]
		v4 := quad(s.from + number - s.number)
		if v4 != owner.v4 && Embed(bridge, v4) == addr {
			return unfit("hostid='ipv4' in network '%s' gives %s to a lease of %s in %s - %s, but it belongs to %s", n.Name, addr, v4, s.of.Start, s.of.End, owner.label)
		}
	}
	return nil
}

// leasedRanges returns the IPv4 ranges of DHCP, those that overlap as one:
// dnsmasq gives an address of both to one guest.
func (n *Network) leasedRanges() []Range {
	var list []Range
	for i := range n.IPs {
		for _, r := range n.IPs[i].Ranges {
			if r.Start.Is4() && r.End.Is4() && !r.End.Less(r.Start) { // others are refused elsewhere
				list = append(list, Range{Start: r.Start, End: r.End})
			}
		}
	}
	slices.SortFunc(list, func(a, b Range) int { return a.Start.Compare(b.Start) })
	var merged []Range
	for _, r := range list {
		last := len(merged) - 1
		if last >= 0 && !merged[last].End.Less(r.Start) {
			if merged[last].End.Less(r.End) {
				merged[last].End = r.End
			}
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// split returns the runs of numbers of a span, two where the numbers wrap round.
func split(s span, mask uint32) []span {
	room := mask - s.number
	if s.size <= room {
		return []span{s}
	}
	return []span{{s.from, room, s.number, s.of}, {s.from + room + 1, s.size - room - 1, 0, s.of}}
}

func number(v4 netip.Addr) uint32 {
	b := v4.As4()
	return binary.BigEndian.Uint32(b[:])
}

func quad(number uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, number)))
}
