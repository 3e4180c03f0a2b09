package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/quota"
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

// Server answers clients.
type Server struct {
	cfg    Config
	log    *slog.Logger
	events hub

	recent recentEvents
	idle   chan struct{}

	// What clients share. Who has some of one may wait for some of the next,
	// never the other way round: requests, workers, replies.
	readers     *quota.Semaphore // readers that handle a frame
	requests    *quota.Semaphore // bytes of payloads
	workers     *quota.Semaphore // calls that run
	prioWorkers *quota.Semaphore
	replies     *quota.Semaphore // bytes of replies and events

	complaints complaints
	calls      sync.WaitGroup // running handlers

	mu        sync.Mutex // guards the fields below
	left      *sync.Cond // a client left
	clients   map[*client]struct{}
	places    *quota.Shares // clients
	anonymous *quota.Shares // those that have not authenticated
	queued    *quota.Shares // connections that wait for a place
	queue     quota.Queue[*arrival]
	stopping  bool
	idleTimer *time.Timer
}

// maxReaders is how many frames are handled at a time that need no worker. They
// take microseconds; the limit is there so that a thousand clients of one user
// that send them without a pause take a quarter of the processors' time, not all.
const maxReaders = 8

// New returns a server that does nothing before Serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:         cfg,
		log:         cfg.Log,
		idle:        make(chan struct{}),
		readers:     quota.NewSemaphore(maxReaders),
		requests:    quota.NewSemaphore(cfg.Limits.RequestBytes),
		workers:     quota.NewSemaphore(int64(cfg.Limits.MaxWorkers)),
		prioWorkers: quota.NewSemaphore(int64(cfg.Limits.PrioWorkers)),
		replies:     quota.NewSemaphore(cfg.Limits.ReplyBytes),
		clients:     map[*client]struct{}{},
		places:      quota.NewShares(int64(cfg.Limits.MaxClients)),
		anonymous:   quota.NewShares(int64(cfg.Limits.MaxAnonymousClients)),
		queued:      quota.NewShares(int64(cfg.Limits.MaxQueuedClients)),
	}
	s.left = sync.NewCond(&s.mu)
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
	s.recent.note(e)
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
	for i := range s.events.audiences {
		group.Go(func() error {
			s.events.run(ctx, &s.events.audiences[i])
			return nil
		})
	}
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
	for _, a := range s.dequeueLocked() {
		s.close(a.client.conn)
	}
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
		s.left.Wait()
	}
	s.mu.Unlock()
	s.calls.Wait()
}

func (s *Server) close(conn net.Conn) {
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("closing a connection", "err", err)
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
