package rpc_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// pipes is a listener whose connections are made by the test, in memory, so
// that time can be a bubble's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// connect makes a connection.
func (p *pipes) connect(t *testing.T) *conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	t.Cleanup(func() { _ = ours.Close() })
	return newConn(t, ours)
}

// bubble runs a server whose time is the bubble's.
func bubble(t *testing.T, cfg rpc.Config, body func(t *testing.T, s *rpc.Server, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if cfg.Peer == nil {
			cfg.Peer = root
		}
		s, err := rpc.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, []rpc.Listener{{Listener: p}}) }()
		body(t, s, p)
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestKeepalive: pings come after 5, 10, 15, 20 and 25 seconds of silence, and
// the end after 30.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	bubble(t, rpc.Config{Networks: newFake()}, func(t *testing.T, _ *rpc.Server, p *pipes) {
		c := p.connect(t)
		time.Sleep(time.Hour) // a client that did not ask is not pinged
		c.must(proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureKeepalive}, nil)
		start := time.Now()
		for i := 1; i <= 5; i++ {
			wantPing(t, c, start.Add(time.Duration(i)*5*time.Second))
		}
		c.closed()
		if silence := time.Since(start); silence != 30*time.Second {
			t.Errorf("closed after %v", silence)
		}
	})
}

func wantPing(t *testing.T, c *conn, when time.Time) {
	t.Helper()
	h, payload := c.next()
	want := wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePing, Type: wire.TypeMessage}
	if h != want || len(payload) > 0 {
		t.Errorf("not a ping: %+v", h)
	}
	if !time.Now().Equal(when) {
		t.Errorf("a ping %v late", time.Since(when))
	}
}

// TestKeepaliveReset: whatever comes in starts the count anew.
func TestKeepaliveReset(t *testing.T) {
	t.Parallel()
	bubble(t, rpc.Config{Networks: newFake()}, func(t *testing.T, _ *rpc.Server, p *pipes) {
		c := p.connect(t)
		c.must(proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureKeepalive}, nil)
		pong := wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePong, Type: wire.TypeMessage}
		for range 20 {
			start := time.Now()
			wantPing(t, c, start.Add(5*time.Second))
			wantPing(t, c, start.Add(10*time.Second))
			time.Sleep(2 * time.Second)
			c.frame(pong, nil)
			synctest.Wait()
		}
		start := time.Now()
		for range 3 {
			time.Sleep(4 * time.Second)
			c.alive()
		}
		wantPing(t, c, start.Add(17*time.Second))
	})
}

// TestKeepaliveBusy: a client that is not listened to, because as many of its
// calls run as may, is not taken for dead.
func TestKeepaliveBusy(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("net", 1, true))
	f.before = func(string) { time.Sleep(time.Hour) }
	bubble(t, rpc.Config{Networks: f}, func(t *testing.T, _ *rpc.Server, p *pipes) {
		c := p.connect(t)
		c.must(proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureKeepalive}, nil)
		c.open(0)
		for range 5 {
			c.send(proto.NetworkIsActive, ptr(testArgs("net", 1)))
		}
		for range 5 {
			if h, _ := c.next(); h.Procedure != proto.NetworkIsActive || h.Program != proto.Program {
				t.Errorf("not a reply: %+v", h)
			}
		}
	})
}

// TestKeepaliveOff: with an interval of nothing there are no pings, but pongs.
func TestKeepaliveOff(t *testing.T) {
	t.Parallel()
	cfg := rpc.Config{Networks: newFake(), Limits: limits(func(l *rpc.Limits) { l.KeepaliveInterval = -1 })}
	bubble(t, cfg, func(t *testing.T, _ *rpc.Server, p *pipes) {
		c := p.connect(t)
		c.must(proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureKeepalive}, nil)
		time.Sleep(time.Hour)
		c.frame(wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePing, Type: wire.TypeMessage}, nil)
		if h, _ := c.next(); h.Procedure != proto.KeepalivePong || h.Program != proto.KeepaliveProgram {
			t.Errorf("not a pong: %+v", h)
		}
	})
}

// TestIdle: the server says when nobody has needed it for long enough.
func TestIdle(t *testing.T) {
	t.Parallel()
	needed := true
	var mu sync.Mutex
	cfg := rpc.Config{Networks: newFake(), IdleTimeout: time.Minute, Active: func() bool {
		mu.Lock()
		defer mu.Unlock()
		return needed
	}}
	bubble(t, cfg, func(t *testing.T, s *rpc.Server, p *pipes) {
		idle := func() bool {
			synctest.Wait()
			select {
			case <-s.Idle():
				return true
			default:
				return false
			}
		}
		c := p.connect(t)
		time.Sleep(time.Hour)
		if idle() {
			t.Error("idle with a client")
		}
		_ = c.Close()
		time.Sleep(time.Hour)
		if idle() {
			t.Error("idle with an active network")
		}
		mu.Lock()
		needed = false
		mu.Unlock()
		c = p.connect(t)
		_ = c.Close()
		synctest.Wait()
		time.Sleep(time.Minute - time.Nanosecond)
		if idle() {
			t.Error("idle too early")
		}
		time.Sleep(time.Nanosecond)
		if !idle() {
			t.Error("not idle after a minute")
		}
	})
}

// TestAuthTimeout: who does not authenticate makes room for others. The time
// that polkit takes does not count.
func TestAuthTimeout(t *testing.T) {
	t.Parallel()
	j := &judge{answer: func(string, map[string]string) error { time.Sleep(5 * time.Minute); return nil }}
	cfg := rpc.Config{
		Networks: newFake(), AuthRW: rpc.AuthPolkit, Authorizer: j,
		Peer: func(net.Conn) (rpc.Peer, error) { return rpc.Peer{PID: 5, UID: 1000, StartTime: 9}, nil },
	}
	bubble(t, cfg, func(t *testing.T, _ *rpc.Server, p *pipes) {
		silent, patient := p.connect(t), p.connect(t)
		start := time.Now()
		patient.send(proto.AuthPolkit, nil)
		silent.closed()
		if waited := time.Since(start); waited != 30*time.Second {
			t.Errorf("dropped after %v", waited)
		}
		if h, _ := patient.next(); h.Status != wire.StatusOK {
			t.Errorf("the patient one: %+v", h)
		}
		time.Sleep(time.Hour)
		patient.alive()
	})
}

// TestStallTimeout: a client that never finishes a large frame gives back its
// right to one.
func TestStallTimeout(t *testing.T) {
	t.Parallel()
	bubble(t, rpc.Config{Networks: newFake()}, func(t *testing.T, _ *rpc.Server, p *pipes) {
		c := p.connect(t)
		start := time.Now()
		c.raw(words(t, "02000004 20008086 00000001 00000029 00000000 00000000 00000000"))
		c.raw(make([]byte, 100<<10))
		c.closed()
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("dropped after %v", waited)
		}
	})
}
