package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// ways are the driver's on the wire.
var ways = map[plan.Way]int32{plan.WayNone: proto.WayNone, plan.WayLive: proto.WayLive, plan.WayRestart: proto.WayRestart}

func (s *Server) plan(ctx context.Context, rq *call, a proto.ApplyArgs) (wire.Message, error) {
	if err := s.allowedDocuments(ctx, rq, a, 0, "virbrPlan", "read"); err != nil {
		return nil, err
	}
	return proposals(s.cfg.Networks.Plan(ctx, a.Documents))
}

func (s *Server) apply(ctx context.Context, rq *call, a proto.ApplyArgs) (wire.Message, error) {
	if err := s.allowedDocuments(ctx, rq, a, proto.ApplyYes, "virbrApply", "write", "save", "stop", "start"); err != nil {
		return nil, err
	}
	return proposals(s.cfg.Networks.Apply(ctx, a.Documents, a.Flags&proto.ApplyYes != 0))
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
