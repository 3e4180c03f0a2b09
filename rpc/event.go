package rpc

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

// maxEvents is how many events may wait to be told to listeners.
const maxEvents = 65536

// eventSerial is the serial of events on the wire. The protocol's comment says
// 0, libvirt's code sends 1, clients do not look.
const eventSerial = 1

// hub knows who listens, and tells them in the order in which things happened.
// What listeners do costs nobody else anything: a frame is only put into their
// queue.
type hub struct {
	srv *Server

	mu        sync.Mutex // guards the fields below
	listeners map[int32]*listener
	nextID    int32
	shares    *quota.Shares
	audiences [2]audience // those that root and the socket's group are in, and others
}

// audience are listeners that events are told one after the other. Who has others
// wait for access checks has the lesser audience wait.
type audience struct {
	lesser bool
	wake   chan struct{} // holds a token when events wait

	// Guarded by hub.mu.
	waiting []happening
	lost    int // events that did not fit
}

func (a *audience) has(l *listener) bool { return a.lesser == (l.client.user.Class == quota.Other) }

// lifecycles are the driver's events as libvirt's virNetworkEventLifecycleType numbers them.
var lifecycles = map[driver.EventKind]int32{
	driver.EventDefined:   0,
	driver.EventUndefined: 1,
	driver.EventStarted:   2,
	driver.EventStopped:   3,
}

// everything is the event of registrations of the extension program: they hear of
// all that happens.
const everything = -1

// listener is one registration: one event of one network, or of all.
type listener struct {
	id      int32
	client  *client
	eventID int32
	network *xml.UUID // nil: all
}

// happening is an event, and when it was.
type happening struct {
	driver.Event
	at time.Time
}

func (h *hub) init(s *Server) {
	h.srv = s
	for i := range h.audiences {
		h.audiences[i] = audience{lesser: i > 0, wake: make(chan struct{}, 1)}
	}
	h.listeners = map[int32]*listener{}
	h.shares = quota.NewShares(int64(s.cfg.Limits.MaxRegistrations))
}

// publish queues an event.
func (h *hub) publish(e driver.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) == 0 {
		return
	}
	now := time.Now()
	for i := range h.audiences {
		a := &h.audiences[i]
		if len(a.waiting) >= maxEvents {
			a.lost++
			continue
		}
		a.waiting = append(a.waiting, happening{e, now})
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// run tells an audience of events until ctx ends.
func (h *hub) run(ctx context.Context, a *audience) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		h.mu.Lock()
		events, lost := a.waiting, a.lost
		a.waiting, a.lost = nil, 0
		h.mu.Unlock()
		if lost > 0 {
			h.srv.log.Error("events were lost, because access checks took too long", "count", lost)
		}
		for _, e := range events {
			h.tell(ctx, a, e)
		}
	}
}

// tell sends one event to those who may know.
func (h *hub) tell(ctx context.Context, a *audience, e happening) {
	for _, l := range h.interested(a, e.Event) {
		if h.srv.cfg.Access != nil {
			ok, err := h.srv.cfg.Access.Allowed(ctx, l.client.caller(), Access{objectNetwork, "getattr", &e.Network, nil})
			if err != nil {
				h.srv.complain(l.client.user, "checking who may see an event", "network", e.Network.Name, "err", err)
			}
			if !ok {
				continue
			}
		}
		b, err := l.frame(e)
		if err != nil {
			h.srv.log.Error("encoding an event", "network", e.Network.Name, "err", err)
			return
		}
		l.client.send(outgoing{frame: b})
	}
}

// interested returns the listeners for an event. libvirt's protocol has no words
// for what is behind the change of metadata.
func (h *hub) interested(a *audience, e driver.Event) []*listener {
	eventID := int32(everything)
	if _, ok := lifecycles[e.Kind]; ok {
		eventID = proto.EventIDLifecycle
	} else if e.Kind == driver.EventMetadata {
		eventID = proto.EventIDMetadata
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*listener
	for _, l := range h.listeners {
		if a.has(l) && (l.eventID == eventID || l.eventID == everything) && (l.network == nil || *l.network == e.Network.UUID) {
			found = append(found, l)
		}
	}
	return found
}

// frame encodes an event for a listener, in the words of the program that it came
// by.
func (l *listener) frame(e happening) ([]byte, error) {
	if l.eventID == everything {
		return toldFrame(l.id, e)
	}
	return eventFrame(l.id, e.Event)
}

// eventFrame encodes an event for a listener of libvirt's program.
func eventFrame(id int32, e driver.Event) ([]byte, error) {
	h := wire.Header{Program: proto.Program, Version: proto.Version, Type: wire.TypeMessage, Serial: eventSerial}
	if e.Kind == driver.EventMetadata {
		h.Procedure = proto.NetworkEventMetadataChange
		m := proto.MetadataChange{CallbackID: id, Network: networkOf(e.Network), Type: int32(e.MetadataType)}
		if e.MetadataType == driver.MetadataElement {
			m.URI = &e.URI
		}
		return wire.Frame(h, &m)
	}
	h.Procedure = proto.NetworkEventLifecycle
	return wire.Frame(h, &proto.Lifecycle{CallbackID: id, Network: networkOf(e.Network), Event: lifecycles[e.Kind]})
}

// add registers a listener. answer sends the reply with its id: no event may
// overtake that.
func (h *hub) add(l *listener, answer func(id int32)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range l.client.listens {
		if other.eventID == l.eventID && sameNetwork(other.network, l.network) {
			return fail(codeInvalidArg, domainNone, "event callback already tracked")
		}
	}
	c := l.client
	switch {
	case len(c.listens) >= h.srv.cfg.Limits.MaxClientRegistrations:
		return fail(codeFailed, domainRPC, "too many event callbacks: a connection may have %d", h.srv.cfg.Limits.MaxClientRegistrations)
	case !h.shares.Fits(c.user, 1):
		return fail(codeFailed, domainRPC, "too many event callbacks: the connections of user %d have %d", c.user.UID, h.shares.Of(c.user.UID))
	}
	l.id = h.newID()
	if !c.departed {
		h.shares.Take(c.user, 1)
		h.listeners[l.id] = l
		c.listens = append(c.listens, l)
	}
	answer(l.id)
	return nil
}

// newID returns an id that no listener has. One is used again after all others
// were: a client that registers without end must not use them up.
func (h *hub) newID() int32 {
	for {
		id := h.nextID
		h.nextID = (h.nextID + 1) & math.MaxInt32
		if _, taken := h.listeners[id]; !taken {
			return id
		}
	}
}

func sameNetwork(a, b *xml.UUID) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// remove ends a registration of a client: one of the extension program, or one of
// libvirt's.
func (h *hub) remove(c *client, id int32, extension bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(c.listens, func(l *listener) bool { return l.id == id && (l.eventID == everything) == extension })
	if i < 0 {
		return fail(codeInternal, domainRPC, "network event callback %d not registered", id)
	}
	delete(h.listeners, id)
	h.shares.Give(c.user, 1)
	c.listens = slices.Delete(c.listens, i, i+1)
	return nil
}

// depart ends all registrations of a client that is gone.
func (h *hub) depart(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.departed = true
	for _, l := range c.listens {
		delete(h.listeners, l.id)
		h.shares.Give(c.user, 1)
	}
	c.listens = nil
}

func (s *Server) register(ctx context.Context, rq *call, a proto.EventArgs) (wire.Message, error) {
	if a.EventID < proto.EventIDLifecycle || a.EventID > proto.EventIDMetadata {
		return nil, fail(codeInternal, domainRPC, "unsupported network event ID %d", a.EventID)
	}
	return s.listen(ctx, rq, a.EventID, a.Network)
}

// listen registers a listener and answers.
func (s *Server) listen(ctx context.Context, rq *call, eventID int32, network *proto.Network) (wire.Message, error) {
	if err := s.allowed(ctx, rq, objectConnect, "search_networks", nil, nil); err != nil {
		return nil, err
	}
	l := &listener{client: rq.client, eventID: eventID}
	if network != nil {
		uuid := xml.UUID(network.UUID)
		l.network = &uuid
	}
	return nil, s.events.add(l, func(id int32) { rq.reply(&proto.Int{Value: id}, nil) })
}

// deregistering serves the end of a registration of the extension program, or of
// libvirt's.
func deregistering(extension bool) handler {
	return bind(func(s *Server, ctx context.Context, rq *call, a proto.Int) (wire.Message, error) {
		if err := s.allowed(ctx, rq, objectConnect, "read", nil, nil); err != nil {
			return nil, err
		}
		return nil, s.events.remove(rq.client, a.Value, extension)
	})
}
