package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/xml"
)

// Networks is what the server serves; [driver.Driver] satisfies it. A Ref's
// name is used in messages only: networks are found by UUID.
type Networks interface {
	List(ctx context.Context, filter driver.ListFilter) ([]driver.Ref, error)
	LookupByName(ctx context.Context, name string) (driver.Ref, error)
	LookupByUUID(ctx context.Context, uuid xml.UUID) (driver.Ref, error)
	DefineXML(ctx context.Context, doc string, validate bool) (driver.Ref, error)
	CreateXML(ctx context.Context, doc string, validate bool) (driver.Ref, error)
	Start(ctx context.Context, net driver.Ref) error
	Destroy(ctx context.Context, net driver.Ref) error
	Undefine(ctx context.Context, net driver.Ref) error
	XML(ctx context.Context, net driver.Ref, inactive bool) (string, error)
	BridgeName(ctx context.Context, net driver.Ref) (string, error)
	Autostart(ctx context.Context, net driver.Ref) (bool, error)
	SetAutostart(ctx context.Context, net driver.Ref, on bool) error
	IsActive(ctx context.Context, net driver.Ref) (bool, error)
	IsPersistent(ctx context.Context, net driver.Ref) (bool, error)

	Update(ctx context.Context, net driver.Ref, req driver.UpdateRequest) error
	SetMetadata(ctx context.Context, net driver.Ref, req driver.MetadataRequest, key string, value *string) error
	Metadata(ctx context.Context, net driver.Ref, req driver.MetadataRequest) (string, error)
	Leases(ctx context.Context, net driver.Ref, mac string) ([]driver.Lease, error)

	Forwards(ctx context.Context, net driver.Ref) ([]driver.ForwardState, error)
	Publics(ctx context.Context, net driver.Ref) ([]driver.PublicState, error)
	Uplinks(ctx context.Context, net driver.Ref) ([]driver.UplinkState, error)
	EditExtensions(ctx context.Context, net driver.Ref, affect driver.Affect, edit func(*xml.Extensions) error) error

	History(ctx context.Context, name string) (driver.Ref, []history.Revision, error)
	RevisionXML(ctx context.Context, name string, number int) (driver.Ref, string, error)

	Plan(ctx context.Context, docs []string) ([]driver.Proposal, error)
	Apply(ctx context.Context, req driver.ApplyRequest) ([]driver.Proposal, error)
	Pending(ctx context.Context) []driver.Pending
	Confirm(ctx context.Context, net driver.Ref) error
	RollBack(ctx context.Context, net driver.Ref) error

	Ports(ctx context.Context, net driver.Ref) ([]driver.PortRef, error)
	LookupPort(ctx context.Context, net driver.Ref, uuid xml.UUID) (driver.PortRef, error)
	CreatePort(ctx context.Context, net driver.Ref, doc string, reclaim, validate bool) (driver.PortRef, error)
	PortXML(ctx context.Context, port driver.PortRef) (string, error)
	PortBandwidth(ctx context.Context, port driver.PortRef) (*xml.Bandwidth, error)
	SetPortBandwidth(ctx context.Context, port driver.PortRef, bandwidth *xml.Bandwidth) error
	DeletePort(ctx context.Context, port driver.PortRef) error
}
