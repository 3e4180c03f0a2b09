package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// busSocket is where the system bus is.
const busSocket = "/run/dbus/system_bus_socket"

// busPatience is how long a service may take to answer. firewalld reloads its
// whole ruleset at times.
const busPatience = 25 * time.Second

// errNoService says that nobody answers on the bus, or that there is no bus.
var errNoService = errors.New("no such service on the system bus")

// bus is the connection to the system bus: made when it is first needed, kept,
// and made again when the bus was restarted.
type bus struct {
	address string // "": the system's

	mu   sync.Mutex // guards conn
	conn *dbus.Conn
}

// connect returns the connection; errNoService: there is no bus, or none that
// takes us. One that does not answer is another error.
func (b *bus) connect(ctx context.Context) (*dbus.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.conn, nil
	}
	conn, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	b.conn = conn
	return conn, nil
}

// dial makes a connection of the caller's own, with the errors of connect.
func (b *bus) dial(ctx context.Context) (*dbus.Conn, error) {
	address := b.address
	if address == "" {
		if _, err := os.Stat(busSocket); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoService, err)
		}
		address = "unix:path=" + busSocket
	}
	return dial(ctx, address)
}

// socket returns the path of the bus; "": it is not reached by one.
func (b *bus) socket() string {
	if b.address == "" {
		return busSocket
	}
	path, ok := strings.CutPrefix(b.address, "unix:path=")
	if !ok || strings.ContainsAny(path, ",;%") {
		return ""
	}
	return path
}

// dial connects to a bus. The connection outlives the call that needs it first,
// but a bus that does not answer does not hold that call for ever.
func dial(ctx context.Context, address string) (*dbus.Conn, error) {
	patience, over := context.WithTimeout(ctx, busPatience)
	defer over()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(patience, end)
	conn, err := dbus.Connect(address, dbus.WithContext(life))
	switch {
	case !stop(): // in vain, or cut off at once
		if err == nil {
			_ = conn.Close()
		}
		return nil, fmt.Errorf("connecting to the system bus: %w", patience.Err())
	case err != nil:
		end()
		return nil, fmt.Errorf("%w: %w", errNoService, err)
	}
	return conn, nil
}

func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		_ = b.conn.Close()
		b.conn = nil
	}
}

// service returns an object of a service that runs; errNoService: it does not.
// A service that is not running is not started.
func (b *bus) service(ctx context.Context, name string, path dbus.ObjectPath) (dbus.BusObject, error) {
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	var owned bool
	if err := call(ctx, conn.BusObject(), "org.freedesktop.DBus.NameHasOwner", []any{name}, &owned); err != nil {
		return nil, err
	}
	if !owned {
		return nil, fmt.Errorf("%w: %s", errNoService, name)
	}
	return conn.Object(name, path), nil
}

// call calls a method and stores what it returns.
func call(ctx context.Context, object dbus.BusObject, method string, args []any, results ...any) error {
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	if err := object.CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...).Store(results...); err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	return nil
}
