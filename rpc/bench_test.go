package rpc_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
)

// benchServe is serve for benchmarks.
func benchServe(b *testing.B, f *fake) string {
	b.Helper()
	s, err := rpc.New(rpc.Config{Networks: f})
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "sock")
	l, err := rpc.Listen(rpc.SocketConfig{Path: path, Mode: 0o700})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []rpc.Listener{l}) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return path
}

// BenchmarkConnect is what virtqemud does for each operation: connect, open,
// one call, close.
func BenchmarkConnect(b *testing.B) {
	socket := benchServe(b, newFake(testNet("net", 1, true)))
	for b.Loop() {
		c, err := quickLogin(socket)
		if err != nil {
			b.Fatal(err)
		}
		if err := quickCall(c, proto.NetworkLookupByName, &proto.String{Value: "net"}); err != nil {
			b.Fatal(err)
		}
		if err := quickCall(c, proto.ConnectClose, nil); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}

// BenchmarkCall is one call on an open connection.
func BenchmarkCall(b *testing.B) {
	c, err := quickLogin(benchServe(b, newFake(testNet("net", 1, true))))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := quickCall(c, proto.NetworkIsActive, ptr(testArgs("net", 1))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList is a list of 200 networks.
func BenchmarkList(b *testing.B) {
	f := newFake()
	for i := range 200 {
		n := testNet(fmt.Sprint("net", i), byte(i), true)
		f.nets[n.ref.UUID] = n
	}
	c, err := quickLogin(benchServe(b, f))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := quickCall(c, proto.ConnectListAllNetworks, &proto.ListArgs{Need: 1, Flags: 3}); err != nil {
			b.Fatal(err)
		}
	}
}
