package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/xml"
)

// The objects of access checks, with libvirt's names (viraccessperm.h).
const (
	objectConnect = "connect"
	objectNetwork = "network"
	objectPort    = "network_port"
)

// Access is one question to an AccessControl.
type Access struct {
	Object     string      // "connect", "network" or "network_port"
	Permission string      // as in libvirt: "getattr", "search_networks", ...
	Network    *driver.Ref // nil for the connection
	Port       *xml.UUID   // set for ports only
}

// AccessControl decides about single calls and objects, beyond what sockets and
// authentication do.
type AccessControl interface {
	// Allowed reports whether id has the permission. An error is a question
	// that could not be answered; the call then fails with it.
	Allowed(ctx context.Context, id Identity, a Access) (bool, error)
}

// allowed checks one permission of the caller.
func (s *Server) allowed(ctx context.Context, rq *call, object, permission string, network *driver.Ref, port *xml.UUID) error {
	return s.allowedTo(ctx, rq.client.caller(), Access{object, permission, network, port})
}

// allowedTo checks one permission of anybody.
func (s *Server) allowedTo(ctx context.Context, id Identity, a Access) error {
	if s.cfg.Access == nil {
		return nil
	}
	ok, err := s.cfg.Access.Allowed(ctx, id, a)
	switch {
	case err != nil:
		return err
	case !ok:
		return fail(codeAccessDenied, domainAccess, "'%s' denied access", driverName)
	}
	return nil
}

// allowedNetwork checks permissions on a network that the caller named. The
// network must exist, because a policy may look at its real name.
func (s *Server) allowedNetwork(ctx context.Context, rq *call, net driver.Ref, permissions ...string) error {
	if s.cfg.Access == nil {
		return nil
	}
	stored, err := s.stored(ctx, net)
	if err != nil {
		return err
	}
	for _, permission := range permissions {
		if err := s.allowed(ctx, rq, objectNetwork, permission, &stored, nil); err != nil {
			return err
		}
	}
	return nil
}

// allowedPort is allowedNetwork for a port.
func (s *Server) allowedPort(ctx context.Context, rq *call, port driver.PortRef, permission string) error {
	if s.cfg.Access == nil {
		return nil
	}
	stored, err := s.stored(ctx, port.Network)
	if err != nil {
		return err
	}
	if _, err := s.cfg.Networks.LookupPort(ctx, stored, port.UUID); err != nil {
		return err
	}
	return s.allowed(ctx, rq, objectPort, permission, &stored, &port.UUID)
}

// visible returns those of a list that the caller may see.
func visible[T any](ctx context.Context, s *Server, rq *call, list []T, object func(*T) Access) ([]T, error) {
	if s.cfg.Access == nil {
		return list, nil
	}
	caller := rq.client.caller()
	var seen []T
	for i := range list {
		a := object(&list[i])
		a.Permission = "getattr"
		ok, err := s.cfg.Access.Allowed(ctx, caller, a)
		if err != nil {
			return nil, err
		}
		if ok {
			seen = append(seen, list[i])
		}
	}
	return seen, nil
}

// stored returns a network by its real name, or the error that the driver has
// for one that is missing.
func (s *Server) stored(ctx context.Context, net driver.Ref) (driver.Ref, error) {
	stored, err := s.cfg.Networks.LookupByUUID(ctx, net.UUID)
	if isKind(err, driver.KindNoNetwork) {
		return stored, &driver.Error{
			Kind: driver.KindNoNetwork,
			Msg:  fmt.Sprintf("no network with matching uuid '%s' (%s)", net.UUID, net.Name),
		}
	}
	return stored, err
}

// PolkitAccess is the access driver "polkit": each permission is a polkit
// action.
type PolkitAccess struct {
	Authorizer Authorizer // required
}

// Allowed asks polkit, which may not ask the user.
func (p PolkitAccess) Allowed(ctx context.Context, id Identity, a Access) (bool, error) {
	pid, started, uid, ok := id.process()
	if !ok {
		return false, fail(codeInternal, domainAccess, "No UNIX process ID available")
	}
	action := "org.libvirt.api." + strings.ReplaceAll(a.Object+"."+a.Permission, "_", "-")
	details := map[string]string{"connect_driver": driverName}
	if a.Network != nil {
		details["network_name"] = strings.ToValidUTF8(a.Network.Name, "�")
		details["network_uuid"] = a.Network.UUID.String()
	}
	if a.Port != nil {
		details["port_uuid"] = a.Port.String()
	}
	err := p.Authorizer.Check(ctx, polkit.Subject{PID: pid, StartTime: started, UID: uid}, action, details, false)
	switch {
	case err == nil:
		return true, nil
	case refused(err):
		return false, nil
	}
	return false, err
}
