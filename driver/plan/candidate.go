package plan

import (
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// reached returns the addresses that a guest is reached at, at most one of each
// family: the one that it had, until it is found that the guest is not there any
// more and answers at another. It notes what is to be asked to find that out.
//
// One ARP packet of anybody has the kernel believe that somebody else is at the
// guest's address, until the guest is asked for. To another address, which may be
// somebody's lease in the guest's name, it is followed only where it is seen.
func (l *locator) reached(mac xml.MAC) []netip.Addr {
	var found []netip.Addr
	for _, v4 := range []bool{true, false} {
		static := slices.ContainsFunc(l.hosts[mac], func(a netip.Addr) bool { return a.Is4() == v4 })
		list, taken := l.candidates(mac, v4)
		if static || len(list)+len(taken) == 0 {
			continue
		}
		slices.SortStableFunc(list, func(a, b netip.Addr) int { return l.rank(mac, a) - l.rank(mac, b) })
		sure := false
		if len(list) > 0 && (len(taken) == 0 || l.there(mac, list[0])) {
			found = append(found, list[0])
			sure = l.answered(mac, list[0]) || len(list) == 1 && l.backed(mac, list[0])
		}
		if list = append(list, taken...); !sure {
			for _, a := range list[:min(len(list), maxLearned)] { // anybody can have leases for it
				l.doubts[a] = true
			}
		}
	}
	if len(found) > 0 {
		l.after.Held[mac] = found
	}
	return found
}

// candidates returns the addresses of a family that may be a guest's: leases for
// its MAC address, what its own packets told, and what it had. An address that
// the kernel has somebody else's MAC address for is taken: packets would go there.
func (l *locator) candidates(mac xml.MAC, v4 bool) (list, taken []netip.Addr) {
	add := func(a netip.Addr) {
		shown := l.shown[a]
		switch {
		case a.Is4() != v4 || slices.Contains(list, a) || slices.Contains(taken, a):
		case shown.IsZero() || l.same(shown, mac):
			list = append(list, a)
		default:
			taken = append(taken, a)
			l.usurper = step.Neighbour{Address: a, MAC: shown}
		}
	}
	each(l.leases[mac], add)
	each(l.near[mac], add)
	each(l.before.Held[mac], func(a netip.Addr) {
		switch holder, known := l.holders[a]; {
		case !l.inside(a), l.unplugged(mac):
		case l.same(l.shown[a], mac), l.answered(mac, a):
			add(a) // somebody else may have had a lease written for it
		case !l.asked[a] && (!known || holder == mac):
			add(a)
		}
	})
	return list, taken
}

// there reports whether something beside a lease says that a guest is at an address.
func (l *locator) there(mac xml.MAC, a netip.Addr) bool {
	return slices.Contains(l.before.Held[mac], a) || l.same(l.shown[a], mac) || l.answered(mac, a)
}

// rank orders candidates: the one that the guest has keeps its place until it was
// asked for and nobody answered.
func (l *locator) rank(mac xml.MAC, a netip.Addr) int {
	held := slices.Contains(l.before.Held[mac], a)
	switch {
	case held && (l.answered(mac, a) || !l.asked[a]):
		return 0
	case l.answered(mac, a):
		return 1
	case held:
		return 2
	}
	return 3
}

// backed reports whether something tells of an address beside that the guest had
// it.
func (l *locator) backed(mac xml.MAC, a netip.Addr) bool {
	return slices.Contains(l.leases[mac], a) || slices.Contains(l.near[mac], a)
}

// answered reports whether a guest has just answered at an address.
func (l *locator) answered(mac xml.MAC, a netip.Addr) bool {
	if !l.asked[a] {
		return false
	}
	for n := range l.answers {
		if n.Address == a && l.same(n.MAC, mac) {
			return true
		}
	}
	return false
}

// same reports whether two MAC addresses are of one guest: Linux answers ARP for
// all its addresses on each of its interfaces (arp_ignore in its ip-sysctl).
func (l *locator) same(a, b xml.MAC) bool {
	return a == b || !l.owners[a].IsZero() && l.owners[a] == l.owners[b]
}

// holder returns whose a name is that the definition gives to nobody. Of guests
// that ask for it, the first keeps it while it is there: while it has a lease,
// whatever name that has now, for dnsmasq takes a name from one lease to write it
// to the next, or is found at its address. A guest whose port is gone loses it to
// the first that asks, unless it has a domain: then it is the domain's for good,
// also for one of that name that was made anew.
func (l *locator) holder(name string) (mac xml.MAC, known bool) {
	domain := l.before.Domains[name]
	claims := l.claims[name]
	if domain != "" {
		claims = slices.DeleteFunc(slices.Clone(claims), func(mac xml.MAC) bool {
			return l.plugged[mac] && l.called[mac] != domain || !l.plugged[mac] && mac != l.before.Names[name]
		})
		l.after.Domains[name] = domain
	}
	if first, had := l.before.Names[name]; had && l.stays(first, claims) {
		return first, true
	}
	if there := slices.DeleteFunc(slices.Clone(claims), l.unplugged); len(there) > 0 {
		claims = there
	}
	if len(claims) == 0 {
		return xml.MAC{}, false
	}
	if domain = l.called[claims[0]]; domain != "" {
		l.after.Domains[name] = domain
	}
	return claims[0], true
}

// stays reports whether a guest keeps a name that some ask for.
func (l *locator) stays(mac xml.MAC, claims []xml.MAC) bool {
	others := slices.ContainsFunc(claims, func(o xml.MAC) bool { return o != mac })
	if l.unplugged(mac) && others {
		return false
	}
	if len(l.leases[mac]) > 0 {
		return true
	}
	list, _ := l.candidates(mac, true)
	list6, _ := l.candidates(mac, false)
	list = append(list, list6...)
	if len(list) == 0 || !others {
		return len(list) > 0
	}
	// Its lease may have been ended by somebody else.
	if slices.ContainsFunc(list, func(a netip.Addr) bool { return l.answered(mac, a) }) {
		return true
	}
	silent := true
	for _, a := range list {
		l.doubts[a] = true
		silent = silent && l.asked[a]
	}
	return !silent
}
