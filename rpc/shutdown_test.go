package rpc_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// TestShutdown: a running call ends and is answered, then the connection is
// closed; what comes after the stop is not read. No goroutine is left.
func TestShutdown(t *testing.T) {
	t.Parallel()
	g := newGate()
	f := newFake(testNet("net", 1, false))
	f.before = g.hold
	s, err := rpc.New(rpc.Config{Networks: f})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := rpc.Listen(rpc.SocketConfig{Path: path, Mode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []rpc.Listener{l}) }()
	idler := login(t, path)
	c := login(t, path)
	c.send(proto.NetworkCreate, ptr(testArgs("net", 1)))
	g.wait(t, 1)
	stop()
	idler.closed()
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("a client connected to a server that stops")
	}
	close(g.open)
	if h, _ := c.next(); h.Procedure != proto.NetworkCreate || h.Status != wire.StatusOK {
		t.Errorf("not the reply: %+v", h)
	}
	c.closed()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestShutdownTimeout: calls that take too long have their context ended.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	f := &stuck{fake: newFake(testNet("net", 1, false)), entered: make(chan struct{})}
	s, err := rpc.New(rpc.Config{Networks: f, Limits: limits(func(l *rpc.Limits) { l.StopTimeout = time.Millisecond })})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := rpc.Listen(rpc.SocketConfig{Path: path, Mode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []rpc.Listener{l}) }()
	c := login(t, path)
	c.send(proto.NetworkCreate, ptr(testArgs("net", 1)))
	<-f.entered
	stop()
	_, payload := c.next()
	if e := decodeError(t, payload); *e.Message != "operation failed: the daemon is stopping" {
		t.Errorf("got %q", *e.Message)
	}
	c.closed()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// stuck is a driver whose start ends with its context only.
type stuck struct {
	*fake
	entered chan struct{}
}

func (s *stuck) Start(ctx context.Context, _ driver.Ref) error {
	close(s.entered)
	<-ctx.Done()
	return ctx.Err()
}
