package firewall

import (
	"container/heap"
	"slices"
)

// run is some ports of a list of rules of which the first that matches decides:
// the one with the lowest rank.
type run struct {
	first, last uint16
	rank        int // of the rule
	to          uint16
}

// flatten returns runs that say the same and do not overlap, in the order of the
// ports. Runs of equal rank must not overlap.
func flatten(list []run) []run {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b run) int { return int(a.first) - int(b.first) })
	out := make([]run, 0, len(list))
	var open byRank // those that have begun
	next := 0
	for port := uint32(0); next < len(list) || len(open) > 0; {
		if len(open) == 0 {
			port = max(port, uint32(list[next].first))
			if alone := next+1 == len(list) || list[next+1].first > list[next].last; alone && port == uint32(list[next].first) {
				out = extend(out, list[next])
				port, next = uint32(list[next].last)+1, next+1
				continue
			}
		}
		for ; next < len(list) && uint32(list[next].first) <= port; next++ {
			heap.Push(&open, list[next])
		}
		if uint32(open[0].last) < port {
			heap.Pop(&open)
			continue
		}
		best := open[0]
		last := best.last
		if next < len(list) {
			last = min(last, list[next].first-1)
		}
		out = extend(out, run{first: uint16(port), last: last, rank: best.rank, to: best.to + (uint16(port) - best.first)})
		port = uint32(last) + 1
	}
	return out
}

// extend appends a run, or makes the last one longer where both say the same.
func extend(list []run, r run) []run {
	if n := len(list); n > 0 {
		l := &list[n-1]
		if l.rank == r.rank && l.last+1 == r.first && l.to+(r.first-l.first) == r.to {
			l.last = r.last
			return list
		}
	}
	return append(list, r)
}

// byRank is a heap with the run on top that decides.
type byRank []run

func (h byRank) Len() int           { return len(h) }
func (h byRank) Less(i, j int) bool { return h[i].rank < h[j].rank }
func (h byRank) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byRank) Push(x any)        { *h = append(*h, x.(run)) }
func (h *byRank) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	*h = (*h)[:last]
	return r
}

// before returns the runs without the ports that a run of others of a lower rank
// has. Both are flat.
func before(list, others []run) []run {
	var out []run
	for _, r := range list {
		at := uint32(r.first)
		for _, o := range overlapping(others, r) {
			if o.rank > r.rank {
				continue
			}
			if uint32(o.first) > at {
				out = append(out, r.part(uint16(at), o.first-1))
			}
			at = uint32(o.last) + 1
		}
		if at <= uint32(r.last) {
			out = append(out, r.part(uint16(at), r.last))
		}
	}
	return out
}

// overlapping returns those of flat runs that share ports with one.
func overlapping(list []run, r run) []run {
	i, _ := slices.BinarySearchFunc(list, r.first, func(o run, first uint16) int { return int(o.last) - int(first) })
	j := i
	for j < len(list) && list[j].first <= r.last {
		j++
	}
	return list[i:j]
}

// part returns the run of some of the ports.
func (r run) part(first, last uint16) run {
	return run{first: first, last: last, rank: r.rank, to: r.to + (first - r.first)}
}
