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
	return &result, nil
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

// added tells what became of a forward. That the list cannot be read does not make
// the adding fail.
func (s *Server) added(ctx context.Context, ref driver.Ref, f *xml.PortForward) wire.Message {
	list, err := s.cfg.Networks.Forwards(ctx, ref)
	if err != nil {
		s.log.Warn("listing forwards after one was added", "network", ref.Name, "err", err)
	}
	at := slices.IndexFunc(list, func(o driver.ForwardState) bool { return o.Forward.Equal(f) })
	if at < 0 {
		return &proto.Added{Index: -1, Forward: proto.Forward{XML: f.XML()}}
	}
	return &proto.Added{Index: int32(at), Forward: forwardOf(&list[at])}
}

// editing is a procedure that has the driver change a list, if the caller has the
// permissions that setting metadata needs. result is made afterwards; nil: void.
func editing[T any](function string, parse func([]byte) (*T, error), change func(e *xml.Extensions, item *T, at int) error,
	result func(*Server, context.Context, driver.Ref, *T) wire.Message,
) procedure {
	serve := bind(func(s *Server, ctx context.Context, rq *call, a proto.EditArgs) (wire.Message, error) {
		item, err := parse([]byte(a.XML))
		if err != nil {
			return nil, err
		}
		if err := checkFlags(a.Flags, flagsAffect, function); err != nil {
			return nil, err
		}
		ref, affect := refOf(a.Network), driver.Affect(a.Flags)
		if err := s.allowedNetwork(ctx, rq, ref, changing(affect)...); err != nil {
			return nil, err
		}
		err = s.cfg.Networks.EditExtensions(ctx, ref, affect, func(e *xml.Extensions) error {
			return change(e, item, int(a.Index))
		})
		if err != nil || result == nil {
			return nil, err
		}
		return result(s, ctx, ref, item), nil
	})
	return procedure{serve: serve, stage: stageNetwork, forbid: function, slow: true}
}
