package rpc

import (
	"context"
	"slices"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// ways are the driver's on the wire.
var ways = map[plan.Way]int32{plan.WayNone: proto.WayNone, plan.WayLive: proto.WayLive, plan.WayRestart: proto.WayRestart}

// applyPermissions are what who applies a definition may do by other calls.
var applyPermissions = []string{"write", "save", "stop", "start"}

func (s *Server) plan(ctx context.Context, rq *call, a proto.ApplyArgs) (wire.Message, error) {
	if err := s.allowedDocuments(ctx, rq, a, 0, "virbrPlan", "read"); err != nil {
		return nil, err
	}
	return proposals(s.cfg.Networks.Plan(ctx, a.Documents))
}

func (s *Server) apply(ctx context.Context, rq *call, a proto.ApplyArgs) (wire.Message, error) {
	if err := s.allowedDocuments(ctx, rq, a, proto.ApplyYes, "virbrApply", applyPermissions...); err != nil {
		return nil, err
	}
	return proposals(s.cfg.Networks.Apply(ctx, driver.ApplyRequest{
		Documents: a.Documents, Cut: a.Flags&proto.ApplyYes != 0, Confirm: time.Duration(a.Confirm) * time.Second,
	}))
}

// listPending lists what waits for its confirmation, of networks that the caller may read.
func (s *Server) listPending(ctx context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	result := proto.Pendings{}
	for _, p := range s.cfg.Networks.Pending(ctx) {
		made := proto.Pending{Until: p.Until.UnixNano()}
		for i := range p.Networks {
			if s.allowed(ctx, rq, objectNetwork, "read", &p.Networks[i], nil) == nil {
				made.Networks = append(made.Networks, networkOf(p.Networks[i]))
			}
		}
		if len(made.Networks) > 0 {
			result.List = append(result.List, made)
		}
	}
	return &result, nil
}

// deciding serves the end of the wait for a confirmation. Who ends it must be allowed to
// change each network of the change.
func deciding(do func(Networks, context.Context, driver.Ref) error) handler {
	return bind(func(s *Server, ctx context.Context, rq *call, a proto.Network) (wire.Message, error) {
		ref := refOf(a)
		if err := s.allowedToDecide(ctx, rq, ref); err != nil {
			return nil, err
		}
		return nil, do(s.cfg.Networks, ctx, ref)
	})
}

func (s *Server) allowedToDecide(ctx context.Context, rq *call, ref driver.Ref) error {
	if err := s.allowedNetwork(ctx, rq, ref, applyPermissions...); err != nil {
		return err
	}
	for _, p := range s.cfg.Networks.Pending(ctx) {
		if !slices.ContainsFunc(p.Networks, func(o driver.Ref) bool { return o.UUID == ref.UUID }) {
			continue
		}
		for i := range p.Networks {
			for _, permission := range applyPermissions {
				if err := s.allowed(ctx, rq, objectNetwork, permission, &p.Networks[i], nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// allowedDocuments checks flags, and permissions on the networks that are described.
func (s *Server) allowedDocuments(ctx context.Context, rq *call, a proto.ApplyArgs, flags uint32, function string, permissions ...string) error {
	if err := checkFlags(a.Flags, flags, function); err != nil {
		return err
	}
	for _, doc := range a.Documents {
		if err := s.allowedDocument(ctx, rq, doc, permissions...); err != nil {
			return err
		}
	}
	return nil
}

// proposals makes a result.
func proposals(list []driver.Proposal, err error) (wire.Message, error) {
	if err != nil {
		return nil, err
	}
	result := proto.Proposals{}
	for i := range list {
		p := &list[i]
		made := proto.Proposal{Network: networkOf(p.Network), New: p.New, Running: p.Running, Defines: p.Defines, Way: ways[p.Way], Effect: p.Effect().String()}
		for _, c := range p.Changes[:min(len(p.Changes), proto.MaxChanges)] {
			made.Changes = append(made.Changes, proto.Change{Text: c.Text, Effect: c.Effect.String()})
		}
		made.Drift = p.Drift[:min(len(p.Drift), proto.MaxChanges)]
		result.List = append(result.List, made)
	}
	return &result, nil
}
