package rpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// recentEvents is the last events since the daemon started, the oldest first.
type recentEvents struct {
	mu   sync.Mutex // guards list
	list []happening
}

// note keeps an event, and forgets the oldest one when there are many.
func (h *recentEvents) note(e driver.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == proto.MaxRecentEvents {
		h.list = append(h.list[:0], h.list[1:]...)
	}
	h.list = append(h.list, happening{e, time.Now()})
}

func (h *recentEvents) all() []happening {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// listEvents lists the last events of networks that the caller may see.
func (s *Server) listEvents(ctx context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	if err := s.allowed(ctx, rq, objectConnect, "search_networks", nil, nil); err != nil {
		return nil, err
	}
	events, err := visible(ctx, s, rq, s.recent.all(), func(h *happening) Access {
		return Access{Object: objectNetwork, Network: &h.Network}
	})
	if err != nil {
		return nil, err
	}
	result := proto.Happenings{}
	for _, e := range events {
		result.Events = append(result.Events, toldOf(e))
	}
	return &result, nil
}
