package rpc

import (
	"context"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

func (s *Server) uplinks(ctx context.Context, rq *call, a proto.Network) (wire.Message, error) {
	ref := refOf(a)
	if err := s.allowedNetwork(ctx, rq, ref, "read"); err != nil {
		return nil, err
	}
	list, err := s.cfg.Networks.Uplinks(ctx, ref)
	if err != nil {
		return nil, err
	}
	result := proto.Uplinks{Uplinks: make([]proto.Uplink, len(list))}
	for i := range list {
		u := &result.Uplinks[i]
		u.XML, u.Phase = list[i].Uplink.XML(), phases[list[i].Phase]
		for _, w := range list[i].Ways {
			gateway := ""
			if w.Gateway.IsValid() {
				gateway = w.Gateway.String()
			}
			u.Ways = append(u.Ways, proto.UplinkWay{IPv6: w.IPv6, Used: w.Used, Since: w.Since, Gateway: gateway, Reason: w.Reason})
		}
	}
	return &result, nil
}
