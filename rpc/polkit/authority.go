package polkit

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
)

// The authority on the bus.
const (
	busName    = "org.freedesktop.PolicyKit1"
	objectPath = "/org/freedesktop/PolicyKit1/Authority"
	method     = "org.freedesktop.PolicyKit1.Authority.CheckAuthorization"

	allowInteraction = 1 // flag: the user may be asked for a password
)

// DefaultTimeout bounds a check. It is longer than libvirt's 30 seconds,
// because somebody may have to find a password.
const DefaultTimeout = 2 * time.Minute

// Subject is the process that is asked about. The start time keeps a recycled
// process id from being taken for it.
type Subject struct {
	PID       uint32
	StartTime uint64 // clock ticks since boot: field 22 of /proc/PID/stat
	UID       int32
}

// Authority is polkit. It holds one connection to the bus, made at the first
// check and again after it broke. It may be used from many goroutines.
type Authority struct {
	address string
	timeout time.Duration

	turn   chan struct{} // holds a token while somebody is at the fields below
	conn   *dbus.Conn
	hangUp context.CancelFunc // of conn
}

// New returns the authority on the bus at a D-Bus address; an empty one is the
// system bus. A timeout of 0 means DefaultTimeout.
func New(address string, timeout time.Duration) *Authority {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	return &Authority{address: address, timeout: timeout, turn: make(chan struct{}, 1)}
}

// Close ends the connection to the bus.
func (a *Authority) Close() error {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	if a.conn == nil {
		return nil
	}
	err := a.conn.Close()
	a.hangUp()
	a.conn = nil
	return err
}

// Check asks whether subject may do action. It returns nil for a yes, else an
// *Error. With interactive polkit may have the user's agent ask for a password
// first.
func (a *Authority) Check(ctx context.Context, subject Subject, action string, details map[string]string, interactive bool) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	conn, err := a.dial(ctx)
	if err != nil {
		return &Error{Reason: NoBus, Action: action, Err: err}
	}

	type unixProcess struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	who := unixProcess{"unix-process", map[string]dbus.Variant{
		"pid":        dbus.MakeVariant(subject.PID),
		"start-time": dbus.MakeVariant(subject.StartTime),
		"uid":        dbus.MakeVariant(subject.UID),
	}}
	var flags uint32
	if interactive {
		flags = allowInteraction
	}
	if details == nil {
		details = map[string]string{}
	}
	var answer struct {
		Authorized, Challenge bool
		Details               map[string]string
	}
	call := conn.Object(busName, objectPath).CallWithContext(ctx, method, 0, who, action, details, flags, "")
	if err := call.Store(&answer); err != nil {
		return &Error{Reason: Service, Action: action, Err: err}
	}
	switch {
	case answer.Authorized:
		return nil
	case answer.Details["polkit.dismissed"] == "true":
		return &Error{Reason: Dismissed, Action: action}
	case answer.Challenge:
		return &Error{Reason: NoAgent, Action: action}
	}
	return &Error{Reason: Denied, Action: action}
}

// dial returns the connection, made new where it is missing or broken. A bus that does
// not answer keeps nobody longer than his context.
func (a *Authority) dial(ctx context.Context) (*dbus.Conn, error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.conn != nil && a.conn.Connected() {
		return a.conn, nil
	}
	if a.conn != nil {
		a.hangUp()
		a.conn = nil
	}
	// The connection outlives the check, so only the hello ends with it.
	lasting, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	settled := context.AfterFunc(ctx, hangUp)
	var conn *dbus.Conn
	var err error
	if a.address == "" {
		conn, err = dbus.ConnectSystemBus(dbus.WithContext(lasting))
	} else {
		conn, err = dbus.Connect(a.address, dbus.WithContext(lasting))
	}
	if !settled() && err == nil {
		err = errors.Join(ctx.Err(), conn.Close())
	}
	if err != nil {
		hangUp()
		return nil, err
	}
	a.conn, a.hangUp = conn, hangUp
	return conn, nil
}
