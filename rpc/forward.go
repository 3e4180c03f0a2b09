package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

// phases are the driver's on the wire.
var phases = map[driver.Phase]int32{
	driver.PhaseInactive: proto.PhaseInactive,
	driver.PhaseWaiting:  proto.PhaseWaiting,
	driver.PhaseActive:   proto.PhaseActive,
}

func (s *Server) forwards(ctx context.Context, rq *call, a proto.Network) (wire.Message, error) {
	ref := refOf(a)
	if err := s.allowedNetwork(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	list, err := s.cfg.Networks.Forwards(ctx, ref)
	if err != nil {
		return nil, err
	}
	result := proto.Forwards{Forwards: make([]proto.Forward, len(list))}
	for i := range list {
		f := &result.Forwards[i]
		f.XML, f.Phase = list[i].Forward.XML(), phases[list[i].Phase]
		for _, addr := range list[i].Addresses {
			f.Addresses = append(f.Addresses, addr.String())
		}
	}
	return result, nil
}

func (s *Server) addForward(ctx context.Context, rq *call, a proto.EditArgs) (wire.Message, error) {
	f, err := xml.ParsePortForward([]byte(a.XML))
	if err != nil {
		return nil, err
	}
	return nil, s.editExtensions(ctx, rq, &a, "virbrForwardAdd", func(e *xml.Extensions) error {
		return e.AddForward(*f, int(a.Index))
	})
}

func (s *Server) removeForward(ctx context.Context, rq *call, a proto.EditArgs) (wire.Message, error) {
	f, err := xml.ParsePortForward([]byte(a.XML))
	if err != nil {
		return nil, err
	}
	return nil, s.editExtensions(ctx, rq, &a, "virbrForwardRemove", func(e *xml.Extensions) error {
		return e.CutForward(f)
	})
}

func (s *Server) addAddress(ctx context.Context, rq *call, a proto.EditArgs) (wire.Message, error) {
	p, err := xml.ParsePublicAddress([]byte(a.XML))
	if err != nil {
		return nil, err
	}
	return nil, s.editExtensions(ctx, rq, &a, "virbrAddressAdd", func(e *xml.Extensions) error {
		return e.AddPublic(*p)
	})
}

func (s *Server) removeAddress(ctx context.Context, rq *call, a proto.EditArgs) (wire.Message, error) {
	p, err := xml.ParsePublicAddress([]byte(a.XML))
	if err != nil {
		return nil, err
	}
	return nil, s.editExtensions(ctx, rq, &a, "virbrAddressRemove", func(e *xml.Extensions) error {
		return e.CutPublic(p)
	})
}

// editExtensions has the driver make a change if the caller has the permissions
// that setting metadata needs.
func (s *Server) editExtensions(ctx context.Context, rq *call, a *proto.EditArgs, function string, edit func(*xml.Extensions) error) error {
	if err := checkFlags(a.Flags, flagsAffect, function); err != nil {
		return err
	}
	ref, affect := refOf(a.Network), driver.Affect(a.Flags)
	if err := s.allowedNetwork(ctx, rq, ref, changing(affect)...); err != nil {
		return err
	}
	return s.cfg.Networks.EditExtensions(ctx, ref, affect, edit)
}
