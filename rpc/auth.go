package rpc

import (
	"context"
	"time"

	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// authState is how far authentication has come. The zero value is done, or not
// needed.
type authState uint8

const (
	authDone     authState = iota
	authPending            // nothing but the Auth procedures is allowed
	authChecking           // polkit thinks about it
)

// The polkit actions of the two sockets.
const (
	actionManage  = "org.libvirt.unix.manage"
	actionMonitor = "org.libvirt.unix.monitor"
)

// method is how the client must authenticate.
func (c *client) method() Auth {
	if c.role == RoleReadOnly {
		return c.srv.cfg.AuthRO
	}
	return c.srv.cfg.AuthRW
}

func (c *client) authenticated() bool {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.auth == authDone
}

// startAuthTimer drops a client that does not authenticate, because it keeps
// others from being accepted.
func (c *client) startAuthTimer() {
	timeout := c.srv.cfg.Limits.AuthTimeout
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if c.session.auth != authPending || timeout <= 0 {
		return
	}
	c.session.authTimer = time.AfterFunc(timeout, func() {
		c.session.mu.Lock()
		late := c.session.auth == authPending
		c.session.mu.Unlock()
		if late {
			c.hangUp("not authenticated in time")
		}
	})
}

func (c *client) stopAuthTimer() {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if c.session.authTimer != nil {
		c.session.authTimer.Stop()
	}
}

// authList tells how to authenticate. It is all that root has to do.
func (s *Server) authList(_ context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	c := rq.client
	if c.method() == AuthNone {
		return &proto.AuthTypes{Types: []int32{proto.AuthTypeNone}}, nil
	}
	if c.peer.UID != 0 {
		return &proto.AuthTypes{Types: []int32{proto.AuthTypePolkit}}, nil
	}
	c.admitted()
	return &proto.AuthTypes{Types: []int32{proto.AuthTypeNone}}, nil
}

// admitted ends authentication.
func (c *client) admitted() {
	c.session.mu.Lock()
	c.session.auth = authDone
	c.session.mu.Unlock()
	c.stopAuthTimer()
	c.srv.known(c)
}

// authPolkit has polkit decide about the peer. The client may try again.
func (s *Server) authPolkit(ctx context.Context, rq *call, _ proto.Void) (wire.Message, error) {
	c := rq.client
	c.session.mu.Lock()
	state := c.session.auth
	if state == authPending {
		c.session.auth = authChecking
	}
	c.session.mu.Unlock()
	if state != authPending {
		return nil, fail(codeAuthFailed, domainRPC, "authentication failed")
	}
	c.stopAuthTimer()

	action := actionManage
	if c.role == RoleReadOnly {
		action = actionMonitor
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nobody waits for the answer of a client that is gone
		select {
		case <-c.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := s.askAbout(ctx, c.peer, action); err != nil {
		c.session.mu.Lock()
		c.session.auth = authPending
		c.session.mu.Unlock()
		c.startAuthTimer()
		return nil, err
	}
	c.admitted()
	return &proto.Int{Value: 1}, nil
}

func (s *Server) askAbout(ctx context.Context, peer Peer, action string) error {
	if peer.StartTime == 0 {
		return fail(codeAuthFailed, domainPolkit, "process %d is gone", peer.PID)
	}
	subject := polkit.Subject{PID: uint32(peer.PID), StartTime: peer.StartTime, UID: int32(peer.UID)}
	return s.cfg.Authorizer.Check(ctx, subject, action, nil, true)
}
