package rpc

import (
	"context"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// flagsList are all bits of a driver.ListFilter.
const flagsList = uint32(driver.ListInactive | driver.ListActive | driver.ListPersistent |
	driver.ListTransient | driver.ListAutostart | driver.ListNoAutostart)

// list returns the networks that the caller may see.
func (s *Server) list(ctx context.Context, rq *call, filter driver.ListFilter) ([]driver.Ref, error) {
	if err := s.allowed(ctx, rq, objectConnect, "search_networks", nil, nil); err != nil {
		return nil, err
	}
	refs, err := s.cfg.Networks.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	return visible(ctx, s, rq, refs, func(r *driver.Ref) Access { return Access{Object: objectNetwork, Network: r} })
}

// wanted makes the list of a result, if the caller wants more than to know how long it is.
func wanted[T, W any](need int32, list []T, made func(T) W) []W {
	if need == 0 {
		return nil
	}
	result := make([]W, len(list))
	for i, e := range list {
		result[i] = made(e)
	}
	return result
}

func (s *Server) listAll(ctx context.Context, rq *call, a proto.ListArgs) (wire.Message, error) {
	if err := checkFlags(a.Flags, flagsList, "networkConnectListAllNetworks"); err != nil {
		return nil, err
	}
	refs, err := s.list(ctx, rq, driver.ListFilter(a.Flags))
	if err != nil {
		return nil, err
	}
	if len(refs) > proto.MaxNames {
		return nil, fail(codeInternal, domainRPC, "Too many networks '%d' for limit '%d'", len(refs), proto.MaxNames)
	}
	return &proto.Networks{Count: uint32(len(refs)), Networks: wanted(a.Need, refs, networkOf)}, nil
}

func (s *Server) listActive(ctx context.Context, rq *call, a proto.Int) (wire.Message, error) {
	return s.names(ctx, rq, a.Value, driver.ListActive)
}

func (s *Server) listInactive(ctx context.Context, rq *call, a proto.Int) (wire.Message, error) {
	return s.names(ctx, rq, a.Value, driver.ListInactive)
}

// names is the older kind of list.
func (s *Server) names(ctx context.Context, rq *call, limit int32, filter driver.ListFilter) (wire.Message, error) {
	switch {
	case limit < 0:
		return nil, fail(codeRPC, domainRPC, "maxnames must be non-negative")
	case limit > proto.MaxNames:
		return nil, fail(codeRPC, domainRPC, "maxnames > REMOTE_NETWORK_LIST_MAX")
	}
	refs, err := s.list(ctx, rq, filter)
	if err != nil {
		return nil, err
	}
	refs = refs[:min(len(refs), int(limit))]
	result := proto.Names{Names: make([]string, len(refs))}
	for i, r := range refs {
		result.Names[i] = r.Name
	}
	return &result, nil
}

func (s *Server) countActive(ctx context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	return s.count(ctx, rq, driver.ListActive)
}

func (s *Server) countInactive(ctx context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	return s.count(ctx, rq, driver.ListInactive)
}

func (s *Server) count(ctx context.Context, rq *call, filter driver.ListFilter) (wire.Message, error) {
	refs, err := s.list(ctx, rq, filter)
	if err != nil {
		return nil, err
	}
	return &proto.Int{Value: int32(len(refs))}, nil
}
