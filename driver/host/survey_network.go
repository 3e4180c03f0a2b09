package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/firewall"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/leases"
	"github.com/virbr/virbr/xml"
)

// maxDefinition is how much of a network's file is read, in bytes: as the driver.
const maxDefinition = 10 << 20

// networks reads what there is of networks, running and defined.
func (s *survey) networks() {
	running := s.stems(s.places.State)
	defined := s.stems(s.places.Config)
	names := append(slices.Clone(running), defined...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		n := doctor.Network{Name: name, Active: slices.Contains(running, name)}
		n.Def, n.Unread = s.definition(name, n.Active)
		_, err := os.Lstat(filepath.Join(s.places.Config, "autostart", name+".xml"))
		n.Autostart = err == nil
		if n.Def != nil && n.Active {
			s.started(&n)
			s.extension(&n)
			s.network(&n)
		}
		s.facts.Networks = append(s.facts.Networks, n)
	}
}

// stems returns the names of the XML files of a directory.
func (s *survey) stems(dir string) []string {
	entries, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		s.missed(dir, err)
	}
	var list []string
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), ".xml"); ok && stem != "" && !e.IsDir() {
			list = append(list, stem)
		}
	}
	return list
}

// definition reads a network's file; a running one's is its status file.
func (s *survey) definition(name string, active bool) (*xml.Network, string) {
	dir := s.places.Config
	if active {
		dir = s.places.State
	}
	file := filepath.Join(dir, name+".xml")
	data, err := readCapped(file, maxDefinition)
	if err != nil {
		return nil, err.Error()
	}
	def := &xml.Network{}
	if active {
		var status *xml.Status
		if status, err = xml.ParseStatus(data); err == nil {
			def = status.Network
		}
	} else {
		def, err = xml.LoadNetwork(data)
	}
	switch {
	case err != nil:
		return nil, fmt.Sprintf("%s: %v", file, err)
	case def.Name != name:
		return nil, fmt.Sprintf("%s is about network %q", file, def.Name)
	}
	return def, ""
}

// started looks who started a running network.
func (s *survey) started(n *doctor.Network) {
	n.Started = doctor.KeeperLibvirt
	if _, err := os.Lstat(filepath.Join(s.places.Own, "networks", n.Def.UUID.String()+".json")); err == nil {
		n.Started = doctor.KeeperVirbrd
	}
}

// network looks at what a running network has.
func (s *survey) network(n *doctor.Network) {
	dirs := dnsmasq.Dirs{Run: s.places.State, Dnsmasq: s.places.Dnsmasq}
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
