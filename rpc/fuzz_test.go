package rpc_test

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// FuzzConnection: whatever a client sends after it opened the connection, the
// server neither breaks nor keeps anything of it.
func FuzzConnection(f *testing.F) {
	seed := func(procedure int32, args wire.Message) {
		b, err := wire.Frame(header(procedure, 1), args)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	one := testArgs("net", 1)
	seed(proto.ConnectListAllNetworks, &proto.ListArgs{Need: 1})
	seed(proto.NetworkUpdate, &proto.UpdateArgs{Network: one, XML: "<host/>"})
	seed(proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: one, Type: 2, URI: ptr("u"), Key: ptr("k")})
	seed(proto.NetworkPortSetParameters, &proto.SetParamsArgs{Params: []wire.Param{{Field: "inbound.average", Type: wire.ParamUint, Number: 1}}})
	seed(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: []wire.Param{{Field: "user-name", Type: wire.ParamString, Text: "u"}}})
	seed(proto.ConnectNetworkEventRegister, &proto.EventArgs{Network: &one})
	seed(proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureKeepalive})
	seed(proto.ConnectClose, nil)
	name := "network:///system"
	open, err := wire.Frame(header(proto.ConnectOpen, 0), &proto.OpenArgs{Name: &name})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) { storm(t, append(open[:len(open):len(open)], data...)) })
}

// storm sends data to a server of its own, reads all answers and stops it.
func storm(t *testing.T, data []byte) {
	f := newFake(testNet("net", 1, true))
	s, err := rpc.New(rpc.Config{Networks: f, Peer: root})
	if err != nil {
		t.Fatal(err)
	}
	f.tell = s.Publish
	p := newPipes()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []rpc.Listener{{Listener: p}}) }()
	ours, theirs := net.Pipe()
	p.conns <- theirs
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, ours) // ends with the connection
	}()
	_, _ = ours.Write(data) // the server may close first
	_ = ours.Close()
	<-drained
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
