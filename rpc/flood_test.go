package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// crowd is a server whose clients are whom the test says.
type crowd struct {
	t      *testing.T
	socket string
	who    atomic.Uint32 // user id of the next client
	met    chan struct{}
}

func newCrowd(t *testing.T, cfg rpc.Config, roles ...rpc.Role) *crowd {
	t.Helper()
	w := &crowd{t: t, met: make(chan struct{}, 1000)}
	cfg.Peer = w.peer
	w.socket = serve(t, cfg, roles...)
	return w
}

func (w *crowd) peer(net.Conn) (rpc.Peer, error) {
	uid := w.who.Load()
	w.met <- struct{}{}
	return rpc.Peer{PID: int32(os.Getpid()), UID: uid, GID: uid, StartTime: 1}, nil
}

// connect connects a client of a user.
func (w *crowd) connect(uid uint32) *conn {
	w.t.Helper()
	w.who.Store(uid)
	c := connect(w.t, w.socket)
	select {
	case <-w.met:
	case <-time.After(patience):
		w.t.Fatal("a connection is not accepted")
	}
	return c
}

func (w *crowd) login(uid uint32) *conn {
	w.t.Helper()
	c := w.connect(uid)
	c.open(0)
	return c
}

// waits wants a client not to be answered, and returns what tells when it is.
func (w *crowd) waits(c *conn) <-chan error {
	w.t.Helper()
	c.send(proto.AuthList, nil)
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.r.Header()
		answered <- err
	}()
	w.login(0) // whatever is answered, was by now
	if len(answered) > 0 {
		w.t.Error("a client was served that is one too many")
	}
	return answered
}

func wantAnswer(t *testing.T, what string, answered <-chan error) {
	t.Helper()
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Errorf("%s: no answer", what)
	}
}

// TestUsers: a user's clients have a quarter of the places, all users' three
// quarters, and root is always served. The next ones wait, and those of whom too
// many wait are refused.
func TestUsers(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, rpc.Config{Networks: newFake(), Limits: limits(func(l *rpc.Limits) { l.MaxClients, l.MaxQueuedClients = 20, 4 })})
	var all []*conn
	for uid := uint32(1000); uid < 1003; uid++ {
		for range 5 {
			all = append(all, w.login(uid))
		}
	}
	same := w.connect(1000)
	sameServed := w.waits(same)
	another := w.connect(1003)
	anotherServed := w.waits(another)
	refused := w.connect(1003)
	refused.closed()
	for range 3 {
		w.login(0)
	}
	for _, c := range all {
		c.alive()
	}
	_ = all[5].Close() // 1001's: another's place, while 1000 has all of its own
	wantAnswer(t, "another user", anotherServed)
	if len(sameServed) > 0 {
		t.Error("a user has more than its share")
	}
	_ = all[0].Close()
	wantAnswer(t, "the same user", sameServed)
}

// TestUsersGroup: who is in the socket's group is served when other users have
// taken what they may.
func TestUsersGroup(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		netnstest.Need(t, "needs root, to give a socket to a group; run it as root")
	}
	const group = 4242
	w := &crowd{t: t, met: make(chan struct{}, 1000)}
	_, w.socket = serveGroup(t, rpc.Config{Networks: newFake(), Peer: w.peer,
		Limits: limits(func(l *rpc.Limits) { l.MaxClients = 16 })}, strconv.Itoa(group))
	for uid := uint32(1000); uid < 1012; uid++ {
		w.login(uid)
	}
	w.waits(w.connect(1012))
	w.login(group) // its group has the same number
	w.login(0)
}

// TestAnonymousUsers: nobody is kept out by those who do not authenticate, and
// root needs no place among them.
func TestAnonymousUsers(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, rpc.Config{Networks: newFake(), AuthRW: rpc.AuthPolkit, Authorizer: &judge{}})
	for uid := uint32(1000); uid < 1003; uid++ {
		for range 40 {
			w.connect(uid)
		}
	}
	for range 30 {
		w.login(0)
	}
}

// TestRequestMemory: a user that promises much and sends little keeps nobody
// else from sending as much.
func TestRequestMemory(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, rpc.Config{Networks: newFake(), Limits: limits(func(l *rpc.Limits) { l.RequestBytes = 1 << 20 })})
	for range 16 {
		c := w.login(1000)
		c.raw(words(t, "00040000 20008086 00000001 00000029 00000000 00000000 00000000 00000010"))
		c.raw(make([]byte, 8<<10))
	}
	for _, uid := range []uint32{1001, 0} {
		doc := "<name>n</name>" + strings.Repeat(" ", 300<<10)
		w.login(uid).must(proto.NetworkDefineXML, &proto.String{Value: doc}, nil)
	}
}

// TestReadOnlyFrames: no call that is allowed on the read-only socket is large. One
// that is not is refused as by libvirt, which reads it first.
func TestReadOnlyFrames(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := login(t, serve(t, rpc.Config{Networks: f}, rpc.RoleReadOnly))
	c.refused(proto.NetworkDefineXML, &proto.String{Value: strings.Repeat("x", 1<<20)}, 29, 19,
		"operation forbidden: read only access prevents virNetworkDefineXML")
	c.refused(proto.NetworkLookupByName, &proto.String{Value: strings.Repeat("x", 1<<20)}, 39, 7,
		"Unable to decode message payload: a read-only connection may send 65536 bytes")
	c.alive()
}

// TestKept: what a client says of itself is kept, and so has a limit.
func TestKept(t *testing.T) {
	t.Parallel()
	c := connect(t, serve(t, rpc.Config{Networks: newFake()}))
	c.must(proto.AuthList, nil, nil)
	long := "network:///system?" + strings.Repeat("x", 4096)
	c.refused(proto.ConnectOpen, &proto.OpenArgs{Name: &long}, 1, 45, "internal error: Unable to parse URI of 4114 bytes, more than 4096")
	fits := long[:4096]
	c.must(proto.ConnectOpen, &proto.OpenArgs{Name: &fits}, nil)
	identity := func(bytes int) proto.IdentityArgs {
		return proto.IdentityArgs{Params: []wire.Param{param("user-name", strings.Repeat("u", bytes/2)), param("selinux-context", strings.Repeat("s", bytes/2))}}
	}
	c.must(proto.ConnectSetIdentity, ptr(identity(16<<10)), nil)
	c.refused(proto.ConnectSetIdentity, ptr(identity(16<<10+2)), 8, 0, "invalid argument: an identity of more than 16384 bytes")
}

// TestRegistrationLimits: registrations for events are limited for a client, for a
// user and for all users, and root's are its own.
func TestRegistrationLimits(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, rpc.Config{Networks: newFake(), Limits: limits(func(l *rpc.Limits) { l.MaxRegistrations, l.MaxClientRegistrations = 40, 8 })})
	number := byte(0)
	args := func() proto.EventArgs {
		number++
		return proto.EventArgs{Network: ptr(testArgs("n", number))}
	}
	first, second := w.login(1000), w.login(1000)
	for range 8 {
		first.must(proto.ConnectNetworkEventRegister, ptr(args()), nil)
	}
	first.refused(proto.ConnectNetworkEventRegister, ptr(args()), 9, 7, "operation failed: too many event callbacks: a connection may have 8")
	for range 2 {
		second.must(proto.ConnectNetworkEventRegister, ptr(args()), nil)
	}
	second.refused(proto.ConnectNetworkEventRegister, ptr(args()), 9, 7, "operation failed: too many event callbacks: the connections of user 1000 have 10")
	w.login(1001).must(proto.ConnectNetworkEventRegister, ptr(args()), nil)
	w.login(0).must(proto.ConnectNetworkEventRegister, ptr(args()), nil)

	// What was given up, or ended with its connection, is free again.
	first.must(proto.ConnectNetworkEventDeregister, &proto.Int{}, nil)
	second.must(proto.ConnectNetworkEventRegister, ptr(args()), nil)
	_ = first.Close()
	third := w.login(1000)
	deadline := time.Now().Add(patience)
	for {
		_, e := third.call(proto.ConnectNetworkEventRegister, ptr(args()))
		if e == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the registrations of a client that is gone are counted")
		}
	}
}

// TestWorkersOfUsers: calls of users that take their time leave workers for others,
// and for root.
func TestWorkersOfUsers(t *testing.T) {
	t.Parallel()
	for _, procedure := range []int32{proto.NetworkGetDHCPLeases, proto.NetworkGetXMLDesc} {
		t.Run(fmt.Sprint(procedure), func(t *testing.T) {
			t.Parallel()
			g := newGate()
			f := newFake(testNet("net", 1, true))
			var hold atomic.Bool
			f.before = func(op string) {
				if hold.Load() {
					g.hold(op)
				}
			}
			w := newCrowd(t, rpc.Config{Networks: f})
			hold.Store(true)
			args := func() wire.Message {
				if procedure == proto.NetworkGetXMLDesc {
					return &proto.NetworkFlags{Network: testArgs("net", 1)}
				}
				return &proto.LeasesArgs{Network: testArgs("net", 1)}
			}
			for uid := uint32(1000); uid < 1004; uid++ {
				for range 4 {
					c := w.login(uid)
					for range 5 {
						c.send(procedure, args())
					}
				}
			}
			g.wait(t, 1)
			hold.Store(false)
			w.login(0).must(procedure, args(), nil)
			close(g.open)
		})
	}
}

// TestIdentityPays: a libvirt daemon is root, and speaks for its clients. What they
// ask for takes nothing of root's share.
func TestIdentityPays(t *testing.T) {
	t.Parallel()
	g := newGate()
	f := newFake(testNet("net", 1, true))
	var hold atomic.Bool
	f.before = func(op string) {
		if hold.Load() {
			g.hold(op)
		}
	}
	w := newCrowd(t, rpc.Config{Networks: f})
	ask := proto.LeasesArgs{Network: testArgs("net", 1)}
	var daemons []*conn
	for uid := range uint64(10) {
		c := w.login(0)
		c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: []wire.Param{
			param("process-id", int64(1)), param("unix-user-id", 1000+uid),
		}}, nil)
		daemons = append(daemons, c)
	}
	hold.Store(true)
	for _, c := range daemons {
		for range 5 {
			c.send(proto.NetworkGetDHCPLeases, &ask)
		}
	}
	g.wait(t, 1)
	hold.Store(false)
	w.login(0).must(proto.NetworkGetDHCPLeases, &ask, nil)
	close(g.open)
	for _, c := range daemons {
		for range 5 {
			c.next()
		}
	}
}

// TestReplyMemory: who does not read what it asked for has its own calls wait,
// and nobody else's.
func TestReplyMemory(t *testing.T) {
	t.Parallel()
	n := testNet("net", 1, true)
	n.doc = strings.Repeat("x", 1<<20)
	w := newCrowd(t, rpc.Config{Networks: newFake(n), Limits: limits(func(l *rpc.Limits) { l.ReplyBytes = 16 << 20 })})
	ask := proto.NetworkFlags{Network: testArgs("net", 1)}
	var deaf []*conn
	for uid := uint32(1000); uid < 1004; uid++ {
		for range 4 {
			c := w.login(uid)
			for range 5 {
				c.send(proto.NetworkGetXMLDesc, &ask)
			}
			deaf = append(deaf, c)
		}
	}
	for range 10 {
		w.login(0).must(proto.NetworkGetXMLDesc, &ask, nil)
	}
	var group errgroup.Group
	for _, c := range deaf { // nothing was lost
		group.Go(func() error {
			for range 5 {
				h, n, err := c.r.Header()
				if err != nil || h.Procedure != proto.NetworkGetXMLDesc || h.Status != wire.StatusOK {
					return fmt.Errorf("not the reply: %+v, %w", h, err)
				}
				if _, err := c.r.Payload(n, n, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestEventMemory: users who listen and do not read cost what their share is. Those
// who read hear of all.
func TestEventMemory(t *testing.T) {
	t.Parallel()
	w := &crowd{t: t, met: make(chan struct{}, 1000)}
	s, socket := serveServer(t, rpc.Config{Networks: newFake(), Peer: w.peer, Limits: limits(func(l *rpc.Limits) { l.ReplyBytes = 1 << 20 })})
	w.socket = socket
	var deaf []*conn
	for range 20 {
		c := w.login(1000)
		c.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, nil)
		deaf = append(deaf, c)
	}
	good := w.login(0)
	good.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, nil)
	e := driver.Event{Kind: driver.EventStarted, Network: driver.Ref{Name: strings.Repeat("n", 200), UUID: xml.UUID{1}}}
	for range 3000 {
		s.Publish(e)
		if h, _ := good.next(); h.Procedure != proto.NetworkEventLifecycle {
			t.Fatalf("not an event: %+v", h)
		}
	}
	for _, c := range deaf {
		if _, err := io.Copy(io.Discard, c.Conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a client that does not read keeps its connection: %v", err)
		}
	}
}

// failing is a listener that finds no file descriptor for a while.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

// TestOutOfFiles: when there are no more file descriptors, whoever has most of them
// gives one back, but never root.
func TestOutOfFiles(t *testing.T) {
	t.Parallel()
	w := &crowd{t: t, met: make(chan struct{}, 1000)}
	s, err := rpc.New(rpc.Config{Networks: newFake(), Peer: w.peer})
	if err != nil {
		t.Fatal(err)
	}
	w.socket = filepath.Join(t.TempDir(), "sock")
	l, err := rpc.Listen(rpc.SocketConfig{Path: w.socket, Mode: 0o777})
	if err != nil {
		t.Fatal(err)
	}
	short := &failing{Listener: l.Listener}
	l.Listener = short
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []rpc.Listener{l}) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	roots := []*conn{w.login(0), w.login(0), w.login(0)}
	few, many := w.login(1000), []*conn{w.login(1001), w.login(1001)}
	short.left.Store(1)
	roots = append(roots, w.login(0), w.login(0)) // the first was awaited already
	for _, c := range append(roots, few) {
		c.alive()
	}
	if s.Clients() != 7 {
		t.Errorf("%d clients are left of 8", s.Clients())
	}
	gone := 0
	for _, c := range many {
		ping, err := wire.Frame(header(proto.ConnectGetURI, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Write(ping)
		if _, _, readErr := c.r.Header(); err != nil || readErr != nil {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("%d of the clients of whom there were most are gone", gone)
	}
}
