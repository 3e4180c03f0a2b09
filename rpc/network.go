package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

// Flags of the calls below.
const (
	flagValidate = 1 // VIR_NETWORK_DEFINE_VALIDATE, VIR_NETWORK_CREATE_VALIDATE
	flagInactive = 1 // VIR_NETWORK_XML_INACTIVE
	flagsAffect  = 3 // VIR_NETWORK_UPDATE_AFFECT_LIVE, _CONFIG
)

func refOf(n proto.Network) driver.Ref { return driver.Ref{Name: n.Name, UUID: n.UUID} }

func networkOf(r driver.Ref) proto.Network { return proto.Network{Name: r.Name, UUID: r.UUID} }

// network makes a result of a network.
func network(r driver.Ref, err error) (wire.Message, error) {
	if err != nil {
		return nil, err
	}
	return new(networkOf(r)), nil
}

// text makes a result of a string.
func text(s string, err error) (wire.Message, error) {
	if err != nil {
		return nil, err
	}
	return &proto.String{Value: s}, nil
}

// yesNo makes a result of a bool.
func yesNo(yes bool, err error) (wire.Message, error) {
	if err != nil {
		return nil, err
	}
	if yes {
		return &proto.Int{Value: 1}, nil
	}
	return &proto.Int{}, nil
}

func (s *Server) lookupByName(ctx context.Context, rq *call, a proto.String) (wire.Message, error) {
	return s.found(ctx, rq)(s.cfg.Networks.LookupByName(ctx, a.Value))
}

func (s *Server) lookupByUUID(ctx context.Context, rq *call, a proto.UUID) (wire.Message, error) {
	return s.found(ctx, rq)(s.cfg.Networks.LookupByUUID(ctx, a.Value))
}

// found makes a result of a network that was looked up, if the caller may see
// it.
func (s *Server) found(ctx context.Context, rq *call) func(driver.Ref, error) (wire.Message, error) {
	return func(r driver.Ref, err error) (wire.Message, error) {
		if err == nil {
			err = s.allowed(ctx, rq, objectNetwork, "getattr", &r, nil)
		}
		return network(r, err)
	}
}

// doing serves a call that does something to a network if the caller has the permission.
func doing(permission string, do func(Networks, context.Context, driver.Ref) error) handler {
	return bind(func(s *Server, ctx context.Context, rq *call, a proto.Network) (wire.Message, error) {
		ref := refOf(a)
		if err := s.allowedNetwork(ctx, rq, ref, permission); err != nil {
			return nil, err
		}
		return nil, do(s.cfg.Networks, ctx, ref)
	})
}

// asking serves a question about a network.
func asking[A any](question func(Networks, context.Context, driver.Ref) (A, error), result func(A, error) (wire.Message, error)) handler {
	return bind(func(s *Server, ctx context.Context, rq *call, a proto.Network) (wire.Message, error) {
		ref := refOf(a)
		if err := s.allowedNetwork(ctx, rq, ref, "read"); err != nil {
			return nil, err
		}
		return result(question(s.cfg.Networks, ctx, ref))
	})
}

func (s *Server) create(ctx context.Context, rq *call, a proto.String) (wire.Message, error) {
	return s.createFlags(ctx, rq, proto.XMLArgs{XML: a.Value})
}

func (s *Server) createFlags(ctx context.Context, rq *call, a proto.XMLArgs) (wire.Message, error) {
	return s.put(ctx, rq, a, "networkCreateXMLFlags", "start", s.cfg.Networks.CreateXML)
}

func (s *Server) define(ctx context.Context, rq *call, a proto.String) (wire.Message, error) {
	return s.defineFlags(ctx, rq, proto.XMLArgs{XML: a.Value})
}

func (s *Server) defineFlags(ctx context.Context, rq *call, a proto.XMLArgs) (wire.Message, error) {
	return s.put(ctx, rq, a, "networkDefineXMLFlags", "save", s.cfg.Networks.DefineXML)
}

// put hands a document to the driver if the caller may write its network, and has the
// permission.
func (s *Server) put(ctx context.Context, rq *call, a proto.XMLArgs, function, permission string,
	do func(ctx context.Context, doc string, validate bool) (driver.Ref, error),
) (wire.Message, error) {
	if err := checkFlags(a.Flags, flagValidate, function); err != nil {
		return nil, err
	}
	if err := s.allowedDocument(ctx, rq, a.XML, "write", permission); err != nil {
		return nil, err
	}
	return network(do(ctx, a.XML, a.Flags&flagValidate != 0))
}

// allowedDocument checks permissions on the network that a document describes,
// which need not exist.
func (s *Server) allowedDocument(ctx context.Context, rq *call, doc string, permissions ...string) error {
	if s.cfg.Access == nil {
		return nil
	}
	def, err := xml.ParseNetwork([]byte(doc))
	if err != nil {
		return err
	}
	ref := driver.Ref{Name: def.Name, UUID: def.UUID}
	if !def.HasUUID() {
		// The driver takes the UUID of the network with that name, if any.
		stored, err := s.cfg.Networks.LookupByName(ctx, ref.Name)
		if err != nil && !isKind(err, driver.KindNoNetwork) {
			return err
		}
		ref.UUID = stored.UUID
	}
	for _, permission := range permissions {
		if err := s.allowed(ctx, rq, objectNetwork, permission, &ref, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) getXML(ctx context.Context, rq *call, a proto.NetworkFlags) (wire.Message, error) {
	if err := checkFlags(a.Flags, flagInactive, "networkGetXMLDesc"); err != nil {
		return nil, err
	}
	ref := refOf(a.Network)
	if err := s.allowedNetwork(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	return text(s.cfg.Networks.XML(ctx, ref, a.Flags&flagInactive != 0))
}

func (s *Server) setAutostart(ctx context.Context, rq *call, a proto.AutostartArgs) (wire.Message, error) {
	ref := refOf(a.Network)
	if err := s.allowedNetwork(ctx, rq, ref, "write"); err != nil {
		return nil, err
	}
	return nil, s.cfg.Networks.SetAutostart(ctx, ref, a.Autostart != 0)
}

// changing is what a change of a definition needs: saving is a permission of
// its own, and without flags nobody knows beforehand which definition it is.
func changing(affect driver.Affect) []string {
	if affect == 0 || affect&driver.AffectConfig != 0 {
		return []string{"write", "save"}
	}
	return []string{"write"}
}

func (s *Server) update(ctx context.Context, rq *call, a proto.UpdateArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, flagsAffect, "networkUpdate"); err != nil {
		return nil, err
	}
	ref, affect := refOf(a.Network), driver.Affect(a.Flags)
	if err := s.allowedNetwork(ctx, rq, ref, changing(affect)...); err != nil {
		return nil, err
	}
	return nil, s.cfg.Networks.Update(ctx, ref, driver.UpdateRequest{
		Command:     xml.UpdateCommand(a.Command),
		Section:     xml.UpdateSection(a.Section),
		ParentIndex: int(a.ParentIndex),
		Document:    a.XML,
		Affect:      affect,
	})
}
