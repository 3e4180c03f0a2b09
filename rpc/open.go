package rpc

import (
	"context"
	"net/url"
	"strings"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// driverName is the name of the driver in URIs and in access checks.
const driverName = "network"

// maxURI is how long a connection's name may be, in bytes: it is kept. libvirt
// has no limit of its own.
const maxURI = 4096

// open opens the connection to the driver: what went before was about the
// client.
func (s *Server) open(ctx context.Context, rq *call, a proto.OpenArgs) (wire.Message, error) {
	uri, err := checkName(a.Name)
	if err != nil {
		return nil, err
	}
	if err := s.allowed(ctx, rq, objectConnect, "getattr", nil, nil); err != nil {
		return nil, err
	}
	session := &rq.client.session
	session.mu.Lock()
	defer session.mu.Unlock()
	if session.open {
		return nil, fail(codeInternal, domainRPC, "connection already open")
	}
	session.open = true
	session.uri = uri
	session.readOnly = rq.client.role == RoleReadOnly || a.Flags&proto.OpenReadOnly != 0
	return nil, nil
}

// checkName looks whether a connection's name is that of the system's network
// driver.
func checkName(name *string) (string, error) {
	switch {
	case name == nil:
		return "", fail(codeInternal, domainRPC, "connection not open")
	case *name == "":
		return "", fail(codeNoConnect, domainNone, "<null>")
	case len(*name) > maxURI:
		return "", fail(codeInternal, domainURI, "Unable to parse URI of %d bytes, more than %d", len(*name), maxURI)
	}
	uri, err := url.Parse(*name)
	switch {
	case err != nil:
		return "", fail(codeInternal, domainURI, "Unable to parse URI %s", *name)
	case uri.Scheme == "":
		return "", fail(codeNoConnect, domainNone, "URI '%s' does not include a driver name", *name)
	case !strings.EqualFold(uri.Scheme, driverName), uri.Host != "", uri.Opaque != "":
		return "", fail(codeNoConnect, domainNone, "%s", *name)
	case uri.Path != "/system":
		return "", fail(codeInternal, domainNone, "unexpected network URI path '%s', try network:///system", uri.Path)
	}
	return *name, nil
}

// closeConn says goodbye. The connection is closed when the answer is out.
func (s *Server) closeConn(context.Context, *call, proto.Void) (wire.Message, error) {
	return nil, nil
}

// feature tells what the driver and this server can do. A client that asks
// about keepalive wants to be pinged.
func (s *Server) feature(_ context.Context, rq *call, a proto.Int) (wire.Message, error) {
	if a.Value == proto.FeatureKeepalive {
		rq.client.pulse.start()
		return &proto.Int{Value: 1}, nil
	}
	rq.client.session.mu.Lock()
	open := rq.client.session.open
	rq.client.session.mu.Unlock()
	if !open {
		return nil, fail(codeInternal, domainRPC, "hypervisor connection not open")
	}
	switch a.Value {
	case proto.FeatureFDPassing, proto.FeatureTypedParamString, proto.FeatureRemoteEventCallback,
		proto.FeatureRemoteCloseCallback, proto.FeatureUpdateOrder, proto.FeatureExtensions:
		return &proto.Int{Value: 1}, nil
	}
	return &proto.Int{}, nil
}

func (s *Server) connType(context.Context, *call, proto.Void) (wire.Message, error) {
	return &proto.String{Value: driverName}, nil
}

func (s *Server) connURI(_ context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	rq.client.session.mu.Lock()
	defer rq.client.session.mu.Unlock()
	return &proto.String{Value: rq.client.session.uri}, nil
}

// isSecure: nobody can listen to a Unix socket.
func (s *Server) isSecure(context.Context, *call, proto.Void) (wire.Message, error) {
	return &proto.Int{Value: 1}, nil
}

func (s *Server) libVersion(context.Context, *call, proto.Void) (wire.Message, error) {
	return &proto.Hyper{Value: s.cfg.Version}, nil
}

// closeCallback registers or deregisters a listener for an event that a
// network driver never sends. Refusing would make virsh warn.
func (s *Server) closeCallback(context.Context, *call, proto.Void) (wire.Message, error) {
	return nil, nil
}
