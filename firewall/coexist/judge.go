package coexist

import (
	"slices"
	"strings"
)

// judge says whose chains may be opened for a wish.
type judge struct {
	all    bool // all that can be changed
	passes bool // guests would leave by links past the ones that somebody named as the only exits
}

// judge returns the one for a wish.
func (s *Survey) judge(w Wish) judge {
	named := s.namedExits()
	other := func(exit string) bool { return !slices.Contains(named, exit) }
	return judge{all: w.All, passes: len(named) > 0 && (len(w.Exits) == 0 || slices.ContainsFunc(w.Exits, other))}
}

// shuts reports whether a way that ends in a drop is shut on purpose, or no place for
// rules of others: the table of some program, the chain of a VPN's kill switch, or
// filters of an administrator that let packets leave by one link only.
func (j judge) shuts(t *Table, base int, p Packet, r result) bool {
	if j.all {
		return false
	}
	if t.Name != "filter" && t.only() == "" || vpn(t.owner(base)) {
		return true
	}
	last := r.path[len(r.path)-1]
	if chain := &t.Chains[last.Chain]; last.Rule < len(chain.Rules) && vpn(vpnOwner(chain.Rules[last.Rule].Comment)) {
		return true
	}
	if slices.ContainsFunc(r.path, func(s Step) bool { return vpn(chainOwner(t.Chains[s.Chain].Name)) }) {
		return true
	}
	return p.Hook == Forward && j.passes
}

// nobody is an interface that no rule names.
const nobody = "\x00"

// namedExits returns the links that rules let everybody leave by while all else is
// dropped, as the kill switch of a tunnel does that somebody wrote by hand, or with
// ufw: `-A FORWARD -o wg0 -j ACCEPT`, or the same for what the host sends. A link
// that is as open the other way, as that of containers, is no exit; nor is one to
// which packets go for their port or address.
func (s *Survey) namedExits() []string {
	var exits, inside []string
	for i := range s.Tables {
		t := &s.Tables[i]
		if t.Name != "filter" {
			continue
		}
		for base := range t.Chains {
			hook := t.Chains[base].Hook
			if hook != Forward && hook != Output {
				continue
			}
			e, in := t.passages(base)
			inside = append(inside, in...)
			probe := Packet{Hook: hook, IPv6: t.Family == IPv6, Out: nobody}
			if hook == Forward {
				probe.In = nobody
			}
			if t.follow(base, probe).drops {
				exits = append(exits, e...)
			}
		}
	}
	exits = slices.DeleteFunc(exits, func(link string) bool { return link == "lo" || slices.Contains(inside, link) })
	slices.Sort(exits)
	return slices.Compact(exits)
}

// passages returns the links that rules of a base chain, and of chains below it that
// an administrator or ufw keeps, let new packets of everybody out by, and those that
// they let them in by.
func (t *Table) passages(base int) (exits, inside []string) {
	for _, n := range t.reachable(base) {
		if o := t.owner(n); n != base && o != Iptables && o != Nftables && o != UFW && !vpn(o) {
			continue
		}
		for _, r := range t.Chains[n].Rules {
			if r.Verdict.Kind != Accept || marked(r) {
				continue
			}
			in, out, ok := r.links()
			switch {
			case !ok:
			case len(in) == 0:
				exits = append(exits, out...)
			default:
				inside = append(inside, in...)
			}
		}
	}
	return exits, inside
}

// links returns the interfaces that a rule names, if it is about new packets of all
// kinds.
func (r *Rule) links() (in, out []string, ok bool) {
	for _, m := range r.Match {
		switch m.Field {
		case InName, OutName:
			if m.Not && m.Field == InName {
				return nil, nil, false
			}
			for _, v := range m.Values {
				if v.Name != "" && m.Field == InName {
					in = append(in, v.Name)
				} else if v.Name != "" && !m.Not {
					out = append(out, v.Name)
				}
			}
		case State:
			if !m.Not && !slices.ContainsFunc(m.Values, func(v Value) bool { return v.Low&StateNew != 0 }) {
				return nil, nil, false
			}
		case Dest, DestPort, FromPort, ICMPType, L4Proto:
			return nil, nil, false
		case NFProto, Source, DestCast, BackAny, BackIn, PacketMark, Unknown:
		}
	}
	return in, out, true
}

// reachable returns a base chain and all chains below it.
func (t *Table) reachable(base int) []int {
	list := []int{base}
	for i := 0; i < len(list); i++ {
		for _, r := range t.Chains[list[i]].Rules {
			for _, v := range r.verdicts() {
				if next := t.chain(v.Chain); v.Chain != "" && next >= 0 && !slices.Contains(list, next) {
					list = append(list, next)
				}
			}
		}
	}
	return list
}

// vpn reports whether an owner is a program that shuts a host but for its tunnel.
func vpn(o Owner) bool { return o == Mullvad || o == NordVPN || o == IVPN || o == VPN }

// vpnOwner returns the VPN that a comment tells of; "": it tells of none.
func vpnOwner(comment string) Owner {
	comment = strings.ToLower(comment)
	for _, o := range []struct {
		word  string
		owner Owner
	}{
		{"mullvad", Mullvad}, {"nordvpn", NordVPN}, {"ivpn", IVPN}, {"vpn", VPN}, {"killswitch", VPN}, {"kill switch", VPN}, {"kill-switch", VPN},
	} {
		if strings.Contains(comment, o.word) {
			return o.owner
		}
	}
	return ""
}
