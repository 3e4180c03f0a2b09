package host

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/doctor"
)

// paths asks the kernel which ways packets of a running network take.
func (s *survey) paths(n *doctor.Network) {
	if _, err := s.h.index(n.Def.Bridge.Name); err != nil || !n.Def.OwnsBridge() {
		return
	}
	ips := n.Def.Subnets()
	for i := range ips {
		subnet, ok := ips[i].Subnet()
		if ok && ips[i].Address.IsValid() {
			n.Paths = append(n.Paths, s.pathOf(n.Def.Bridge.Name, subnet, ips[i].Address))
		}
	}
	if slices.ContainsFunc(n.Paths, func(w doctor.Path) bool { return w.Out.Refused != "" }) {
		s.policies()
	}
}

func (s *survey) pathOf(bridge string, subnet netip.Prefix, own netip.Addr) doctor.Path {
	way := doctor.Path{Subnet: subnet, Guest: subnet.Addr().Next(), World: anywhere[0], Back: map[string]doctor.Answer{}}
	if way.Guest == own {
		way.Guest = own.Next()
	}
	if subnet.Addr().Is6() {
		way.World = anywhere[1]
	}
	way.Out = s.h.way(lookup{to: way.World, from: way.Guest, in: bridge})
	way.Reverse = s.h.way(lookup{to: way.World}).Link
	way.Here = s.h.way(lookup{to: way.Guest})
	exits := []string{way.Out.Link}
	for _, r := range s.facts.Plan.Routes {
		if r.Dest.Bits() == 0 && r.Dest.Addr().Is4() == subnet.Addr().Is4() && r.Link != bridge {
			exits = append(exits, r.Link)
		}
	}
	for _, exit := range exits {
		if exit != "" && way.Back[exit].Asked == "" {
			way.Back[exit] = s.h.way(lookup{to: way.Guest, from: way.World, in: exit})
		}
	}
	return way
}

// policies reads the rules of routing that are not those of every host, and the routes
// that refuse.
func (s *survey) policies() {
	if s.facts.Policies != nil {
		return
	}
	s.facts.Policies = []doctor.Policy{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		s.missed("rules of routing", s.rulesOf(family))
		routes, err := s.h.tc.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		s.missed("routes of all tables", err)
		for _, r := range routes {
			if word := refusals[r.Type]; word != "" {
				p := doctor.Policy{IPv6: family == netlink.FAMILY_V6, Refuses: true, Table: uint32(r.Table)}
				dest := "default"
				if bits := prefixBits(r.Dst); bits > 0 {
					p.To = prefixOf(r.Dst.IP, bits)
					dest = p.To.String()
				}
				p.Route = fmt.Sprintf("%s %s table %d", word, dest, r.Table)
				s.facts.Policies = append(s.facts.Policies, p)
			}
		}
	}
}

// rulesOf reads the rules of a family.
func (s *survey) rulesOf(family int) error {
	req := s.h.nl.request(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
	replies, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWRULE)
	for _, m := range replies {
		if len(m) >= unix.SizeofRtMsg {
			p := policyOf(m)
			s.facts.Policies = append(s.facts.Policies, p)
		}
	}
	return err
}

// refusals are the kinds of routes, and the actions of rules, that refuse packets.
var refusals = map[int]string{unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit"}

// policyOf reads a rule (struct fib_rule_hdr, linux/fib_rules.h, is as long as struct
// rtmsg, and has the action in the place of the type).
func policyOf(m []byte) (p doctor.Policy) {
	const invert = 2 // FIB_RULE_INVERT
	header := nl.DeserializeRtMsg(m)
	p.IPv6, p.Table = header.Family == unix.AF_INET6, uint32(header.Table)
	to, from := "", "all"
	for typ, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch typ {
		case nl.FRA_DST:
			p.To = prefixOf(value, int(header.Dst_len))
			to = " to " + p.To.String()
		case nl.FRA_SRC:
			p.From = prefixOf(value, int(header.Src_len))
			from = p.From.String()
		case nl.FRA_IIFNAME:
			p.In = strings.TrimRight(string(value), "\x00")
		case nl.FRA_PRIORITY:
			p.Priority = number(value)
		case nl.FRA_FWMARK:
			p.Marked = p.Marked || number(value) != 0
		case unix.RTA_TABLE:
			p.Table = uint32(number(value))
		}
	}
	word := refusals[int(header.Type)]
	p.Refuses = word != ""
	if word == "" {
		word = "lookup " + strconv.Itoa(int(p.Table))
	}
	not := ""
	if header.Flags&invert != 0 {
		not, p.Marked = " not", true // which packets it is for is not said by what it names
	}
	if p.In != "" {
		to += " iif " + p.In
	}
	p.Text = fmt.Sprintf("%d:%s from %s%s %s", p.Priority, not, from, to, word)
	p.Usual = p.Priority == 0 || p.Priority == 32766 || p.Priority == 32767
	return p
}

func prefixOf(address []byte, bits int) netip.Prefix {
	a, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(a.Unmap(), bits)
}

// prefixBits returns the length of a prefix; 0: everything.
func prefixBits(n *net.IPNet) int {
	if n == nil {
		return 0
	}
	bits, _ := n.Mask.Size()
	return bits
}
