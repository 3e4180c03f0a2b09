package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// portSettings are the attributes of a bridge's port that somebody can have set;
// others are the kernel's own (br_port_policy in net/bridge/br_netlink.c). The state
// and the cost follow from the link.
var portSettings = []uint16{
	nl.IFLA_BRPORT_PRIORITY, nl.IFLA_BRPORT_MODE, nl.IFLA_BRPORT_GUARD, nl.IFLA_BRPORT_PROTECT,
	nl.IFLA_BRPORT_FAST_LEAVE, nl.IFLA_BRPORT_LEARNING, nl.IFLA_BRPORT_UNICAST_FLOOD, nl.IFLA_BRPORT_PROXYARP,
	nl.IFLA_BRPORT_PROXYARP_WIFI, nl.IFLA_BRPORT_MULTICAST_ROUTER, nl.IFLA_BRPORT_MCAST_FLOOD,
	nl.IFLA_BRPORT_MCAST_TO_UCAST, nl.IFLA_BRPORT_VLAN_TUNNEL, nl.IFLA_BRPORT_BCAST_FLOOD,
	nl.IFLA_BRPORT_GROUP_FWD_MASK, nl.IFLA_BRPORT_NEIGH_SUPPRESS, nl.IFLA_BRPORT_ISOLATED,
	nl.IFLA_BRPORT_LOCKED, nl.IFLA_BRPORT_MAB,
}

// Members returns the links that are ports of a bridge, by index, and which of some
// guests' MAC addresses are behind each.
func (h *Host) Members(ctx context.Context, bridge string, guests []xml.MAC) ([]step.Member, error) {
	const doing = "listing the ports of"
	links, _, err := h.readLinks(ctx)
	if err != nil {
		return nil, err
	}
	var list []step.Member
	for _, link := range links {
		if link.Master != bridge {
			continue
		}
		m, _, err := h.member(link.Index)
		if errors.Is(err, syscall.ENODEV) {
			continue // it went meanwhile
		}
		if err == nil && !learns(m.Settings) {
			m.Entries, err = h.portEntries(ctx, m)
		}
		if err != nil {
			return nil, opError(doing, bridge, err)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b step.Member) int { return a.Index - b.Index })
	if len(list) > 0 && h.filtersVLANs(links[bridge].Index) {
		err = h.portVLANs(list)
	}
	h.findGuests(links[bridge].Index, list, guests)
	return list, opError(doing, bridge, err)
}

// member describes a link, and says what it is a port of; 0: nothing.
func (h *Host) member(index int) (m step.Member, master int, err error) {
	m.Index = index
	link, err := h.describe(index)
	for typ, value := range attributes(link) {
		switch typ {
		case unix.IFLA_IFNAME:
			m.Name = text(value)
		case unix.IFLA_ADDRESS:
			copy(m.MAC[:], value)
		case unix.IFLA_MASTER:
			master = number(value)
		case unix.IFLA_LINKINFO:
			m.Settings = slaveSettings(value)
		}
	}
	return m, master, err
}

// describe returns the attributes of a link.
func (h *Host) describe(index int) ([]byte, error) {
	req := h.nl.request(unix.RTM_GETLINK, 0)
	req.AddData(linkMessage(unix.AF_UNSPEC, index))
	req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(rtextFilterSkipStats)))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil || len(messages) == 0 || len(messages[0]) < unix.SizeofIfInfomsg {
		return nil, err
	}
	return messages[0][unix.SizeofIfInfomsg:], nil
}

// slaveSettings reads what IFLA_LINKINFO says of a bridge's port.
func slaveSettings(info []byte) []step.PortSetting {
	if text(attribute(info, unix.IFLA_INFO_SLAVE_KIND)) != "bridge" {
		return nil
	}
	var list []step.PortSetting
	for typ, value := range attributes(attribute(info, unix.IFLA_INFO_SLAVE_DATA)) {
		if slices.Contains(portSettings, typ) {
			list = append(list, step.PortSetting{ID: typ, Value: slices.Clone(value)})
		}
	}
	return list
}

// learns reports whether a port learns who is behind it, as it does unless somebody
// else keeps the bridge's forwarding table.
func learns(settings []step.PortSetting) bool {
	off := func(s step.PortSetting) bool {
		return s.ID == nl.IFLA_BRPORT_LEARNING && len(s.Value) == 1 && s.Value[0] == 0
	}
	return !slices.ContainsFunc(settings, off)
}

// portEntries returns what was written into the forwarding table for a port. Each
// port has a permanent entry of its own address.
func (h *Host) portEntries(ctx context.Context, m step.Member) (list []step.PortEntry, err error) {
	err = h.list(ctx, "forwarding table", unix.RTM_GETNEIGH, func() { list = nil }, func(b []byte) {
		if e, ok := parseEntry(b, m.Index); ok && e.MAC != m.MAC {
			list = append(list, e)
		}
	}, &netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(m.Index)})
	return list, err
}

// parseEntry reads an entry of a bridge's forwarding table; not ok: it is another
// table's, or another port's.
func parseEntry(b []byte, port int) (e step.PortEntry, ok bool) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_BRIDGE || number(b[4:]) != port {
		return e, false
	}
	e.State = binary.NativeEndian.Uint16(b[8:])
	for typ, value := range attributes(b[unix.SizeofNdMsg:]) {
		switch {
		case typ == unix.NDA_MASTER:
			ok = true // else it is the device's own table
		case typ == unix.NDA_LLADDR && len(value) == len(e.MAC):
			copy(e.MAC[:], value)
		case typ == unix.NDA_VLAN && len(value) == 2:
			e.VLAN = binary.NativeEndian.Uint16(value)
		}
	}
	return e, ok
}

// filtersVLANs reports whether a bridge does so.
func (h *Host) filtersVLANs(bridge int) bool {
	link, _ := h.describe(bridge)
	for _, path := range []uint16{unix.IFLA_LINKINFO, unix.IFLA_INFO_DATA, nl.IFLA_BR_VLAN_FILTERING} {
		link = attribute(link, path)
	}
	return len(link) == 1 && link[0] != 0
}

// attribute returns the value of one netlink attribute of b, nil if it is not there.
func attribute(b []byte, id uint16) []byte {
	for typ, value := range attributes(b) {
		if typ == id {
			return value
		}
	}
	return nil
}

// portVLANs fills in the VLANs of ports.
func (h *Host) portVLANs(list []step.Member) error {
	all, err := h.tc.BridgeVlanList()
	if err != nil {
		return err
	}
	for i := range list {
		for _, v := range all[int32(list[i].Index)] {
			list[i].VLANs = append(list[i].VLANs, step.PortVLAN{Flags: v.Flags, ID: v.Vid})
		}
	}
	return nil
}

// findGuests fills in which guests are behind ports: by the address of the guest's
// tap, else by who was heard there last.
func (h *Host) findGuests(bridge int, list []step.Member, guests []xml.MAC) {
	for _, guest := range guests {
		at := slices.IndexFunc(list, func(m step.Member) bool { return slices.Equal(m.MAC[1:], guest[1:]) })
		if at < 0 {
			port := h.portOf(bridge, guest)
			at = slices.IndexFunc(list, func(m step.Member) bool { return m.Index == port })
		}
		if at >= 0 {
			list[at].Guests = append(list[at].Guests, guest)
		}
	}
}

// plugMember makes a link a port again with all that it had there, or leaves it as
// it is: a port that lacks what keeps it apart from others is worse than none.
func (h *Host) plugMember(ctx context.Context, op step.PlugMember) error {
	doing, m := fmt.Sprintf("plugging %q into", op.Member.Name), op.Member
	bridge, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	now, master, err := h.member(m.Index)
	if errors.Is(err, syscall.ENODEV) || err == nil && (master != 0 || now.MAC != m.MAC) {
		h.log.InfoContext(ctx, "a guest's link is gone or plugged in elsewhere", "link", m.Name, "bridge", op.Bridge)
		return nil
	}
	if err == nil {
		err = h.setMaster(m.Index, bridge)
	}
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	if err := h.setUpMember(m, h.filtersVLANs(bridge)); err != nil {
		return opError(doing, op.Bridge, errors.Join(err, h.setMaster(m.Index, 0)))
	}
	return nil
}

func (h *Host) setMaster(index, master int) error {
	return h.nl.change(unix.RTM_NEWLINK, 0, linkMessage(unix.AF_UNSPEC, index), nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(master))))
}

// setPort sets attributes of a bridge's port.
func (h *Host) setPort(index int, settings ...step.PortSetting) error {
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	for _, s := range settings {
		info.AddRtAttr(int(s.ID), s.Value)
	}
	return h.nl.change(unix.RTM_SETLINK, 0, linkMessage(unix.AF_BRIDGE, index), info)
}

// setUpMember gives a port its settings, VLANs and entries.
func (h *Host) setUpMember(m step.Member, filters bool) error {
	if len(m.Settings) > 0 {
		if err := h.setPort(m.Index, m.Settings...); err != nil {
			return fmt.Errorf("setting up the port: %w", err)
		}
	}
	if filters {
		if err := h.setPortVLANs(m); err != nil {
			return fmt.Errorf("setting the port's VLANs: %w", err)
		}
	}
	for _, e := range m.Entries {
		body := attrs{&netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(m.Index), State: e.State, Flags: unix.NTF_MASTER}}
		body.put(unix.NDA_LLADDR, e.MAC[:])
		if e.VLAN != 0 {
			body.put(unix.NDA_VLAN, nl.Uint16Attr(e.VLAN))
		}
		if err := h.nl.change(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body...); err != nil {
			return fmt.Errorf("writing the entry of %s: %w", e.MAC, err)
		}
	}
	return nil
}

// setPortVLANs makes a port's VLANs those that it had; a new port has the bridge's
// default.
func (h *Host) setPortVLANs(m step.Member) error {
	now := []step.Member{{Index: m.Index}}
	if err := h.portVLANs(now); err != nil {
		return err
	}
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: m.Name, Index: m.Index}}
	for _, v := range now[0].VLANs {
		if slices.Contains(m.VLANs, v) {
			continue
		}
		if err := h.tc.BridgeVlanDel(link, v.ID, false, false, false, true); err != nil {
			return err
		}
	}
	for _, v := range m.VLANs {
		pvid, untagged := v.Flags&nl.BRIDGE_VLAN_INFO_PVID != 0, v.Flags&nl.BRIDGE_VLAN_INFO_UNTAGGED != 0
		if err := h.tc.BridgeVlanAdd(link, v.ID, pvid, untagged, false, true); err != nil {
			return err
		}
	}
	return nil
}
