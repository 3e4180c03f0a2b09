package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

const (
	// smallFrame is what a payload may take without asking anybody, and what
	// is kept of a payload of a client that has not authenticated.
	smallFrame = 4 << 10
	// readOnlyFrame is what is kept of a payload on a read-only socket, where no
	// call that is allowed needs as much.
	readOnlyFrame = 64 << 10
	// largeTimeout is how long a client may take to send a payload that is not
	// small.
	largeTimeout = time.Minute
)

// client is one connection. One goroutine reads and one writes; calls run in
// goroutines of their own.
type client struct {
	srv  *Server
	conn net.Conn
	role Role
	peer Peer
	user quota.User // who pays

	anonymous bool // guarded by srv.mu: counted as one that polkit has not let in

	// Guarded by srv.events.mu: what the client listens to, and that it takes
	// no more events.
	listens  []*listener
	departed bool

	out     *outbox
	pulse   pulse
	slots   chan struct{} // a token for each request that is not answered yet
	blocked atomic.Bool   // the reader waits for us
	drained atomic.Bool   // the server stops: read no more
	gone    chan struct{} // closed with the connection
	once    sync.Once
	calls   sync.WaitGroup

	session session
}

// session is what a client has told us.
type session struct {
	mu        sync.Mutex // guards the fields below
	auth      authState
	authTimer *time.Timer
	open      bool
	uri       string
	readOnly  bool
	identity  *Identity // nil: the peer's
}

func newClient(s *Server, conn net.Conn, role Role, peer Peer, user quota.User) *client {
	limits := &s.cfg.Limits
	c := &client{
		srv:   s,
		conn:  conn,
		role:  role,
		peer:  peer,
		user:  user,
		out:   newOutbox(limits.QueueBytes, limits.QueueFrames, s.replies, user),
		slots: make(chan struct{}, limits.MaxClientRequests),
		gone:  make(chan struct{}),
	}
	c.pulse = pulse{
		interval: limits.KeepaliveInterval,
		count:    limits.KeepaliveCount,
		ping:     func() { c.keepalive(proto.KeepalivePing) },
		dead:     func() { c.hangUp("keepalive timeout") },
		deaf:     func() bool { return c.blocked.Load() || c.drained.Load() },
	}
	if c.method() == AuthPolkit {
		c.session.auth = authPending
		// Root only has to ask how. libvirt counts it until then, so that others
		// can keep it out.
		c.anonymous = user.Class != quota.Root
	}
	return c
}

// readStartTime completes the peer, for those who ask polkit about it.
func (c *client) readStartTime() {
	if c.peer.StartTime != 0 {
		return
	}
	started, err := startTime(c.peer.PID)
	if err != nil {
		c.srv.log.Debug("reading a client's start time", "pid", c.peer.PID, "err", err)
	}
	c.peer.StartTime = started
}

// run serves the connection until it ends. Calls run with ctx.
func (c *client) run(ctx context.Context) {
	c.startAuthTimer()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := c.out.write(c.conn, c.srv.cfg.Limits.WriteTimeout); errors.Is(err, os.ErrDeadlineExceeded) {
			c.srv.complain(c.user, "dropping a client that does not read", "pid", c.peer.PID)
		}
		c.shut()
	}()
	err := c.read(ctx)
	switch {
	case c.drained.Load():
		c.calls.Wait()
		c.out.finish()
	case err == nil: // the client said goodbye, and its reply is the last frame
	default:
		c.shut()
	}
	<-written
	c.srv.events.depart(c)
	c.calls.Wait() // they cost what they cost, though nobody waits for them
	c.srv.forget(c)
}

// shut closes the connection at once.
func (c *client) shut() {
	c.once.Do(func() {
		close(c.gone)
		c.pulse.stop()
		c.stopAuthTimer()
		c.srv.close(c.conn)
		c.out.drop()
	})
}

// hangUp closes the connection because of something the client did.
func (c *client) hangUp(reason string) {
	c.srv.complain(c.user, "dropping a client", "pid", c.peer.PID, "reason", reason)
	c.shut()
}

// stopReading makes the reader return.
func (c *client) stopReading() {
	c.drained.Store(true)
	if err := c.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		c.shut()
	}
}

// errEnough says that the server stops.
var errEnough = errors.New("the server stops")

// read takes frames until the connection ends. It returns nil after a
// ConnectClose.
func (c *client) read(ctx context.Context) error {
	r := wire.NewReader(c.conn)
	for {
		if err := c.slot(); err != nil {
			return err
		}
		// The slot is the frame's that is being read, until an answer has it.
		for answered := false; !answered; {
			f, err := c.frame(ctx, r)
			if err != nil {
				return err
			}
			if err := c.await(ctx, c.srv.readers, 1); err != nil {
				return f.refuse(err)
			}
			var last bool
			answered, last = c.handle(ctx, f)
			c.srv.readers.Release(c.user, 1)
			if last {
				return nil
			}
		}
	}
}

// slot waits until one more request may be read.
func (c *client) slot() error {
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	defer c.deafen()()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.gone:
		return errGone
	}
}

// await has the reader wait for its user's share of something.
func (c *client) await(ctx context.Context, s *quota.Semaphore, n int64) error {
	if s.Try(c.user, n) {
		return nil
	}
	defer c.deafen()()
	return s.Acquire(ctx, c.gone, c.user, n)
}

// deafen says that what the client sends is not looked at until the function is
// called that it returns.
func (c *client) deafen() (listen func()) {
	c.blocked.Store(true)
	return func() {
		c.pulse.touch()
		c.blocked.Store(false)
	}
}

// frame is one incoming frame.
type frame struct {
	header  wire.Header
	payload []byte
	cut     bool   // payload is not all of it
	release func() // nil, or gives back what the payload takes
}

// frame reads the next one.
func (c *client) frame(ctx context.Context, r *wire.Reader) (frame, error) {
	var f frame
	if c.drained.Load() {
		return f, errEnough
	}
	header, n, err := r.Header()
	if err != nil {
		return f, err
	}
	f.header = header
	limit := wire.MaxPayload
	switch {
	case !c.authenticated():
		limit = smallFrame
	case c.role == RoleReadOnly:
		limit = readOnlyFrame
	}
	f.cut = n > limit
	f.payload, err = r.Payload(limit, smallFrame, func() error { return c.claim(ctx, &f, min(n, limit)) })
	if n > smallFrame {
		if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
			return f, f.refuse(err)
		}
	}
	if err != nil {
		return f, f.refuse(err)
	}
	c.pulse.touch()
	if header.Type == wire.TypeCallWithFDs || header.Type == wire.TypeReplyWithFDs {
		// Nobody has a use for file descriptors in a network call.
		if len(f.payload) < 4 || binary.BigEndian.Uint32(f.payload) != 0 {
			return f, f.refuse(fmt.Errorf("a frame of type %d with file descriptors", header.Type))
		}
		f.payload = f.payload[4:]
	}
	return f, nil
}

// refuse gives back what a frame holds and returns err.
func (f *frame) refuse(err error) error {
	f.drop()
	return err
}

func (f *frame) drop() {
	if f.release != nil {
		f.release()
	}
}

// claim gets the memory for a payload of n bytes, and starts the clock for it. All
// of it is claimed at once: two that wait for each other's rest would wait for
// ever.
func (c *client) claim(ctx context.Context, f *frame, n int) error {
	if err := c.await(ctx, c.srv.requests, int64(n)); err != nil {
		return err
	}
	var once sync.Once
	f.release = func() { once.Do(func() { c.srv.requests.Release(c.user, int64(n)) }) }
	if err := c.conn.SetReadDeadline(time.Now().Add(largeTimeout)); err != nil {
		return err
	}
	if c.drained.Load() {
		return errEnough
	}
	return nil
}

// send queues a frame. A client that lets too much wait loses its connection.
func (c *client) send(out outgoing) {
	err := c.out.put(out)
	if err == nil {
		return
	}
	c.out.settle(&out)
	if errors.Is(err, errOverflow) {
		c.hangUp(err.Error())
	}
}

// keepalive sends a ping or a pong.
func (c *client) keepalive(procedure int32) {
	b, err := wire.Frame(wire.Header{
		Program: proto.KeepaliveProgram, Version: proto.KeepaliveVersion,
		Procedure: procedure, Type: wire.TypeMessage,
	}, nil)
	if err != nil {
		panic("rpc: a void payload does not fit its frame: " + err.Error())
	}
	c.send(outgoing{frame: b})
}

// caller is whom access is checked for.
func (c *client) caller() Identity {
	c.session.mu.Lock()
	identity := c.session.identity
	c.session.mu.Unlock()
	if identity != nil {
		return *identity
	}
	return peerIdentity(c.peer)
}
