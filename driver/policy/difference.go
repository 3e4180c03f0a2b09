package policy

import (
	"net/netip"
	"slices"
)

// Difference is what makes of what a host has what it should have, in this order.
type Difference struct {
	AddRoutes  []Route // they replace those of the same table, destination and kind
	AddRules   []Rule
	DropRules  []Rule
	DropRoutes []Route

	Lost int // how many of the rules that are to be added are not for something new
}

// Differ returns what is to be done.
func Differ(have Host, want Policy) Difference {
	var d Difference
	had := map[uint32]bool{} // tables of ours that there were routes in
	for _, r := range have.Routes {
		had[r.Table] = true
		if !slices.ContainsFunc(want.Routes, r.replaces) {
			d.DropRoutes = append(d.DropRoutes, r)
		}
	}
	for _, r := range want.Routes {
		if !slices.Contains(have.Routes, r) {
			d.AddRoutes = append(d.AddRoutes, r)
		}
	}
	var priorities []uint32
	for _, r := range have.Rules {
		if r.Protocol != Protocol {
			continue
		}
		priorities = append(priorities, r.Priority/group)
		if !slices.Contains(want.Rules, r) {
			d.DropRules = append(d.DropRules, r)
		}
	}
	for _, r := range want.Rules {
		if slices.Contains(have.Rules, r) {
			continue
		}
		d.AddRules = append(d.AddRules, r)
		moved := len(priorities) > 0 && !slices.Contains(priorities, r.Priority/group)
		if had[r.Table] && !moved {
			d.Lost++
		}
	}
	// A table refuses before it leads anywhere.
	slices.SortStableFunc(d.AddRoutes, func(a, b Route) int {
		switch {
		case a.Link == "" && b.Link != "":
			return -1
		case a.Link != "" && b.Link == "":
			return 1
		}
		return 0
	})
	return d
}

// replaces reports whether a route takes the place of another one when it is added.
func (r Route) replaces(o Route) bool {
	return r.Table == o.Table && r.Dest == o.Dest && (r.Link == "") == (o.Link == "")
}

// Own reports whether a table is one of ours.
func Own(table uint32) bool { return table >= TableGuests && table < TableNetworks+maxNetworks }

// Tables returns the tables that others' rules look into, each once, but for that of
// the host's own addresses.
func Tables(rules []Rule) []uint32 {
	var list []uint32
	for _, r := range rules {
		if r.Protocol != Protocol && r.Table != 0 && r.Table != TableLocal && !slices.Contains(list, r.Table) {
			list = append(list, r.Table)
		}
	}
	return list
}

// IsDefault reports whether a route's destination is a way of saying "everything".
func IsDefault(dest netip.Prefix) bool { return dest.Bits() <= Short(dest.Addr().Is6()) }
