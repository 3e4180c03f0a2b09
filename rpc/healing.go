package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// healings are the last times that rules were put back, the oldest first.
type healings struct {
	mu   sync.Mutex // guards list
	list []healing
}

type healing struct {
	network driver.Ref
	at      time.Time
	by      string
}

// note keeps a healing, and forgets the oldest one when there are many.
func (h *healings) note(e driver.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == proto.MaxHealings {
		h.list = append(h.list[:0], h.list[1:]...)
	}
	h.list = append(h.list, healing{e.Network, time.Now(), printable(e.By)})
}

func (h *healings) all() []healing {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]healing(nil), h.list...)
}

// healed lists the healings of networks that the caller may see.
func (s *Server) healed(ctx context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	if err := s.allowed(ctx, rq, objectConnect, "search_networks", nil, nil); err != nil {
		return nil, err
	}
	result := proto.Healings{}
	caller := rq.client.caller()
	for _, h := range s.healings.all() {
		if s.cfg.Access != nil {
			ok, err := s.cfg.Access.Allowed(ctx, caller, Access{objectNetwork, "getattr", &h.network, nil})
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		result.Healings = append(result.Healings, proto.Healing{Network: networkOf(h.network), Time: h.at.UnixNano(), By: h.by})
	}
	return result, nil
}
