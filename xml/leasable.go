package xml

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// Leasable returns how many addresses the DHCP ranges of a family have; at most
// 2^64-1.
func (n *Network) Leasable(six bool) uint64 {
	var sum uint64
	for i := range n.IPs {
		for _, r := range n.IPs[i].Ranges {
			count := between(r.Start, r.End)
			if r.Start.Is6() != six {
				continue
			}
			if sum+count < sum {
				return math.MaxUint64
			}
			sum += count
		}
	}
	return sum
}

// between counts the addresses from one to another, both included.
func between(start, end netip.Addr) uint64 {
	if !start.IsValid() || start.BitLen() != end.BitLen() || end.Less(start) {
		return 0
	}
	a, b := start.As16(), end.As16()
	high := binary.BigEndian.Uint64(b[:8]) - binary.BigEndian.Uint64(a[:8])
	low, from := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:])
	if high > 1 || high == 1 && low >= from || low-from == math.MaxUint64 {
		return math.MaxUint64
	}
	return low - from + 1
}
