package rpc_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// listen registers for an event and returns the callback's id.
func listen(c *conn, eventID int32, net *proto.Network) int32 {
	c.t.Helper()
	var id proto.Int
	c.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{EventID: eventID, Network: net}, &id)
	return id.Value
}

// TestEvents: what is sent for each kind of event, and to whom.
func TestEvents(t *testing.T) {
	t.Parallel()
	s, socket := serveServer(t, rpc.Config{Networks: newFake()})
	net, other := testArgs("net", 1), testArgs("other", 2)
	c := login(t, socket)
	s.Publish(driver.Event{Network: refOf(net)}) // nobody listens yet
	all := listen(c, 0, nil)
	one := listen(c, 0, &other) // by UUID, and whether or not it exists
	meta := listen(c, 1, nil)
	if all != 0 || one != 1 || meta != 2 {
		t.Errorf("callback ids %d, %d, %d", all, one, meta)
	}
	for number, kind := range []driver.EventKind{driver.EventDefined, driver.EventUndefined, driver.EventStarted, driver.EventStopped} {
		s.Publish(driver.Event{Kind: kind, Network: refOf(net)})
		h, payload := c.next()
		want := wire.Header{Program: proto.Program, Version: 1, Procedure: proto.NetworkEventLifecycle, Type: wire.TypeMessage, Serial: 1}
		if h != want {
			t.Errorf("header %+v", h)
		}
		var got proto.Lifecycle
		decode(t, payload, &got)
		if diff := cmp.Diff(proto.Lifecycle{CallbackID: all, Network: net, Event: int32(number)}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}

	s.Publish(driver.Event{Kind: driver.EventStarted, Network: refOf(other)})
	ids := map[int32]bool{}
	for range 2 {
		_, payload := c.next()
		var got proto.Lifecycle
		decode(t, payload, &got)
		ids[got.CallbackID] = true
	}
	if !ids[all] || !ids[one] {
		t.Errorf("told callbacks %v", ids)
	}

	for _, tt := range []struct {
		kind int
		uri  *string
	}{{0, nil}, {1, nil}, {2, ptr("http://x")}} {
		e := driver.Event{Kind: driver.EventMetadata, Network: refOf(net), MetadataType: tt.kind}
		if tt.uri != nil {
			e.URI = *tt.uri
		}
		s.Publish(e)
		h, payload := c.next()
		if h.Procedure != proto.NetworkEventMetadataChange {
			t.Errorf("procedure %d", h.Procedure)
		}
		var got proto.MetadataChange
		decode(t, payload, &got)
		if diff := cmp.Diff(proto.MetadataChange{CallbackID: meta, Network: net, Type: int32(tt.kind), URI: tt.uri}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}

	c.must(proto.ConnectNetworkEventDeregister, &proto.Int{Value: all}, nil)
	s.Publish(driver.Event{Kind: driver.EventStarted, Network: refOf(net)})
	c.alive()
}

// TestEventRegistration: what is refused, and that ids are the daemon's.
func TestEventRegistration(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake()})
	a, b := login(t, socket), login(t, socket)
	net := testArgs("net", 1)
	listen(a, 0, nil)
	listen(a, 0, &net)
	if id := listen(b, 0, nil); id != 2 {
		t.Errorf("another client's callback is %d", id)
	}
	const tracked = "invalid argument: event callback already tracked"
	again := testArgs("the same by another name", 1)
	a.refused(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, 8, 0, tracked)
	a.refused(proto.ConnectNetworkEventRegister, &proto.EventArgs{Network: &again}, 8, 0, tracked)
	a.refused(proto.ConnectNetworkEventDeregister, &proto.Int{Value: 2}, 1, 7, "internal error: network event callback 2 not registered")
	a.must(proto.ConnectNetworkEventDeregister, &proto.Int{Value: 0}, nil)
	if id := listen(a, 0, nil); id != 3 {
		t.Errorf("an id was used again: %d", id)
	}
}

// TestEventAfterReply: no event comes before the reply that tells its
// callback's id.
func TestEventAfterReply(t *testing.T) {
	t.Parallel()
	s, socket := serveServer(t, rpc.Config{Networks: newFake()})
	for range 50 {
		c := login(t, socket)
		var flood sync.WaitGroup
		flood.Go(func() {
			for range 1000 { // fewer than a client's queue holds
				s.Publish(driver.Event{Kind: driver.EventStarted})
			}
		})
		id := listen(c, 0, nil) // which wants the reply to be the next frame
		flood.Wait()
		s.Publish(driver.Event{Kind: driver.EventStarted})
		_, payload := c.next()
		var got proto.Lifecycle
		if decode(t, payload, &got); got.CallbackID != id {
			t.Errorf("callback %d is told as %d", id, got.CallbackID)
		}
		_ = c.Close()
	}
}

// TestEventListeners: a thousand listeners, of which one does not read and one
// is gone, all hear everything in order.
func TestEventListeners(t *testing.T) {
	t.Parallel()
	const many, events = 1000, 10
	s, socket := serveServer(t, rpc.Config{Networks: newFake()})
	var clients []*conn
	for range many {
		c := login(t, socket)
		listen(c, 0, nil)
		clients = append(clients, c)
	}
	_ = clients[0].Close()
	for i := range events {
		net := testArgs(fmt.Sprint(i), byte(i))
		s.Publish(driver.Event{Kind: driver.EventStarted, Network: refOf(net)})
	}
	for _, c := range clients[2:] { // the second one does not read
		for i := range events {
			_, payload := c.next()
			var got proto.Lifecycle
			decode(t, payload, &got)
			if got.Network.Name != fmt.Sprint(i) {
				t.Fatalf("event %d is about %q", i, got.Network.Name)
			}
		}
	}
}

func refOf(n proto.Network) driver.Ref { return driver.Ref{Name: n.Name, UUID: n.UUID} }
