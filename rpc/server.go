package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/driver"
)

// Role is what a socket is for.
type Role uint8

// The roles of sockets.
const (
	RoleReadWrite Role = iota
	RoleReadOnly
	// RoleAdmin is libvirt's administration socket. Its program is not
	// served: connections are closed at once, so that virt-admin gets an
	// error and does not wait.
	RoleAdmin
)

func (r Role) String() string {
	switch r {
	case RoleReadWrite:
		return "read-write"
	case RoleReadOnly:
		return "read-only"
	case RoleAdmin:
		return "admin"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Listener is a listening socket and what it is for.
type Listener struct {
	net.Listener
	Role Role
}

// noFiles is how long nothing is accepted after the process ran out of file
// descriptors, as in libvirt.
const noFiles = 5 * time.Second

// Server answers clients.
type Server struct {
	cfg    Config
	log    *slog.Logger
	events hub

	healings healings
	idle     chan struct{}

	workers     driver.Workers
	prioWorkers driver.Workers
	large       chan struct{} // a token for each large frame in memory

	calls sync.WaitGroup // running handlers, whose clients may be gone

	mu        sync.Mutex // guards the fields below
	room      *sync.Cond // a client left or authenticated, or the server stops
	clients   map[*client]struct{}
	anonymous int
	stopping  bool
	idleTimer *time.Timer
}

// New returns a server that does nothing before Serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:         cfg,
		log:         cfg.Log,
		idle:        make(chan struct{}),
		workers:     make(driver.Workers, cfg.Limits.MaxWorkers),
		prioWorkers: make(driver.Workers, cfg.Limits.PrioWorkers),
		large:       make(chan struct{}, maxLarge),
		clients:     map[*client]struct{}{},
	}
	s.room = sync.NewCond(&s.mu)
	s.events.init(s)
	return s, nil
}

// Idle returns a channel that is closed once the server was idle for as long as
// Config.IdleTimeout says.
func (s *Server) Idle() <-chan struct{} { return s.idle }

// Clients returns how many clients are connected.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

// Publish tells the clients that listen about a change. It never blocks.
func (s *Server) Publish(e driver.Event) {
	if e.Kind == driver.EventHealed {
		s.healings.note(e)
	}
	s.events.publish(e)
}

// Serve accepts and answers clients until ctx ends; then it takes no more
// calls, waits for those that run, sends their replies and closes every
// connection. The listeners are closed in any case. A server serves once.
func (s *Server) Serve(ctx context.Context, listeners []Listener) error {
	// What was begun is finished, though its client or the server may go.
	calls, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		<-ctx.Done()
		s.stop(listeners)
		return nil
	})
	group.Go(func() error {
		s.events.run(ctx)
		return nil
	})
	for _, l := range listeners {
		group.Go(func() error { return s.accept(ctx, calls, l) })
	}
	s.watchIdle()
	err := group.Wait()
	s.drain(giveUp)
	return err
}

// stop wakes everything that waits for clients.
func (s *Server) stop(listeners []Listener) {
	s.mu.Lock()
	s.stopping = true
	if s.idleTimer != nil {
		s.idleTimer.Stop()
	}
	s.room.Broadcast()
	s.mu.Unlock()
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("closing a socket", "err", err)
		}
	}
}

// drain sees all clients and calls off.
func (s *Server) drain(giveUp context.CancelFunc) {
	timer := time.AfterFunc(s.cfg.Limits.StopTimeout, giveUp)
	defer timer.Stop()
	s.mu.Lock()
	for c := range s.clients {
		c.stopReading()
	}
	for len(s.clients) > 0 {
		s.room.Wait()
	}
	s.mu.Unlock()
	s.calls.Wait()
}

// accept takes connections from one listener until ctx ends. Their calls run
// with a context of their own.
func (s *Server) accept(ctx, calls context.Context, l Listener) error {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case outOfResources(err):
			s.log.Warn("accepting a client", "err", err)
			if !pause(ctx, noFiles) {
				return nil
			}
			continue
		case errors.Is(err, syscall.ECONNABORTED):
			continue
		default:
			return fmt.Errorf("accepting clients on %q: %w", l.Addr(), err)
		}
		if !s.admit(calls, conn, l.Role) {
			return nil
		}
	}
}

func outOfResources(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// pause waits; it is false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// admit starts to serve a connection as soon as there is room for it. Until
// then the listener accepts nothing, so that everybody else waits in the
// backlog. It is false if the server stops.
func (s *Server) admit(ctx context.Context, conn net.Conn, role Role) bool {
	if role == RoleAdmin {
		s.close(conn)
		return true
	}
	peer, err := s.cfg.Peer(conn)
	if err != nil {
		s.log.Warn("accepting a client", "err", err)
		s.close(conn)
		return true
	}
	c := newClient(s, conn, role, peer)
	if s.cfg.Access != nil || (c.anonymous && peer.UID != 0) {
		c.readStartTime()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopping && !s.fitsLocked(c) {
		s.room.Wait()
	}
	if s.stopping {
		s.close(conn)
		return false
	}
	s.clients[c] = struct{}{}
	if c.anonymous {
		s.anonymous++
	}
	if s.idleTimer != nil {
		s.idleTimer.Stop()
	}
	go c.run(ctx)
	return true
}

func (s *Server) fitsLocked(c *client) bool {
	limits := &s.cfg.Limits
	if len(s.clients) >= limits.MaxClients {
		return false
	}
	return !c.anonymous || limits.MaxAnonymousClients == 0 || s.anonymous < limits.MaxAnonymousClients
}

func (s *Server) close(conn net.Conn) {
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("closing a connection", "err", err)
	}
}

// known says that a client is not anonymous any more.
func (s *Server) known(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.anonymous {
		c.anonymous = false
		s.anonymous--
		s.room.Broadcast()
	}
}

// forget says that a client is gone.
func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if c.anonymous {
		s.anonymous--
	}
	s.room.Broadcast()
	if len(s.clients) == 0 && s.idleTimer != nil && !s.stopping {
		s.idleTimer.Reset(s.cfg.IdleTimeout)
	}
}

// watchIdle starts the clock that stops the daemon when nobody needs it.
func (s *Server) watchIdle() {
	if s.cfg.IdleTimeout <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var once sync.Once
	s.idleTimer = time.AfterFunc(s.cfg.IdleTimeout, func() {
		needed := s.cfg.Active != nil && s.cfg.Active()
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.stopping, len(s.clients) > 0:
		case needed:
			s.idleTimer.Reset(s.cfg.IdleTimeout)
		default:
			once.Do(func() { close(s.idle) })
		}
	})
}
