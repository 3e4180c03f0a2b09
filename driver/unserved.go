package driver

import (
	"context"

	"github.com/virbr/virbr/xml"
)

// The calls of this file are known to clients and not served yet.

func unserved(call string) error { return &Error{Kind: KindNoSupport, Msg: call} }

// Update is virNetworkUpdate.
func (d *Driver) Update(context.Context, Ref, UpdateRequest) error {
	return unserved("virNetworkUpdate")
}

// SetMetadata is virNetworkSetMetadata.
func (d *Driver) SetMetadata(context.Context, Ref, MetadataRequest, string, *string) error {
	return unserved("virNetworkSetMetadata")
}

// Metadata is virNetworkGetMetadata.
func (d *Driver) Metadata(context.Context, Ref, MetadataRequest) (string, error) {
	return "", unserved("virNetworkGetMetadata")
}

// Leases is virNetworkGetDHCPLeases.
func (d *Driver) Leases(context.Context, Ref, string) ([]Lease, error) {
	return nil, unserved("virNetworkGetDHCPLeases")
}

// Ports is virNetworkListAllPorts.
func (d *Driver) Ports(context.Context, Ref) ([]PortRef, error) {
	return nil, unserved("virNetworkListAllPorts")
}

// LookupPort is virNetworkPortLookupByUUID.
func (d *Driver) LookupPort(context.Context, Ref, xml.UUID) (PortRef, error) {
	return PortRef{}, unserved("virNetworkPortLookupByUUID")
}

// CreatePort is virNetworkPortCreateXML.
func (d *Driver) CreatePort(context.Context, Ref, string, bool, bool) (PortRef, error) {
	return PortRef{}, unserved("virNetworkPortCreateXML")
}

// PortXML is virNetworkPortGetXMLDesc.
func (d *Driver) PortXML(context.Context, PortRef) (string, error) {
	return "", unserved("virNetworkPortGetXMLDesc")
}

// PortBandwidth is virNetworkPortGetParameters.
func (d *Driver) PortBandwidth(context.Context, PortRef) (*xml.Bandwidth, error) {
	return nil, unserved("virNetworkPortGetParameters")
}

// SetPortBandwidth is virNetworkPortSetParameters.
func (d *Driver) SetPortBandwidth(context.Context, PortRef, *xml.Bandwidth) error {
	return unserved("virNetworkPortSetParameters")
}

// DeletePort is virNetworkPortDelete.
func (d *Driver) DeletePort(context.Context, PortRef) error {
	return unserved("virNetworkPortDelete")
}
