package driver

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/virbr/virbr/xml"
)

// ports is the ports of a network in the order of their UUIDs. Neither the list
// nor a port in it is ever changed.
type ports []*xml.Port

func (p ports) index(uuid xml.UUID) (int, bool) {
	return slices.BinarySearchFunc(p, uuid, func(have *xml.Port, want xml.UUID) int { return bytes.Compare(have.UUID[:], want[:]) })
}

// get returns a port, nil if there is none with that UUID.
func (p ports) get(uuid xml.UUID) *xml.Port {
	if i, ok := p.index(uuid); ok {
		return p[i]
	}
	return nil
}

// with returns the ports with one added, or put in the place of its older self.
func (p ports) with(port *xml.Port) ports {
	i, found := p.index(port.UUID)
	if !found {
		return slices.Concat(p[:i], ports{port}, p[i:])
	}
	next := slices.Clone(p)
	next[i] = port
	return next
}

// without returns the ports but one.
func (p ports) without(uuid xml.UUID) ports {
	return slices.DeleteFunc(slices.Clone(p), func(have *xml.Port) bool { return have.UUID == uuid })
}

// Ports returns the ports of a running network, by UUID.
func (d *Driver) Ports(_ context.Context, net Ref) ([]PortRef, error) {
	n, v, err := d.find(net)
	if err != nil {
		return nil, err
	}
	if !v.active() {
		return nil, notActive(n.ref)
	}
	refs := make([]PortRef, len(v.ports))
	for i, p := range v.ports {
		refs[i] = PortRef{Network: n.ref, UUID: p.UUID}
	}
	return refs, nil
}

// LookupPort returns a port, or an Error of KindNoPort.
func (d *Driver) LookupPort(_ context.Context, net Ref, uuid xml.UUID) (PortRef, error) {
	n, _, err := d.findPort(PortRef{Network: net, UUID: uuid})
	if err != nil {
		return PortRef{}, err
	}
	return PortRef{Network: n.ref, UUID: uuid}, nil
}

// PortXML returns the canonical document of a port.
func (d *Driver) PortXML(_ context.Context, ref PortRef) (string, error) {
	_, p, err := d.findPort(ref)
	if err != nil {
		return "", err
	}
	return p.Format(), nil
}

// PortBandwidth returns the limits of a port, nil if it has none. They must not
// be changed.
func (d *Driver) PortBandwidth(_ context.Context, ref PortRef) (*xml.Bandwidth, error) {
	_, p, err := d.findPort(ref)
	if err != nil {
		return nil, err
	}
	return p.Bandwidth, nil
}

// findPort returns a port as it is now.
func (d *Driver) findPort(ref PortRef) (*network, *xml.Port, error) {
	n, v, err := d.find(ref.Network)
	if err != nil {
		return nil, nil, err
	}
	p, err := v.port(n.ref, ref.UUID)
	return n, p, err
}

// changePort returns a port with its network's turn taken; the caller ends it.
func (d *Driver) changePort(ctx context.Context, ref PortRef, what string) (*network, *view, *xml.Port, error) {
	n, v, err := d.hold(ctx, ref.Network, what)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := v.port(n.ref, ref.UUID)
	if err != nil {
		n.end()
		return nil, nil, nil, err
	}
	return n, v, p, nil
}

// port returns a port of a running network. As in libvirt a network that does
// not run lacks the port in the first place.
func (v *view) port(net Ref, uuid xml.UUID) (*xml.Port, error) {
	p := v.ports.get(uuid)
	if p == nil {
		return nil, &Error{Kind: KindNoPort, Msg: fmt.Sprintf("Network port with UUID %s does not exist", uuid)}
	}
	if !v.active() {
		return nil, notActive(net)
	}
	return p, nil
}

// notActive refuses what only a running network can do.
func notActive(ref Ref) error {
	return &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("network '%s' is not active", ref.Name)}
}
