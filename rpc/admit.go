package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/virbr/virbr/quota"
)

const (
	// noFiles is how long nothing is accepted after the process ran out of file
	// descriptors, as in libvirt, and nobody can be made to give one back.
	noFiles = 5 * time.Second
	// shedding is how long a connection that is dropped for that may take to be
	// closed.
	shedding = 10 * time.Millisecond
)

// arrival is a connection that waits to be served.
type arrival struct {
	client *client
	serve  func()
}

// accept takes connections from one listener until ctx ends. It never waits for
// anybody to leave: everybody is behind the same socket, root too. Their calls
// run with a context of their own.
func (s *Server) accept(ctx, calls context.Context, l Listener) error {
	group := socketGroup(l)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case outOfResources(err):
			wait := noFiles
			if s.shed() {
				wait = shedding
			}
			if _, ok := s.complaints.due(nobody, time.Now()); ok {
				s.log.Warn("accepting a client", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			continue
		case errors.Is(err, syscall.ECONNABORTED):
			continue
		default:
			return fmt.Errorf("accepting clients on %q: %w", l.Addr(), err)
		}
		if !s.admit(calls, conn, l.Role, group) {
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

// socketGroup returns the group whose members may write to a listener's socket;
// 0, which is root's, if there is none.
func socketGroup(l Listener) uint32 {
	info, err := os.Stat(l.Addr().String())
	if err != nil || info.Mode().Perm()&0o020 == 0 {
		return 0
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Gid
	}
	return 0
}

// account says on whose account a peer is.
func account(peer *Peer, group uint32) quota.User {
	switch {
	case peer.UID == 0:
		return quota.User{UID: 0, Class: quota.Root}
	case group != 0 && peer.member(group):
		return quota.User{UID: peer.UID, Class: quota.Group}
	}
	return quota.User{UID: peer.UID, Class: quota.Other}
}

// admit starts to serve a connection if there is room for it. Else it has to
// wait, like those that libvirt does not accept; who has too many that wait
// loses this one. admit is false if the server stops.
func (s *Server) admit(ctx context.Context, conn net.Conn, role Role, group uint32) bool {
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
	c := newClient(s, conn, role, peer, account(&peer, group))
	if s.cfg.Access != nil || c.anonymous {
		c.readStartTime()
	}
	a := &arrival{client: c, serve: func() { go c.run(ctx) }}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		s.close(conn)
		return false
	case s.fitsLocked(c.user, a):
		s.serveLocked(a)
	case s.cfg.Limits.MaxQueuedClients > 0 && s.queued.Fits(c.user, 1):
		s.queued.Take(c.user, 1)
		s.queue.Push(c.user, a)
	default:
		s.complain(c.user, "refusing a client: its user has too many", "pid", peer.PID)
		s.close(conn)
	}
	return true
}

func (s *Server) fitsLocked(u quota.User, a *arrival) bool {
	return s.places.Fits(u, 1) && (!a.client.anonymous || s.anonymous.Fits(u, 1))
}

func (s *Server) serveLocked(a *arrival) {
	c := a.client
	s.clients[c] = struct{}{}
	s.places.Take(c.user, 1)
	if c.anonymous {
		s.anonymous.Take(c.user, 1)
	}
	if s.idleTimer != nil {
		s.idleTimer.Stop()
	}
	a.serve()
}

// promoteLocked serves those who waited for what is free now.
func (s *Server) promoteLocked() {
	for !s.stopping {
		u, a, ok := s.queue.Pop(s.fitsLocked)
		if !ok {
			return
		}
		s.queued.Give(u, 1)
		s.serveLocked(a)
	}
}

// dequeueLocked returns all that wait, who do not wait any more.
func (s *Server) dequeueLocked() []*arrival {
	var all []*arrival
	for {
		u, a, ok := s.queue.Pop(func(quota.User, *arrival) bool { return true })
		if !ok {
			return all
		}
		s.queued.Give(u, 1)
		all = append(all, a)
	}
}

// known says that a client is not anonymous any more.
func (s *Server) known(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.anonymous {
		c.anonymous = false
		s.anonymous.Give(c.user, 1)
		s.promoteLocked()
	}
}

// forget says that a client is gone, and nothing that it asked for runs.
func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.places.Give(c.user, 1)
	if c.anonymous {
		s.anonymous.Give(c.user, 1)
	}
	s.promoteLocked()
	s.left.Broadcast()
	if len(s.clients) == 0 && s.idleTimer != nil && !s.stopping {
		s.idleTimer.Reset(s.cfg.IdleTimeout)
	}
}

// shed drops a connection of the user, other than root, who has most of them. It
// is false if there is none.
func (s *Server) shed() bool {
	s.mu.Lock()
	var worst *client
	for c := range s.clients {
		if c.user.Class != quota.Root && (worst == nil || s.places.Of(c.user.UID) > s.places.Of(worst.user.UID)) {
			worst = c
		}
	}
	s.mu.Unlock()
	if worst == nil {
		return false
	}
	worst.hangUp("out of file descriptors")
	return true
}
