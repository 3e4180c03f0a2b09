package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/ssh"
	"github.com/virbr/virbr/rpc/wire"
)

// uri is the connection that is opened: the network driver of the system.
const uri = "network:///system"

// smallReply is the memory that a reply may take before it counts as large; the
// daemon is trusted with more.
const smallReply = 1 << 20

// Config is how to reach a daemon.
type Config struct {
	// URI says where it is.
	URI URI
	// RunDir is where Sockets are looked for; "": /run/libvirt.
	RunDir string
	// ReadOnly asks for a connection that changes nothing.
	ReadOnly bool
}

// Sockets are where daemons that know networks listen, below RunDir: virbrd or
// virtnetworkd, and libvirtd, which does everything.
func Sockets(mode Mode, readOnly bool) []string {
	direct, legacy := "virtnetworkd-sock", "libvirt-sock"
	if readOnly {
		direct, legacy = direct+"-ro", legacy+"-ro"
	}
	switch mode {
	case ModeDirect:
		return []string{direct}
	case ModeLegacy:
		return []string{legacy}
	case ModeAuto:
	}
	return []string{direct, legacy}
}

// Conn is an open connection. Calls may be made by several goroutines and are
// made one after the other. An error that is not an [*Error] ends it.
type Conn struct {
	socket string // or the host
	conn   net.Conn
	r      *wire.Reader

	mu     sync.Mutex // guards what is below, and the stream
	serial uint32
	broken error
	extra  *bool // the daemon has the extension program; nil: not asked yet
}

// Dial connects, authenticates and opens the connection to the network driver.
// The error wraps [ErrNoDaemon] where nobody is there.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	switch {
	case cfg.URI.SSH != nil:
		return dialSSH(ctx, &cfg)
	case cfg.URI.Socket != "":
		return dial(ctx, cfg.URI.Socket, cfg.ReadOnly)
	}
	dir := cfg.RunDir
	if dir == "" {
		dir = "/run/libvirt"
	}
	names := Sockets(cfg.URI.Mode, cfg.ReadOnly)
	for _, name := range names {
		c, err := dial(ctx, filepath.Join(dir, name), cfg.ReadOnly)
		if !errors.Is(err, ErrNoDaemon) {
			return c, err
		}
	}
	return nil, fmt.Errorf("connecting to %s in %q: %w; is virbrd running?", strings.Join(names, " or "), dir, ErrNoDaemon)
}

// dialSSH connects to another host's daemon. The error wraps [ErrNoDaemon] where ssh got
// to the host, and nobody is there.
func dialSSH(ctx context.Context, cfg *Config) (*Conn, error) {
	t := cfg.URI.target(cfg.ReadOnly)
	conn, err := ssh.Dial(ctx, t, cfg.ReadOnly)
	if err != nil {
		return nil, err
	}
	c := &Conn{socket: t.String(), conn: conn, r: wire.NewReader(conn)}
	err = c.login(ctx, cfg.ReadOnly)
	if err == nil {
		return c, nil
	}
	why, reached := conn.Failure()
	_, refused := errors.AsType[*Error](err)
	switch {
	case refused, ctx.Err() != nil, why == "" && !reached:
		return nil, fmt.Errorf("opening the connection to %q: %w", t, err)
	case reached:
		return nil, fmt.Errorf("connecting to %q by ssh: %w: %s", t, ErrNoDaemon, cmp.Or(why, "is virbrd running there?"))
	}
	return nil, fmt.Errorf("connecting to %q by ssh: %s", t, why)
}

func dial(ctx context.Context, socket string, readOnly bool) (*Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("connecting to %q: %w", socket, ErrNoDaemon)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("connecting to %q: %w; be root, or in the group that the daemon's configuration names", socket, syscall.EACCES)
	case err != nil:
		return nil, fmt.Errorf("connecting to %q: %w", socket, err)
	}
	c := &Conn{socket: socket, conn: conn, r: wire.NewReader(conn)}
	if err := c.login(ctx, readOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the connection to %q: %w", socket, err), conn.Close())
	}
	return c, nil
}

// login authenticates with what the daemon wants of us: nothing, or polkit,
// which asks the user.
func (c *Conn) login(ctx context.Context, readOnly bool) error {
	var types proto.AuthTypes
	if err := c.call(ctx, proto.AuthList, nil, &types); err != nil {
		return err
	}
	switch {
	case len(types.Types) == 0, slices.Contains(types.Types, proto.AuthTypeNone):
	case slices.Contains(types.Types, proto.AuthTypePolkit):
		if err := c.call(ctx, proto.AuthPolkit, nil, new(proto.Int)); err != nil {
			return err
		}
	default:
		return errors.New("the daemon wants SASL authentication, which virbr does not speak; use a socket that does not")
	}
	name := uri
	args := proto.OpenArgs{Name: &name}
	if readOnly {
		args.Flags = proto.OpenReadOnly
	}
	return c.call(ctx, proto.ConnectOpen, &args, &proto.Void{})
}

// Socket returns where the daemon listens, or the host that ssh reached.
func (c *Conn) Socket() string { return c.socket }

// goodbye bounds how long Close waits to be told goodbye.
const goodbye = 2 * time.Second

// Close says goodbye and closes the connection.
func (c *Conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	// Without it libvirt logs an error. What it answers does not matter.
	_ = c.call(ctx, proto.ConnectClose, nil, &proto.Void{})
	return c.conn.Close()
}

// Call calls a procedure of libvirt's program for which there is no method here.
// A nil result means that there is none. An *[Error] is the daemon's.
func (c *Conn) Call(ctx context.Context, procedure int32, args, result wire.Message) error {
	if result == nil {
		result = &proto.Void{}
	}
	return c.call(ctx, procedure, args, result)
}

// call calls a procedure of libvirt's program.
func (c *Conn) call(ctx context.Context, procedure int32, args, result wire.Message) error {
	return c.exchange(ctx, wire.Header{Program: proto.Program, Version: proto.Version, Procedure: procedure}, args, result)
}

// extension calls a procedure of the extension program.
func (c *Conn) extension(ctx context.Context, procedure int32, args, result wire.Message) error {
	return c.exchange(ctx, wire.Header{Program: proto.ExtensionProgram, Version: proto.ExtensionVersion, Procedure: procedure}, args, result)
}

// exchange sends a call and waits for its reply. An *Error is the daemon's; after
// any other the stream cannot be trusted.
func (c *Conn) exchange(ctx context.Context, h wire.Header, args, result wire.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	c.serial++
	h.Serial = c.serial
	frame, err := wire.Frame(h, args)
	if err != nil {
		return err
	}
	// The context ends reading and writing by a deadline that has passed.
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	payload, status, err := c.transfer(h, frame)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		c.broken = fmt.Errorf("talking to the daemon at %q: %w", c.socket, err)
		return c.broken
	}
	if status != wire.StatusOK {
		var e proto.Error
		if _, err := wire.Decode(payload, &e); err != nil {
			return fmt.Errorf("the daemon at %q: %w", c.socket, errProtocol)
		}
		return answer(&e)
	}
	if _, err := wire.Decode(payload, result); err != nil {
		return fmt.Errorf("the daemon at %q: procedure %d: %w", c.socket, h.Procedure, errProtocol)
	}
	return nil
}

func (c *Conn) transfer(h wire.Header, frame []byte) ([]byte, wire.Status, error) {
	if _, err := c.conn.Write(frame); err != nil {
		return nil, 0, err
	}
	for {
		got, _, err := c.r.Header()
		if err != nil {
			return nil, 0, err
		}
		payload, err := c.r.Payload(wire.MaxPayload, smallReply, func() error { return nil })
		if err != nil {
			return nil, 0, err
		}
		switch {
		case got.Program == proto.KeepaliveProgram && got.Procedure == proto.KeepalivePing:
			if err := c.pong(); err != nil {
				return nil, 0, err
			}
		case got.Type == wire.TypeReply && got.Serial == h.Serial && got.Program == h.Program && got.Procedure == h.Procedure:
			return payload, got.Status, nil
		case got.Type == wire.TypeReply:
			return nil, 0, errProtocol
		}
	}
}

// pong answers a ping. Nobody pings a client that did not ask for it, but the
// protocol lets them.
func (c *Conn) pong() error {
	frame, err := wire.Frame(wire.Header{
		Program: proto.KeepaliveProgram, Version: proto.KeepaliveVersion,
		Procedure: proto.KeepalivePong, Type: wire.TypeMessage,
	}, nil)
	if err != nil {
		return err
	}
	_, err = c.conn.Write(frame)
	return err
}
