package driver

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

// The types of virtual ports that are told apart here.
const (
	type8021Qbg     = "802.1Qbg"
	type8021Qbh     = "802.1Qbh"
	typeOpenvswitch = "openvswitch"
	typeMidonet     = "midonet"
)

// mergeVirtualPorts adds to a port's own virtual port what its network's and its
// port group's say. Where none has a type the port's own stays as it is. Source:
// libvirt's virNetDevVPortProfileMerge3.
func mergeVirtualPorts(port, network, group *xml.VirtualPort) (*xml.VirtualPort, error) {
	typed := false
	for _, v := range []*xml.VirtualPort{port, network, group} {
		typed = typed || v != nil && v.Type != ""
	}
	if !typed {
		return port, nil
	}
	merged := xml.VirtualPort{}
	if port != nil {
		merged = *port
	}
	for _, v := range []*xml.VirtualPort{network, group} {
		if v == nil {
			continue
		}
		if err := mergeVirtualPort(&merged, v); err != nil {
			return nil, err
		}
	}
	return &merged, nil
}

// mergeVirtualPort sets in one virtual port what it leaves open and another one
// has, as far as its type knows such a thing.
func mergeVirtualPort(into, from *xml.VirtualPort) error {
	if err := mergeWord(&into.Type, from.Type, "types"); err != nil {
		return err
	}
	qbg, ovs, untyped := into.Type == type8021Qbg, into.Type == typeOpenvswitch, into.Type == ""
	if qbg || untyped {
		if err := mergeQbg(into, from); err != nil {
			return err
		}
	}
	if ovs || untyped {
		if err := mergeValue(&into.InterfaceID, from.InterfaceID, "interfaceids"); err != nil {
			return err
		}
	}
	if ovs || untyped || into.Type == type8021Qbh {
		return mergeWord(&into.ProfileID, from.ProfileID, "profileids")
	}
	return nil
}

func mergeQbg(into, from *xml.VirtualPort) error {
	for _, f := range []struct {
		into **uint32
		from *uint32
		what string
	}{
		{&into.ManagerID, from.ManagerID, "managerids"},
		{&into.TypeID, from.TypeID, "typeids"},
		{&into.TypeIDVersion, from.TypeIDVersion, "typeidversions"},
	} {
		if err := mergeValue(f.into, f.from, f.what); err != nil {
			return err
		}
	}
	return mergeValue(&into.InstanceID, from.InstanceID, "instanceids")
}

func mergeWord(into *string, from, what string) error {
	switch {
	case from == "" || *into == from:
	case *into == "":
		*into = from
	default:
		return mismatch(what, *into, from)
	}
	return nil
}

func mergeValue[T comparable](into **T, from *T, what string) error {
	switch {
	case from == nil:
	case *into == nil:
		*into = from
	case **into != *from:
		return mismatch(what, **into, *from)
	}
	return nil
}

func mismatch(what string, a, b any) error {
	return refuseVirtualPort("attempt to merge virtualports with mismatched %s (%v and %v)", what, a, b)
}

// refuseVirtualPort is the error of libvirt's helpers for virtual ports.
func refuseVirtualPort(format string, args ...any) error {
	return &xml.Error{Kind: xml.KindXML, Origin: xml.OriginHelper, Msg: fmt.Sprintf(format, args...)}
}

// allowVirtualPort refuses a virtual port that a network's devices cannot have:
// of another type than those.
func allowVirtualPort(live *xml.Network, p *xml.Port, because string, types ...string) error {
	if p.VirtualPort == nil {
		return nil
	}
	for _, t := range types {
		if p.VirtualPort.Type == t {
			return nil
		}
	}
	word := p.VirtualPort.Type
	if word == "" {
		word = "none"
	}
	return &Error{Kind: KindConfigUnsupported, Msg: fmt.Sprintf(
		"<virtualport type='%s'> not supported for network '%s' which %s", word, live.Name, because)}
}

// completeVirtualPort generates the ids that a virtual port may leave to us and
// refuses one that lacks others. v may be nil; it is the caller's own.
func (d *Driver) completeVirtualPort(v *xml.VirtualPort) error {
	if v == nil {
		return nil
	}
	missing := ""
	switch v.Type {
	case type8021Qbg:
		switch {
		case v.ManagerID == nil:
			missing = "managerid"
		case v.TypeID == nil:
			missing = "typeid"
		case v.TypeIDVersion == nil:
			missing = "typeidversion"
		default:
			return d.generateID(&v.InstanceID)
		}
	case type8021Qbh:
		if v.ProfileID == "" {
			missing = "profileid"
		}
	case typeOpenvswitch:
		return d.generateID(&v.InterfaceID)
	case typeMidonet:
		if v.InterfaceID == nil {
			missing = "interfaceid"
		}
	}
	if missing == "" {
		return nil
	}
	return refuseVirtualPort("missing %s in <virtualport type='%s'>", missing, v.Type)
}

// generateID makes an id, unless there is one.
func (d *Driver) generateID(id **xml.UUID) error {
	if *id != nil {
		return nil
	}
	u, err := d.newUUID()
	if err != nil {
		return err
	}
	*id = &u
	return nil
}
