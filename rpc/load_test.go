package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// limits are the default ones, changed.
func limits(change func(*rpc.Limits)) rpc.Limits {
	l := rpc.DefaultLimits()
	change(&l)
	return l
}

// gate makes calls of the fake wait, and counts those that do.
type gate struct {
	entered chan string
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 1000), make(chan struct{})} }

func (g *gate) hold(op string) {
	g.entered <- op
	<-g.open
}

// wait returns when so many calls are held.
func (g *gate) wait(t *testing.T, calls int) {
	t.Helper()
	timeout := time.After(patience)
	for range calls {
		select {
		case <-g.entered:
		case <-timeout:
			t.Fatal("a call does not reach the driver")
		}
	}
}

// TestPipeline: calls of one client run side by side, up to the limit; then
// the socket is not read. Every reply carries its call's serial.
func TestPipeline(t *testing.T) {
	t.Parallel()
	const calls = 12
	for _, atOnce := range []int{5, calls} {
		t.Run(fmt.Sprint(atOnce), func(t *testing.T) {
			t.Parallel()
			g := newGate()
			f := newFake(testNet("net", 1, true))
			f.before = g.hold
			socket := serve(t, rpc.Config{Networks: f, Limits: limits(func(l *rpc.Limits) {
				l.MaxClientRequests, l.PrioWorkers = atOnce, 50
			})})
			c := login(t, socket)
			waiting := map[uint32]bool{}
			for range calls {
				waiting[c.send(proto.NetworkIsActive, ptr(testArgs("net", 1)))] = true
			}
			c.frame(wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePing, Type: wire.TypeMessage}, nil)
			g.wait(t, atOnce)
			other := login(t, socket) // somebody else is not kept waiting
			var uri proto.String
			other.must(proto.ConnectGetURI, nil, &uri)
			if len(g.entered) > 0 {
				t.Errorf("more than %d calls run at once", atOnce)
			}
			close(g.open)
			for pong := false; len(waiting) > 0 || !pong; {
				h, _ := c.next()
				switch {
				case h.Program == proto.KeepaliveProgram && !pong:
					pong = true
				case h.Program == proto.Program && waiting[h.Serial] && h.Status == wire.StatusOK:
					delete(waiting, h.Serial)
				default:
					t.Fatalf("nobody waits for %+v", h)
				}
			}
			c.alive()
		})
	}
}

// TestSlowCall: a call that takes its time holds up neither others of its
// client, nor pongs.
func TestSlowCall(t *testing.T) {
	t.Parallel()
	g := newGate()
	f := newFake(testNet("net", 1, false))
	f.before = func(op string) {
		if op == "Start" {
			g.hold(op)
		}
	}
	c := login(t, serve(t, rpc.Config{Networks: f}))
	slow := c.send(proto.NetworkCreate, ptr(testArgs("net", 1)))
	g.wait(t, 1)
	c.must(proto.NetworkIsActive, ptr(testArgs("net", 1)), nil)
	c.frame(wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePing, Type: wire.TypeMessage, Serial: 5, Status: 1}, &proto.Int{})
	if h, payload := c.next(); h != (wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePong, Type: wire.TypeMessage}) || len(payload) > 0 {
		t.Errorf("not a pong: %+v", h)
	}
	close(g.open)
	if h, _ := c.next(); h.Serial != slow {
		t.Errorf("not the reply: %+v", h)
	}
}

// TestWorkers: calls that change something are bounded for all clients
// together, and quick ones have workers of their own.
func TestWorkers(t *testing.T) {
	t.Parallel()
	g := newGate()
	f := newFake(testNet("net", 1, true))
	f.before = func(op string) {
		if op == "Destroy" {
			g.hold(op)
		}
	}
	socket := serve(t, rpc.Config{Networks: f, Limits: limits(func(l *rpc.Limits) { l.MaxWorkers = 3 })})
	var clients []*conn
	for range 6 {
		c := login(t, socket)
		c.send(proto.NetworkDestroy, ptr(testArgs("net", 1)))
		clients = append(clients, c)
	}
	g.wait(t, 3)
	login(t, socket).must(proto.NetworkIsActive, ptr(testArgs("net", 1)), nil)
	if len(g.entered) > 0 {
		t.Error("more calls run than there are workers")
	}
	close(g.open)
	for _, c := range clients {
		if h, _ := c.next(); h.Procedure != proto.NetworkDestroy {
			t.Errorf("not the reply: %+v", h)
		}
	}
}

// TestAutostartWaits: setting autostart waits for whoever changes the network,
// and must not take a worker of the quick calls meanwhile.
func TestAutostartWaits(t *testing.T) {
	t.Parallel()
	g := newGate()
	f := newFake(testNet("net", 1, true))
	f.before = func(op string) {
		if op == "SetAutostart" {
			g.hold(op)
		}
	}
	socket := serve(t, rpc.Config{Networks: f, Limits: limits(func(l *rpc.Limits) { l.PrioWorkers = 1 })})
	c := login(t, socket)
	waiting := c.send(proto.NetworkSetAutostart, &proto.AutostartArgs{Network: testArgs("net", 1), Autostart: 1})
	g.wait(t, 1)
	login(t, socket).must(proto.NetworkIsActive, ptr(testArgs("net", 1)), nil)
	close(g.open)
	if h, _ := c.next(); h.Serial != waiting {
		t.Errorf("not the reply: %+v", h)
	}
}

// TestPanic: a handler that breaks costs an error, not the connection.
func TestPanic(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("net", 1, true))
	f.before = func(op string) {
		if op == "BridgeName" {
			panic("test")
		}
	}
	c := login(t, serve(t, rpc.Config{Networks: f}))
	e := c.refused(proto.NetworkGetBridgeName, ptr(testArgs("net", 1)), 1, 7, "Library function returned error but did not set virError")
	if e.Str1 != nil || e.Int1 != 0 {
		t.Errorf("not libvirt's shape: %+v", e)
	}
	c.must(proto.NetworkIsActive, ptr(testArgs("net", 1)), nil)
}

// TestGone: what a client began is finished without it, and a client that
// half-closes is not answered.
func TestGone(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*conn) error{
		"closes":      func(c *conn) error { return c.Close() },
		"half-closes": func(c *conn) error { return c.Conn.(*net.UnixConn).CloseWrite() },
		"breaks off within a frame": func(c *conn) error {
			c.raw(words(t, "02000004 20008086 00000001 00000029 00000000 00000000 00000000 00000010"))
			return c.Conn.(*net.UnixConn).CloseWrite()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			f := newFake(testNet("net", 1, false))
			f.before = g.hold
			started := make(chan driver.Event, 1)
			f.tell = func(e driver.Event) { started <- e }
			c := login(t, serve(t, rpc.Config{Networks: f}))
			c.send(proto.NetworkCreate, ptr(testArgs("net", 1)))
			g.wait(t, 1)
			if err := leave(c); err != nil {
				t.Fatal(err)
			}
			if name != "closes" {
				c.closed()
			}
			close(g.open)
			select {
			case <-started:
			case <-time.After(patience):
				t.Error("the network was not started")
			}
		})
	}
}

// TestNotReading: a client that does not read loses its connection, and costs
// nobody else anything.
func TestNotReading(t *testing.T) {
	t.Parallel()
	n := testNet("net", 1, true)
	n.doc = strings.Repeat("x", 1<<20)
	s, socket := serveServer(t, rpc.Config{Networks: newFake(n), Limits: limits(func(l *rpc.Limits) {
		l.QueueFrames, l.QueueBytes = 100, 1<<20
	})})
	deaf := login(t, socket)
	deaf.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, nil)
	other := login(t, socket)
	other.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, nil)

	// Two replies fill the socket, then events pile up behind them.
	deaf.send(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: testArgs("net", 1)})
	deaf.send(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: testArgs("net", 1)})
	other.must(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: testArgs("net", 1)}, nil)
	for range 2000 {
		s.Publish(driver.Event{Kind: driver.EventStarted, Network: n.ref})
		if h, _ := other.next(); h.Procedure != proto.NetworkEventLifecycle {
			t.Fatalf("not an event: %+v", h)
		}
	}
	if _, err := io.Copy(io.Discard, deaf.Conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection of the client that does not read: %v", err)
	}
	other.alive()
}

// TestWriteTimeout: a client that reads nothing at all is dropped in time.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	n := testNet("net", 1, true)
	n.doc = strings.Repeat("x", 4<<20)
	socket := serve(t, rpc.Config{Networks: newFake(n), Limits: limits(func(l *rpc.Limits) { l.WriteTimeout = 50 * time.Millisecond })})
	c := login(t, socket)
	c.send(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: testArgs("net", 1)})
	// The end is noticed by writing, because nothing is read.
	ping, err := wire.Frame(wire.Header{Program: proto.KeepaliveProgram, Version: 1, Procedure: proto.KeepalivePing, Type: wire.TypeMessage}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = c.Write(ping)
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v", err)
	}
}

// TestStall: clients that promise 32 MiB and send nothing, or little, are in
// nobody's way.
func TestStall(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake(testNet("net", 1, true))})
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 200 {
		connect(t, socket).raw(words(t, "02000004 20008086 00000001 00000029 00000000 00000000 00000000 00000010"))
	}
	c := login(t, socket)
	c.must(proto.NetworkIsActive, ptr(testArgs("net", 1)), nil)
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 200<<20 {
		t.Errorf("200 clients that send nothing hold %d MiB", used>>20)
	}
	// One whole large document still gets through.
	c.must(proto.NetworkDefineXML, &proto.String{Value: "<name>a</name>" + strings.Repeat(" ", 4<<20-20)}, nil)
}

// TestLargeFrames: there are more clients with large documents than may be in
// memory at once, and all are served.
func TestLargeFrames(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake()})
	doc := "<name>a</name>" + strings.Repeat(" ", 1<<20)
	var clients []*conn
	for range 24 {
		clients = append(clients, login(t, socket))
	}
	var group errgroup.Group
	for _, c := range clients {
		group.Go(func() error {
			for range 3 {
				b, err := wire.Frame(header(proto.NetworkDefineXML, 1), &proto.String{Value: doc})
				if err != nil {
					return err
				}
				if _, err := c.Write(b); err != nil {
					return err
				}
				h, _, err := c.r.Header()
				if err != nil || h.Status != wire.StatusOK {
					return fmt.Errorf("%+v, %w", h, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestManyClients: 5,000 at once, each of which gets an answer while all the
// others are connected; the next one waits until there is room.
func TestManyClients(t *testing.T) {
	const many = 5000
	raiseFileLimit(t, 2*many+500)
	socket := serve(t, rpc.Config{Networks: newFake(testNet("net", 1, true)), AuthRW: rpc.AuthPolkit, Authorizer: &judge{}, Peer: root})
	conns := make([]net.Conn, many)
	var group errgroup.Group
	group.SetLimit(50)
	for i := range conns {
		group.Go(func() (err error) {
			conns[i], err = quickLogin(socket)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range conns {
		group.Go(func() error { return quickCall(conns[i], proto.NetworkIsActive, ptr(testArgs("net", 1))) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}

	var let atomic.Bool
	next := make(chan error, 1)
	go func() {
		c, err := quickLogin(socket)
		if err == nil {
			err = c.Close()
		}
		if !let.Load() {
			err = errors.New("one client more than the limit was served")
		}
		next <- err
	}()
	for i := range 100 { // the others are still served, while it waits
		if err := quickCall(conns[i], proto.NetworkIsActive, ptr(testArgs("net", 1))); err != nil {
			t.Fatal(err)
		}
	}
	let.Store(true)
	if err := conns[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-next; err != nil {
		t.Error(err)
	}
}

// raiseFileLimit makes room for connections.
func raiseFileLimit(t *testing.T, files uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= files {
		return
	}
	limit.Cur, limit.Max = files, max(files, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("raising the number of open files to %d: %v; raise ulimit -n", files, err)
	}
}

// quickLogin is login without a test, so that it may run in any goroutine.
func quickLogin(socket string) (net.Conn, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, err
	}
	if err := quickCall(c, proto.AuthList, nil); err != nil {
		return nil, err
	}
	return c, quickCall(c, proto.ConnectOpen, &proto.OpenArgs{Name: ptr("network:///system")})
}

func quickCall(c net.Conn, procedure int32, args wire.Message) error {
	b, err := wire.Frame(header(procedure, 0), args)
	if err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	r := wire.NewReader(c)
	h, n, err := r.Header()
	if err != nil {
		return err
	}
	if _, err := r.Payload(n, n, nil); err != nil {
		return err
	}
	if h.Type != wire.TypeReply || h.Status != wire.StatusOK {
		return fmt.Errorf("procedure %d answered with %+v", procedure, h)
	}
	return nil
}

// TestConcurrentClients: several clients at once, with everything that they do
// at once, under the race detector.
func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("net", 1, true))
	s, socket := serveServer(t, rpc.Config{Networks: f})
	f.tell = s.Publish
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("n%d", i)
			for range 20 {
				c, err := quickLogin(socket)
				if err != nil {
					t.Error(err)
					return
				}
				for _, err := range []error{
					quickCall(c, proto.NetworkDefineXML, &proto.String{Value: "<name>" + name + "</name>"}),
					quickCall(c, proto.ConnectNetworkEventRegister, &proto.EventArgs{}),
					c.Close(),
				} {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
