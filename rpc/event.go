package rpc

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/driver"
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
	srv  *Server
	wake chan struct{} // holds a token when events wait

	mu        sync.Mutex // guards the fields below
	listeners map[int32]*listener
	nextID    int32
	waiting   []happening
	lost      int // events that did not fit
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
	h.wake = make(chan struct{}, 1)
	h.listeners = map[int32]*listener{}
}

// publish queues an event.
func (h *hub) publish(e driver.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) == 0 {
		return
	}
	if len(h.waiting) >= maxEvents {
		h.lost++
		return
	}
	h.waiting = append(h.waiting, happening{e, time.Now()})
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run tells events until ctx ends.
func (h *hub) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		h.mu.Lock()
		events, lost := h.waiting, h.lost
		h.waiting, h.lost = nil, 0
		h.mu.Unlock()
		if lost > 0 {
			h.srv.log.Error("events were lost, because access checks took too long", "count", lost)
		}
		for _, e := range events {
			h.tell(ctx, e)
		}
	}
}

// tell sends one event to those who may know.
func (h *hub) tell(ctx context.Context, e happening) {
	for _, l := range h.interested(e.Event) {
		if h.srv.cfg.Access != nil {
			ok, err := h.srv.cfg.Access.Allowed(ctx, l.client.caller(), Access{objectNetwork, "getattr", &e.Network, nil})
			if err != nil {
				h.srv.log.Warn("checking who may see an event", "network", e.Network.Name, "err", err)
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
		l.client.send(b, nil)
	}
}

// interested returns the listeners for an event. libvirt's protocol has no words
// for what is behind the change of metadata.
func (h *hub) interested(e driver.Event) []*listener {
	eventID := int32(everything)
	switch {
	case e.Kind < driver.EventMetadata:
		eventID = proto.EventIDLifecycle
	case e.Kind == driver.EventMetadata:
		eventID = proto.EventIDMetadata
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*listener
	for _, l := range h.listeners {
		if (l.eventID == eventID || l.eventID == everything) && (l.network == nil || *l.network == e.Network.UUID) {
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
		return wire.Frame(h, m)
	}
	h.Procedure = proto.NetworkEventLifecycle
	return wire.Frame(h, proto.Lifecycle{CallbackID: id, Network: networkOf(e.Network), Event: int32(e.Kind)})
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
	if h.nextID == math.MaxInt32 {
		return fail(codeInternal, domainRPC, "no more event callback IDs")
	}
	l.id = h.nextID
	h.nextID++
	if !l.client.departed {
		h.listeners[l.id] = l
		l.client.listens = append(l.client.listens, l)
	}
	answer(l.id)
	return nil
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
	if l, ok := h.listeners[id]; !ok || l.client != c || (l.eventID == everything) != extension {
		return fail(codeInternal, domainRPC, "network event callback %d not registered", id)
	}
	delete(h.listeners, id)
	c.listens = slices.DeleteFunc(c.listens, func(l *listener) bool { return l.id == id })
	return nil
}

// depart ends all registrations of a client that is gone.
func (h *hub) depart(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.departed = true
	for _, l := range c.listens {
		delete(h.listeners, l.id)
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
	return nil, s.events.add(l, func(id int32) { rq.reply(proto.Int{Value: id}, nil) })
}

func (s *Server) deregister(ctx context.Context, rq *call, a proto.Int) (wire.Message, error) {
	if err := s.allowed(ctx, rq, objectConnect, "read", nil, nil); err != nil {
		return nil, err
	}
	return nil, s.events.remove(rq.client, a.Value, false)
}
