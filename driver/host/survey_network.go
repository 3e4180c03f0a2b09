package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
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
	s.queues(n, bridge)
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

// queues looks at what tc has on a bridge.
func (s *survey) queues(n *doctor.Network, bridge string) {
	index, err := s.h.index(bridge)
	if err != nil {
		return
	}
	list, err := s.h.tc.QdiscList(linkOf(index))
	s.missed("queues of "+bridge, err)
	for _, q := range list {
		n.Shaped = append(n.Shaped, q.Type())
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_EGRESS, netlink.MakeHandle(1, 0)} { // ours, libvirt's
		filters, err := s.h.tc.FilterList(linkOf(index), parent)
		if err != nil {
			continue
		}
		for _, f := range filters {
			u32, ok := f.(*netlink.U32)
			n.Checksums = n.Checksums || ok && slices.ContainsFunc(u32.Actions, func(a netlink.Action) bool { return a.Type() == "csum" })
		}
	}
}

// filters looks at the rules of libvirt and of everybody else.
func (s *survey) filters(ctx context.Context) {
	var bridges []string
	for i := range s.facts.Networks {
		if n := &s.facts.Networks[i]; n.Def != nil && n.Active && n.Def.Bridge.Name != "" {
			bridges = append(bridges, n.Def.Bridge.Name)
		}
	}
	filter, checksum, err := fwnetlink.LibvirtNames(s.h.fw, bridges)
	s.missed("libvirt's firewall rules", err)
	legacy := false
	for _, l := range legacies {
		data, err := os.ReadFile(l.tables)
		legacy = legacy || err == nil && len(strings.TrimSpace(string(data))) > 0
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
	s.facts.Filters, err = fwnetlink.ReadAll(s.h.fw, s.names)
	s.missed("firewalls of others", err)
	if err == nil {
		tables, err := s.h.legacyTables(ctx, "raw", "mangle", "nat", "filter", "security")
		s.missed("firewalls of others", err)
		s.facts.Filters.Tables = append(s.facts.Filters.Tables, tables...)
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
