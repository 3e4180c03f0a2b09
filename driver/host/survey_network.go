package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/leases"
)

// network looks at what a running network has.
func (s *survey) network(n *doctor.Network, dirs dnsmasq.Dirs) {
	if p, err := s.h.openDnsmasq(dirs.PidFile(n.Name)); err == nil {
		n.Dnsmasq = doctor.Process{PID: p.pid, Name: "dnsmasq"}
		p.close()
	}
	bridge := n.Def.Bridge.Name
	if bridge == "" || checkLink(bridge) != nil {
		return
	}
	if data, err := leases.Read(dirs, bridge); err == nil {
		n.Leases, err = dnsmasq.ParseLeases(dirs.Status(bridge), data)
		s.missed("leases of "+n.Name, err)
	}
	s.missed("rules of "+n.Name, s.rules(n))
	stopped, err := fwnetlink.ReadStopped(s.h.fw)
	s.missed("what is dropped of the guests of "+n.Name, err)
	for _, o := range stopped {
		if o.Bridge == bridge {
			n.Stopped = append(n.Stopped, doctor.Stopped{Link: o.Link, Guest: o.Guest, Cause: string(o.Cause), Packets: o.Packets})
		}
	}
	s.paths(n)
}

// rules looks at what virbr's table has for a network. Rules of forwards depend on
// where guests are at a moment, so what holds them is not compared to the letter.
func (s *survey) rules(n *doctor.Network) error {
	ext, err := n.Def.Extensions()
	if err != nil {
		return nil //nolint:nilerr // the doctor finds that himself
	}
	rules, err := firewall.Compile(n.Def, ext, firewall.Where{})
	if err != nil || rules == nil {
		return err
	}
	exact := len(ext.Forwards)+len(ext.Publics) == 0
	n.Rules.Missing, n.Rules.Own, err = fwnetlink.Missing(s.h.fw, rules.Plain(), exact) // nothing is amiss without flowtables
	return err
}

// clsact is where filters of tc are, by the kind of a qdisc, and what they see.
var clsact = map[string]map[uint32]coexist.Hook{
	"ingress": {netlink.MakeHandle(0xffff, 0): coexist.Ingress},
	"clsact":  {netlink.HANDLE_MIN_INGRESS: coexist.Ingress, netlink.HANDLE_MIN_EGRESS: coexist.Egress},
}

// queues looks at what tc has: queues and checksums of networks' bridges, and filters
// that drop, of all links.
func (s *survey) queues(ctx context.Context) coexist.Table {
	table := coexist.Table{Family: coexist.Netdev, Name: coexist.TC}
	bridges := map[string]*doctor.Network{}
	for i := range s.facts.Networks {
		if n := &s.facts.Networks[i]; n.Def != nil && n.Active {
			bridges[n.Def.Bridge.Name] = n
		}
	}
	var list []netlink.Qdisc
	s.missed("queues", s.h.whole(ctx, "queues", func() (err error) {
		list, err = s.h.tc.QdiscList(nil)
		return err
	}))
	for _, q := range list {
		link := linkOf(q.Attrs().LinkIndex)
		name := s.names[q.Attrs().LinkIndex]
		n := bridges[name]
		if n != nil {
			n.Shaped = append(n.Shaped, q.Type())
		}
		parents := clsact[q.Type()]
		if q.Type() == "htb" && n != nil { // libvirt's checksums
			parents = map[uint32]coexist.Hook{netlink.MakeHandle(1, 0): ""}
		}
		for parent, hook := range parents {
			filters, err := s.h.tc.FilterList(link, parent)
			s.missed("filters of tc at "+name, err)
			chain := coexist.Chain{Name: string(hook) + " of " + name, Hook: hook, Devices: []string{name}}
			for _, f := range filters {
				u32, ok := f.(*netlink.U32)
				if n != nil && ok && slices.ContainsFunc(u32.Actions, func(a netlink.Action) bool { return a.Type() == "csum" }) {
					n.Checksums = true
				}
				if r := filterRule(f); r.Verdict.Kind != coexist.Continue {
					chain.Rules = append(chain.Rules, r)
				}
			}
			if len(chain.Rules) > 0 && hook != "" {
				table.Chains = append(table.Chains, chain)
			}
		}
	}
	return table
}

// filterRule is a filter of tc as a rule. Programs and conditions are not understood, but
// for one that all packets meet.
func filterRule(f netlink.Filter) coexist.Rule {
	r := coexist.Rule{Handle: uint64(f.Attrs().Priority), Match: []coexist.Match{{Text: f.Type()}}}
	var actions []netlink.Action
	switch f := f.(type) {
	case *netlink.MatchAll:
		r.Match, actions = nil, f.Actions
	case *netlink.U32:
		all := f.Sel != nil && !slices.ContainsFunc(f.Sel.Keys, func(k netlink.TcU32Key) bool { return k.Mask != 0 })
		if actions = f.Actions; all {
			r.Match = nil
		}
	case *netlink.Flower:
		actions = f.Actions
	case *netlink.BpfFilter:
		r.Verdict = coexist.Verdict{Kind: coexist.Other, Text: "a program, " + f.Name}
	}
	switch f.Attrs().Protocol {
	case unix.ETH_P_IP:
		r.Match = append(r.Match, coexist.Match{Field: coexist.NFProto, Values: []coexist.Value{{Low: unix.NFPROTO_IPV4, High: unix.NFPROTO_IPV4}}})
	case unix.ETH_P_IPV6:
		r.Match = append(r.Match, coexist.Match{Field: coexist.NFProto, Values: []coexist.Value{{Low: unix.NFPROTO_IPV6, High: unix.NFPROTO_IPV6}}})
	case unix.ETH_P_ALL:
	default:
		return coexist.Rule{} // no packets of IP
	}
	for _, a := range actions {
		switch a := a.(type) {
		case *netlink.GenericAction:
			if a.Attrs().Action == netlink.TC_ACT_SHOT {
				r.Verdict.Kind = coexist.Drop
			}
		case *netlink.MirredAction:
			if a.MirredAction == netlink.TCA_EGRESS_REDIR || a.MirredAction == netlink.TCA_INGRESS_REDIR {
				r.Verdict = coexist.Verdict{Kind: coexist.Drop, Text: "redirect to another device"}
			}
		}
	}
	return r
}

// listening reads the queues of nfqueue to which programs listen: the first number of each
// line. Without the file the kernel has no such queues.
func listening() (map[uint16]bool, error) {
	text, err := os.ReadFile("/proc/net/netfilter/nfnetlink_queue")
	queues := map[uint16]bool{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 0 {
			n, _ := strconv.ParseUint(f[0], 10, 16)
			queues[uint16(n)] = true
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return queues, err
}

// filters looks at the rules of libvirt and of everybody else.
func (s *survey) filters(ctx context.Context) {
	var bridges []string
	for i := range s.facts.Networks {
		if n := &s.facts.Networks[i]; n.Def != nil && n.Active && n.Def.Bridge.Name != "" {
			bridges = append(bridges, n.Def.Bridge.Name)
		}
	}
	traffic := s.queues(ctx)
	filter, checksum, err := fwnetlink.LibvirtNames(s.h.fw, bridges)
	s.missed("libvirt's firewall rules", err)
	legacy := false
	for _, l := range legacies {
		names, _ := l.names()
		legacy = legacy || len(names) > 0
	}
	for i := range s.facts.Networks {
		n := &s.facts.Networks[i]
		if n.Def == nil || !n.Active {
			continue
		}
		bridge := n.Def.Bridge.Name
		n.Rules.Libvirt, n.Rules.Legacy = filter[bridge], legacy || err != nil
		n.Checksums = n.Checksums || checksum[bridge]
		if bridge != "" && !n.Checksums {
			fills, err := fwnetlink.FillsChecksums(s.h.fw, bridge)
			s.missed("checksums of "+bridge, err)
			n.Checksums = fills
		}
	}
	if ctx.Err() != nil {
		return
	}
	queues, err := listening()
	s.missed("queues to programs", err)
	s.facts.Filters, err = fwnetlink.ReadAll(s.h.fw, s.names, queues)
	s.missed("firewalls of others", err)
	if err == nil {
		tables, err := s.h.legacyTables(ctx, "raw", "mangle", "nat", "filter", "security")
		s.missed("firewalls of others", err)
		s.facts.Filters.Tables = append(append(s.facts.Filters.Tables, tables...), traffic)
		s.facts.Filters.Settle()
	}
}

// firewalld reads its zones, and those of networks' bridges.
func (s *survey) firewalld(ctx context.Context) error {
	service, err := s.h.bus.service(ctx, firewalldName, firewalldPath)
	if errors.Is(err, errNoService) {
		return nil
	}
	fw := &doctor.Firewalld{Links: map[string]string{}}
	if err == nil {
		err = call(ctx, service, firewalldName+".zone.getZones", nil, &fw.Zones)
	}
	if err != nil {
		return fmt.Errorf("asking firewalld: %w", err)
	}
	slices.Sort(fw.Zones)
	for i := range s.facts.Networks {
		n := &s.facts.Networks[i]
		if n.Def == nil || !n.Active || n.Def.Bridge.Name == "" {
			continue
		}
		var zone string
		if err := call(ctx, service, firewalldName+".zone.getZoneOfInterface", []any{n.Def.Bridge.Name}, &zone); err != nil {
			return fmt.Errorf("asking firewalld: %w", err)
		}
		fw.Links[n.Def.Bridge.Name] = zone
	}
	s.facts.Firewalld = fw
	return nil
}
