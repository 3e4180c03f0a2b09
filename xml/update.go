package xml

import (
	"slices"
	"strconv"
)

// UpdateCommand is libvirt's virNetworkUpdateCommand.
type UpdateCommand uint32

// The update commands, with libvirt's numbers.
const (
	UpdateNone UpdateCommand = iota
	UpdateModify
	UpdateDelete
	UpdateAddLast
	UpdateAddFirst
)

// UpdateSection is libvirt's virNetworkUpdateSection.
type UpdateSection uint32

// The update sections, with libvirt's numbers.
const (
	SectionNone UpdateSection = iota
	SectionBridge
	SectionDomain
	SectionIP
	SectionIPDHCPHost
	SectionIPDHCPRange
	SectionForward
	SectionForwardInterface
	SectionForwardPF
	SectionPortGroup
	SectionDNSHost
	SectionDNSTXT
	SectionDNSSRV
)

var commandWords = [...]string{UpdateModify: "modify", UpdateDelete: "delete", UpdateAddLast: "add-last", UpdateAddFirst: "add-first"}

var sectionWords = [...]string{
	SectionBridge: "bridge", SectionDomain: "domain", SectionIP: "ip", SectionIPDHCPHost: "ip-dhcp-host",
	SectionIPDHCPRange: "ip-dhcp-range", SectionForward: "forward", SectionForwardInterface: "forward-interface",
	SectionForwardPF: "forward-pf", SectionPortGroup: "portgroup", SectionDNSHost: "dns-host",
	SectionDNSTXT: "dns-txt", SectionDNSSRV: "dns-srv",
}

// String returns virsh's word for the command.
func (c UpdateCommand) String() string { return word(commandWords[:], uint32(c)) }

// String returns virsh's word for the section.
func (s UpdateSection) String() string { return word(sectionWords[:], uint32(s)) }

func word(words []string, i uint32) string {
	if i > 0 && int(i) < len(words) {
		return words[i]
	}
	return strconv.FormatUint(uint64(i), 10)
}

// ParseUpdateCommand reads virsh's word for a command. As in virsh, "add" is
// add-last.
func ParseUpdateCommand(s string) (UpdateCommand, bool) {
	if s == "add" {
		return UpdateAddLast, true
	}
	i := slices.Index(commandWords[:], s)
	return UpdateCommand(max(i, 0)), i > 0
}

// ParseUpdateSection reads virsh's word for a section.
func ParseUpdateSection(s string) (UpdateSection, bool) {
	i := slices.Index(sectionWords[:], s)
	return UpdateSection(max(i, 0)), i > 0
}

// Update makes one net-update edit: libvirt's virNetworkDefUpdateSection.
// parentIndex says which <ip> the sections ip-dhcp-host and ip-dhcp-range are
// about, -1 lets the network choose. An error leaves the network as it was.
//
// The result is not checked as a whole. Like libvirt the caller formats and
// parses it again before it counts.
func (n *Network) Update(cmd UpdateCommand, section UpdateSection, parentIndex int, doc []byte) error {
	el, err := parseAny(doc)
	if err != nil {
		return err
	}
	switch section {
	case SectionIPDHCPHost:
		return n.updateDHCPHost(cmd, parentIndex, el)
	case SectionIPDHCPRange:
		return n.updateDHCPRange(cmd, parentIndex, el)
	case SectionForwardInterface:
		return n.updateInterface(cmd, el)
	case SectionPortGroup:
		return n.updatePortGroup(cmd, el)
	case SectionDNSHost:
		return n.updateDNSHost(cmd, el)
	case SectionDNSTXT:
		return n.updateTXT(cmd, el)
	case SectionDNSSRV:
		return n.updateSRV(cmd, el)
	case SectionForwardPF:
		return n.noUpdate("forward pf")
	case SectionBridge, SectionDomain, SectionIP, SectionForward:
		return n.noUpdate(section.String())
	case SectionNone:
	}
	return refuseUpdate(KindNotSupported, "can't update unrecognized section of network")
}

func refuseUpdate(k Kind, format string, args ...any) error {
	return (*node)(nil).fail(k, OriginNetwork, format, args...)
}

// misfit is an update that does not fit the network as it is.
func misfit(format string, args ...any) error {
	return refuseUpdate(KindOperation, format, args...)
}

func (n *Network) noUpdate(section string) error {
	return refuseUpdate(KindNotSupported, "can't update '%s' section of network '%s'", section, n.Name)
}

func unknownCommand(cmd UpdateCommand) error {
	return refuseUpdate(KindNotSupported, "unrecognized network update command code %d", uint32(cmd))
}

// wantElement checks which element an update document holds.
func (n *Network) wantElement(el *node, name string) error {
	if el.name != name {
		return el.bad("unexpected element <%s>, expecting <%s>, while updating network '%s'", el.name, name, n.Name)
	}
	return nil
}

// insert puts an item at the end that the command says. The list is copied, so
// that clones of the network never share what an update writes.
func insert[T any](cmd UpdateCommand, list []T, item T) []T {
	if cmd == UpdateAddFirst {
		return append([]T{item}, list...)
	}
	return append(slices.Clone(list), item)
}

func remove[T any](list []T, i int) []T {
	return slices.Delete(slices.Clone(list), i, i+1)
}

func replace[T any](list []T, i int, item T) []T {
	list = slices.Clone(list)
	list[i] = item
	return list
}

func (n *Network) updateInterface(cmd UpdateCommand, el *node) error {
	if err := n.wantElement(el, "interface"); err != nil {
		return err
	}
	if cmd == UpdateModify {
		return refuseUpdate(KindNotSupported, "forward interface entries cannot be modified, only added or deleted")
	}
	dev, ok := el.attr("dev")
	if !ok {
		return el.bad("missing dev attribute in <interface> element")
	}
	f := &n.Forward
	at := slices.IndexFunc(f.Interfaces, func(in ForwardInterface) bool { return in.PCI == nil && in.Dev == dev })
	switch cmd {
	case UpdateAddFirst, UpdateAddLast:
		if at >= 0 {
			return misfit("there is an existing interface entry in network '%s' that matches \"<interface dev='%s'>\"", n.Name, dev)
		}
		if err := checkDevice(el, "device name", dev); err != nil {
			return err
		}
		f.Interfaces = insert(cmd, f.Interfaces, ForwardInterface{Dev: dev})
	case UpdateDelete:
		if at < 0 {
			return misfit("couldn't find an interface entry in network '%s' matching <interface dev='%s'>", n.Name, dev)
		}
		if used := f.Interfaces[at].Connections; used > 0 {
			return misfit("unable to delete interface '%s' in network '%s'. It is currently being used by %d domains.", dev, n.Name, used)
		}
		f.Interfaces = remove(f.Interfaces, at)
	default:
		return unknownCommand(cmd)
	}
	return nil
}

func (n *Network) updatePortGroup(cmd UpdateCommand, el *node) error {
	if err := n.wantElement(el, "portgroup"); err != nil {
		return err
	}
	g, err := parsePortGroup(el)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(n.PortGroups, func(o PortGroup) bool { return o.Name == g.Name })
	other := slices.IndexFunc(n.PortGroups, func(o PortGroup) bool { return o.Default && o.Name != g.Name })
	adding := cmd == UpdateAddFirst || cmd == UpdateAddLast
	switch {
	case at < 0 && (cmd == UpdateModify || cmd == UpdateDelete):
		return misfit("couldn't find a portgroup entry in network '%s' matching <portgroup name='%s'>", n.Name, g.Name)
	case at >= 0 && adding:
		return misfit("there is an existing portgroup entry in network '%s' that matches \"<portgroup name='%s'>\"", n.Name, g.Name)
	case cmd != UpdateDelete && g.Default && other >= 0:
		return misfit("a different portgroup entry in network '%s' is already set as the default. Only one default is allowed.", n.Name)
	}
	switch cmd {
	case UpdateModify:
		n.PortGroups = replace(n.PortGroups, at, *g)
	case UpdateAddFirst, UpdateAddLast:
		n.PortGroups = insert(cmd, n.PortGroups, *g)
	case UpdateDelete:
		n.PortGroups = remove(n.PortGroups, at)
	default:
		return unknownCommand(cmd)
	}
	return nil
}
