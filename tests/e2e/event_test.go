package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/tests/netnstest"
)

// The numbers of lifecycle events.
const (
	wasDefined = iota
	wasUndefined
	wasStarted
	wasStopped
)

const (
	quietXML  = "<network><name>quiet</name><bridge name='virbr9'/></network>"
	quietPort = `<networkport><uuid>11111111-0000-4000-8000-000000000001</uuid>
<owner><name>vm</name><uuid>22222222-0000-4000-8000-000000000001</uuid></owner><mac address='52:54:00:00:00:01'/></networkport>`
)

// TestEvents: every action tells what it is said to tell, once, and in order;
// the others tell nothing.
func TestEvents(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		startVirbrd(t)
		l := newListener(t)
		c := l.actor

		var quiet proto.Network
		c.must(proto.NetworkDefineXML, &proto.String{Value: quietXML}, &quiet)
		life := func(kinds ...int32) (list []any) {
			for _, kind := range kinds {
				list = append(list, proto.Lifecycle{Network: quiet, Event: kind})
			}
			return list
		}
		meta := func(kind int32, uri *string) []any {
			return []any{proto.MetadataChange{Network: quiet, Type: kind, URI: uri}}
		}
		l.heard("define", life(wasDefined))
		port := proto.Port{Network: quiet, UUID: [16]byte{0x11, 0x11, 0x11, 0x11, 6: 0x40, 8: 0x80, 15: 1}}
		shape := proto.SetParamsArgs{Port: port, Params: []wire.Param{{Field: "outbound.average", Type: wire.ParamUint, Number: 9}}}

		for _, step := range []struct {
			what      string
			procedure int32
			args      wire.Message
			fails     bool
			want      []any
		}{
			{"define again", proto.NetworkDefineXML, &proto.String{Value: withUUID(quiet)}, false, life(wasDefined)},
			{"define what is wrong", proto.NetworkDefineXML, &proto.String{Value: "<network/>"}, true, nil},
			{"autostart", proto.NetworkSetAutostart, &proto.AutostartArgs{Network: quiet, Autostart: 1}, false, nil},
			{"start", proto.NetworkCreate, &quiet, false, life(wasStarted)},
			{"start what runs", proto.NetworkCreate, &quiet, true, nil},
			{"define what runs", proto.NetworkDefineXML, &proto.String{Value: withUUID(quiet)}, false, life(wasDefined)},
			{"update", proto.NetworkUpdate, &proto.UpdateArgs{Network: quiet, Command: 3, Section: 9, ParentIndex: -1, XML: "<portgroup name='g'/>", Flags: 3}, false, nil},
			{"title", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: quiet, Type: 1, Metadata: pointer("T"), Flags: 3}, false, meta(1, nil)},
			{"description", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: quiet, Metadata: pointer("two\nlines")}, false, meta(0, nil)},
			{"element", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: quiet, Type: 2, Metadata: pointer("<x/>"), Key: pointer("k"), URI: pointer("urn:k")}, false, meta(2, pointer("urn:k"))},
			{"no element", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: quiet, Type: 2, URI: pointer("urn:k")}, false, meta(2, pointer("urn:k"))},
			{"metadata that is none", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: quiet, Type: 2, Metadata: pointer("<x"), Key: pointer("k"), URI: pointer("urn:k")}, true, nil},
			{"port", proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: quiet, XML: quietPort}, false, nil},
			{"port parameters", proto.NetworkPortSetParameters, &shape, false, nil},
			{"no port", proto.NetworkPortDelete, &proto.PortFlags{Port: port}, false, nil},
			{"undefine what runs", proto.NetworkUndefine, &quiet, false, life(wasUndefined)},
			{"stop for ever", proto.NetworkDestroy, &quiet, false, life(wasStopped)},
			{"create", proto.NetworkCreateXML, &proto.String{Value: withUUID(quiet)}, false, life(wasStarted)},
			{"make it stay", proto.NetworkDefineXML, &proto.String{Value: withUUID(quiet)}, false, life(wasDefined)},
			{"stop", proto.NetworkDestroy, &quiet, false, life(wasStopped)},
			{"undefine", proto.NetworkUndefine, &quiet, false, life(wasUndefined)},
		} {
			_, e := c.call(step.procedure, step.args)
			if (e != nil) != step.fails {
				t.Errorf("%s: %+v", step.what, e)
			}
			l.heard(step.what, step.want)
		}
	})
}

// withUUID is a document that defines the quiet network again.
func withUUID(n proto.Network) string {
	return strings.Replace(quietXML, "<bridge", "<uuid>"+hexUUID(n.UUID)+"</uuid><bridge", 1)
}

// listener hears of all networks, on the read-only socket, and knows where the
// events of one action end: a network that nobody else touches gets a title.
type listener struct {
	ear, actor *client
	marker     proto.Network
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{ear: dial(t, socketRO, 0), actor: dial(t, socketRW, 0)}
	l.actor.must(proto.NetworkDefineXML, &proto.String{Value: "<network><name>marker</name><forward mode='bridge'/></network>"}, &l.marker)
	l.ear.listen(proto.EventIDLifecycle, nil)
	l.ear.listen(proto.EventIDMetadata, nil)
	return l
}

// heard compares what was told since the last time; the ids of callbacks aside.
func (l *listener) heard(what string, want []any) {
	l.ear.t.Helper()
	l.actor.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: l.marker, Metadata: &what}, nil)
	var got []any
	for {
		switch e := l.ear.hear().(type) {
		case proto.Lifecycle:
			e.CallbackID = 0
			got = append(got, e)
		case proto.MetadataChange:
			if e.Network == l.marker {
				if diff := cmp.Diff(want, got); diff != "" {
					l.ear.t.Errorf("%s told (-want +got):\n%s", what, diff)
				}
				return
			}
			e.CallbackID = 0
			got = append(got, e)
		}
	}
}

// TestManyListeners: a thousand clients listen and hear everything in order,
// while others do not read what they are sent; those lose their connections.
func TestManyListeners(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		startVirbrd(t)
		c := dial(t, socketRW, 0)
		var quiet proto.Network
		c.must(proto.NetworkDefineXML, &proto.String{Value: quietXML}, &quiet)

		const many, rounds = 1000, 5
		listeners := make([]*client, many)
		for i := range listeners {
			listeners[i] = dial(t, socketRO, 0)
			var only *proto.Network
			if i%2 == 0 {
				only = &quiet
			}
			listeners[i].listen(proto.EventIDLifecycle, only)
		}
		var deaf []*client
		for range 3 {
			d := dial(t, socketRO, 0)
			d.listen(proto.EventIDLifecycle, nil)
			d.listen(proto.EventIDMetadata, nil)
			deaf = append(deaf, d)
		}

		var want []int32
		uri := pointer("urn:" + strings.Repeat("x", 1<<20))
		for range rounds {
			want = append(want, wasStarted, wasStopped)
			c.must(proto.NetworkCreate, &quiet, nil)
			c.must(proto.NetworkDestroy, &quiet, nil)
			for range 10 { // more than may wait for one client, in the end
				c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: quiet, Type: 2, URI: uri}, nil)
			}
		}
		for i, l := range listeners {
			var got []int32
			for range want {
				got = append(got, l.hear().(proto.Lifecycle).Event)
			}
			if !slices.Equal(want, got) {
				t.Fatalf("listener %d heard %v, want %v", i, got, want)
			}
		}
		for _, d := range deaf {
			d.ended()
		}
		c.must(proto.NetworkUndefine, &quiet, nil)
		if e := listeners[0].hear().(proto.Lifecycle); e.Event != wasUndefined {
			t.Errorf("heard %+v after the others were dropped", e)
		}
	})
}
