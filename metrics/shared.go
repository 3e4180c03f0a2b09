package metrics

import (
	"context"
	"net"
	"sync"

	"github.com/virbr/virbr/quota"
)

// shared is a listener whose connections are divided among users. It never waits
// for one to end: who has too many loses the new one, and everybody else is served.
type shared struct {
	net.Listener
	user  func(net.Conn) quota.User
	conns *quota.Semaphore
}

// Accept returns the next connection of somebody who may have one more.
func (s *shared) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &sharedConn{Conn: conn, user: s.user(conn)}
		if s.conns.Try(c.user, 1) {
			c.release = sync.OnceFunc(func() { s.conns.Release(c.user, 1) })
			return c, nil
		}
		_ = conn.Close() // its peer is told nothing anyway
	}
}

// sharedConn gives its place back when it is closed first.
type sharedConn struct {
	net.Conn
	user    quota.User
	release func()
}

// Close closes the connection.
func (c *sharedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// userKey is the key of a request's user in its context.
type userKey struct{}

func withUser(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*sharedConn); ok {
		ctx = context.WithValue(ctx, userKey{}, c.user)
	}
	return ctx
}
