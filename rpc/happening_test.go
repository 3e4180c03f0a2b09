package rpc_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// told reads the next event of the extension program.
func told(c *conn) proto.Happening {
	c.t.Helper()
	h, payload := c.next()
	want := wire.Header{Program: proto.ExtensionProgram, Version: proto.ExtensionVersion, Procedure: proto.EventTold, Type: wire.TypeMessage, Serial: 1}
	if h != want {
		c.t.Fatalf("header %+v", h)
	}
	var got proto.Happening
	decode(c.t, payload, &got)
	return got
}

// TestHappenings: what is told of each kind of event to who registered for it, and
// that clients of libvirt's program hear nothing of what it has no words for.
func TestHappenings(t *testing.T) {
	t.Parallel()
	s, socket := serveServer(t, rpc.Config{Networks: newFake()})
	net, other := testArgs("net", 1), testArgs("other", 2)
	stock, silent, c := login(t, socket), login(t, socket), login(t, socket)
	listen(stock, proto.EventIDLifecycle, nil)
	listen(stock, proto.EventIDMetadata, nil)
	var id proto.Int
	c.extended(proto.EventRegister, &proto.EventFilter{Network: &net}, &id)
	from := time.Now()
	for _, tt := range []struct {
		event driver.Event
		want  proto.Happening
	}{
		{driver.Event{Kind: driver.EventStarted}, proto.Happening{Kind: proto.EventStarted}},
		{driver.Event{Kind: driver.EventMetadata, MetadataType: 1}, proto.Happening{Kind: proto.EventMetadata, Detail: "title"}},
		{driver.Event{Kind: driver.EventMetadata, MetadataType: 2, URI: "urn:x"}, proto.Happening{Kind: proto.EventMetadata, Detail: "urn:x"}},
		{driver.Event{Kind: driver.EventHealed, By: "n\x1bft (pid 1)", Networks: 3, Took: time.Millisecond},
			proto.Happening{Kind: proto.EventHealed, By: "n?ft (pid 1)", Count: 3, Took: 1e6}},
		{driver.Event{Kind: driver.EventAccepted, By: "ufw (pid 1)", Networks: 1, Took: 5}, proto.Happening{Kind: proto.EventAccepted, By: "ufw (pid 1)", Count: 1, Took: 5}},
		{driver.Event{Kind: driver.EventDnsmasqDied, Deaths: 2, Wait: time.Second}, proto.Happening{Kind: proto.EventDnsmasqDied, Count: 2, Wait: 1e9}},
		{driver.Event{Kind: driver.EventDnsmasqStarted, Deaths: 2}, proto.Happening{Kind: proto.EventDnsmasqStarted, Count: 2}},
		{driver.Event{Kind: driver.EventRestored, Networks: 2, Reason: "address", Took: time.Millisecond},
			proto.Happening{Kind: proto.EventRestored, Count: 2, Detail: "address", Took: 1e6}},
		{driver.Event{Kind: driver.EventDnsmasqFailed, Deaths: 2, Reason: "no"}, proto.Happening{Kind: proto.EventDnsmasqFailed, Count: 2, Detail: "no"}},
		{driver.Event{Kind: driver.EventGuest, Guest: "web1", Leading: 2, Was: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Now: make([]netip.Addr, 20)},
			proto.Happening{Kind: proto.EventGuest, Detail: "web1", Count: 2, Was: []string{"192.0.2.1"}, Now: invalid(proto.MaxEventAddresses)}},
	} {
		tt.event.Network = refOf(other)
		s.Publish(tt.event)
		tt.event.Network = refOf(net)
		s.Publish(tt.event)
		got := told(c)
		if at := time.Unix(0, got.Time); at.Before(from) || at.After(time.Now()) {
			t.Errorf("it was at %v", at)
		}
		got.Time = 0
		tt.want.CallbackID, tt.want.Network = id.Value, net
		if tt.want.Was == nil {
			tt.want.Was, tt.want.Now = []string{}, []string{}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for range 2 * 3 { // those that libvirt's protocol has words for, of both networks
		if h, _ := stock.next(); h.Program != proto.Program {
			t.Errorf("a client of libvirt's program is told %+v", h)
		}
	}
	stock.alive()
	silent.alive()
}

func invalid(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = netip.Addr{}.String()
	}
	return list
}

// TestHappeningRegistration: one of a kind for each client; and each program ends
// its own registrations only.
func TestHappeningRegistration(t *testing.T) {
	t.Parallel()
	s, socket := serveServer(t, rpc.Config{Networks: newFake()})
	net := testArgs("net", 1)
	c := login(t, socket)
	all, life := proto.Int{}, listen(c, proto.EventIDLifecycle, nil)
	c.extended(proto.EventRegister, &proto.EventFilter{}, &all)
	c.extended(proto.EventRegister, &proto.EventFilter{Network: &net}, &proto.Int{})
	c.wantExtension(proto.EventRegister, &proto.EventFilter{}, 8, 0, "invalid argument: event callback already tracked")
	c.wantExtension(proto.EventDeregister, &proto.Int{Value: life}, 1, 7, "internal error: network event callback 0 not registered")
	c.refused(proto.ConnectNetworkEventDeregister, &all, 1, 7, "internal error: network event callback 1 not registered")
	c.wantExtension(proto.EventTold, nil, 39, 7, "unknown procedure: 9")
	c.extended(proto.EventDeregister, &all, &proto.Void{})
	s.Publish(driver.Event{Kind: driver.EventHealed, Network: refOf(testArgs("other", 2))})
	c.alive()
	_ = c.Close()
	s.Publish(driver.Event{Kind: driver.EventHealed, Network: refOf(net)})
	login(t, socket).alive()
}

// TestHappeningOverflow: who does not read loses his connection, and nobody waits
// for him.
func TestHappeningOverflow(t *testing.T) {
	t.Parallel()
	limits := rpc.DefaultLimits()
	limits.QueueFrames, limits.QueueBytes = 8, 1<<10
	s, socket := serveServer(t, rpc.Config{Networks: newFake(), Limits: limits})
	deaf, c := login(t, socket), login(t, socket)
	deaf.extended(proto.EventRegister, &proto.EventFilter{}, &proto.Int{})
	var got proto.Int
	for s.Clients() == 2 {
		for range 100 {
			s.Publish(driver.Event{Kind: driver.EventHealed, By: "nft (pid 1)"})
		}
		c.must(proto.ConnectNumOfNetworks, nil, &got)
	}
}
