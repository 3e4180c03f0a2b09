package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/virbr/virbr/rpc/polkit"
)

// LibVersion is the version of libvirt whose protocol this is, as
// virConnectGetLibVersion counts: major*1000000 + minor*1000 + micro.
const LibVersion = 11003000

// Auth is how clients of a socket prove who they are.
type Auth uint8

// The ways to authenticate.
const (
	AuthNone   Auth = iota // whoever may connect is let in
	AuthPolkit             // polkit is asked, except about root
)

// Authorizer asks somebody whether a process may do something.
// [polkit.Authority] satisfies it.
type Authorizer interface {
	// Check returns nil for a yes, else an error, usually a *polkit.Error.
	// With interactive the user may be asked for a password meanwhile.
	Check(ctx context.Context, subject polkit.Subject, action string, details map[string]string, interactive bool) error
}

// Config is what a Server is made of.
type Config struct {
	Networks Networks     // required
	Log      *slog.Logger // nil: nothing is logged

	// AuthRW and AuthRO are the authentication of clients of read-write and
	// of read-only sockets.
	AuthRW, AuthRO Auth
	Authorizer     Authorizer    // required with AuthPolkit
	Access         AccessControl // nil: clients may do all that their socket allows

	Version uint64 // what virConnectGetLibVersion answers; 0: LibVersion
	Limits  Limits // zero: DefaultLimits

	// IdleTimeout closes Idle's channel when there was no client for so long
	// and Active, if set, says that nothing else needs the daemon either.
	// 0: never.
	IdleTimeout time.Duration
	Active      func() bool

	// Peer tells who is at the other end of a connection; nil: SO_PEERCRED.
	Peer func(net.Conn) (Peer, error)
}

// Limits bound what clients cost. Those that are for all clients together are
// divided among users, see package quota. Names and meaning of the first six are
// those of libvirt's virtnetworkd.conf.
type Limits struct {
	MaxClients          int
	MaxQueuedClients    int // connections that wait to become one of them; 0: none
	MaxAnonymousClients int // connections that have not authenticated; 0: no limit
	MaxClientRequests   int // calls of one client that run side by side
	MaxWorkers          int // calls that work side by side; those that wait are not counted, see [quota.Idle]
	PrioWorkers         int // more of them for calls that take no time

	// RequestBytes is how much memory the payloads of calls may take, and
	// ReplyBytes how much replies and events that are not sent yet, of all
	// clients together.
	RequestBytes, ReplyBytes int64
	// MaxRegistrations bounds the registrations for events of all clients, and
	// MaxClientRegistrations those of one.
	MaxRegistrations, MaxClientRegistrations int

	KeepaliveInterval time.Duration
	KeepaliveCount    int // unanswered pings; an interval of 0 or less: no pings

	// AuthTimeout is how long a client may take to authenticate, not counting
	// the time that polkit takes; 0: for ever.
	AuthTimeout time.Duration
	// WriteTimeout is how long a client may take to read what was sent.
	WriteTimeout time.Duration
	// QueueBytes and QueueFrames are what may wait for a client that reads
	// slowly. Beyond them it is dropped.
	QueueBytes  int
	QueueFrames int
	// StopTimeout is how long running calls may take when the server stops,
	// before their contexts end.
	StopTimeout time.Duration
}

// DefaultLimits are libvirt's, and ours for what libvirt does not limit.
func DefaultLimits() Limits {
	return Limits{
		MaxClients:          5000,
		MaxQueuedClients:    1000,
		MaxAnonymousClients: 20,
		MaxClientRequests:   5,
		MaxWorkers:          20,
		PrioWorkers:         8, // libvirt: 5, of which users would get one

		RequestBytes:           128 << 20,
		ReplyBytes:             256 << 20,
		MaxRegistrations:       16384,
		MaxClientRegistrations: 1024,

		KeepaliveInterval: 5 * time.Second,
		KeepaliveCount:    5,
		AuthTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		QueueBytes:        32 << 20,
		QueueFrames:       8192,
		StopTimeout:       30 * time.Second,
	}
}

// check refuses what a Server cannot work with, and fills in defaults.
func (c *Config) check() error {
	switch {
	case c.Networks == nil:
		return errors.New("rpc: no networks to serve")
	case (c.AuthRW == AuthPolkit || c.AuthRO == AuthPolkit) && c.Authorizer == nil:
		return errors.New("rpc: polkit authentication without an authorizer")
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	l := c.Limits
	if l.MaxClients < 1 || l.MaxClientRequests < 1 || l.MaxWorkers < 1 || l.PrioWorkers < 1 ||
		l.MaxQueuedClients < 0 || l.MaxAnonymousClients < 0 || l.RequestBytes < 1 || l.ReplyBytes < 1 ||
		l.MaxRegistrations < 1 || l.MaxClientRegistrations < 1 || l.QueueBytes < 1 || l.QueueFrames < 1 || l.KeepaliveCount < 0 {
		return errors.New("rpc: a limit that lets nobody in")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Version == 0 {
		c.Version = LibVersion
	}
	if c.Peer == nil {
		c.Peer = socketPeer
	}
	return nil
}
