package rpc

import (
	"context"
	"net/netip"
	"slices"

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
	publics, err := s.cfg.Networks.Publics(ctx, ref)
	if err != nil {
		return nil, err
	}
	result := proto.Forwards{Forwards: make([]proto.Forward, len(list)), Publics: make([]proto.Forward, len(publics))}
	for i := range list {
		result.Forwards[i] = forwardOf(&list[i])
	}
	for i := range publics {
		p := &publics[i]
		result.Publics[i] = stateOf(p.Public.XML(), p.Phase, p.Addresses, p.Reason)
	}
	return result, nil
}

func forwardOf(s *driver.ForwardState) proto.Forward {
	return stateOf(s.Forward.XML(), s.Phase, s.Addresses, s.Reason)
}

func stateOf(document string, phase driver.Phase, addrs []netip.Addr, reason string) proto.Forward {
	f := proto.Forward{XML: document, Phase: phases[phase], Reason: reason}
	for _, addr := range addrs {
		f.Addresses = append(f.Addresses, addr.String())
	}
	return f
}

func (s *Server) addForward(ctx context.Context, rq *call, a proto.EditArgs) (wire.Message, error) {
	f, err := xml.ParsePortForward([]byte(a.XML))
	if err != nil {
		return nil, err
	}
	err = s.editExtensions(ctx, rq, &a, "virbrForwardAdd", func(e *xml.Extensions) error {
		return e.AddForward(*f, int(a.Index))
	})
	if err != nil {
		return nil, err
	}
	return s.added(ctx, refOf(a.Network), f), nil
}

// added tells what became of a forward. That the list cannot be read does not make
// the adding fail.
func (s *Server) added(ctx context.Context, ref driver.Ref, f *xml.PortForward) proto.Added {
	list, err := s.cfg.Networks.Forwards(ctx, ref)
	if err != nil {
		s.log.Warn("listing forwards after one was added", "network", ref.Name, "err", err)
	}
	at := slices.IndexFunc(list, func(o driver.ForwardState) bool { return o.Forward.Equal(f) })
	if at < 0 {
		return proto.Added{Index: -1, Forward: proto.Forward{XML: f.XML()}}
	}
	return proto.Added{Index: int32(at), Forward: forwardOf(&list[at])}
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
