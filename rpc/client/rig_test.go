package client_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/hosttest"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// rig is the real server with the real driver on a host in memory.
type rig struct {
	d      *driver.Driver
	server *rpc.Server
	socket string
	dir    string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{dir: dir, socket: filepath.Join(dir, "virtnetworkd-sock")}
	r.d = driver.New(driver.Config{
		System: hosttest.New(),
		Dirs: driver.Dirs{
			Config: filepath.Join(dir, "etc"), State: filepath.Join(dir, "run"), Dnsmasq: filepath.Join(dir, "dnsmasq"),
			Hooks: filepath.Join(dir, "hooks"), Own: filepath.Join(dir, "own"), Lib: filepath.Join(dir, "lib"),
		},
	})
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.server, err = rpc.New(rpc.Config{Networks: r.d}); err != nil {
		t.Fatal(err)
	}
	l, err := rpc.Listen(rpc.SocketConfig{Path: r.socket, Role: rpc.RoleReadWrite, Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Serve(ctx, []rpc.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

const lab = `<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='virbr7'/>
  <ip address='192.0.2.1' prefix='24'>
    <dhcp>
      <range start='192.0.2.100' end='192.0.2.200'/>
      <host mac='52:54:00:00:00:0a' name='web1' ip='192.0.2.10'/>
    </dhcp>
  </ip>
</network>`

// define defines the network lab, and starts it if it is to run.
func (r *rig) define(t *testing.T, run bool) {
	t.Helper()
	ref, err := r.d.DefineXML(t.Context(), lab, false)
	if err != nil {
		t.Fatal(err)
	}
	if !run {
		return
	}
	if err := r.d.Start(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}

// dial connects to a socket.
func dial(t *testing.T, socket string) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hide relays a socket, and answers calls of which refuse tells a message as a
// daemon does that does not know them. It makes older and other daemons of ours.
func hide(t *testing.T, socket string, refuse func(wire.Header) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, socket, refuse)
		}
	}()
	return path
}

func relay(conn net.Conn, socket string, refuse func(wire.Header) string) {
	defer conn.Close() //nolint:errcheck // the test is over
	up, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer up.Close() //nolint:errcheck // the test is over
	go io.Copy(conn, up)
	r := wire.NewReader(conn)
	for {
		h, _, err := r.Header()
		if err != nil {
			return
		}
		payload, err := r.Payload(wire.MaxPayload, wire.MaxPayload, nil)
		if err != nil {
			return
		}
		var frame []byte
		to := io.Writer(up)
		if message := refuse(h); message != "" {
			h.Type, h.Status = wire.TypeReply, wire.StatusError
			frame, err = wire.Frame(h, proto.Error{Code: 39, Domain: 7, Message: &message, Level: proto.LevelError})
			to = conn
		} else {
			frame, err = wire.Frame(h, raw(payload))
		}
		if err != nil {
			return
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

type raw []byte

func (b raw) Encode(e *wire.Encoder) {
	d := wire.NewDecoder(b)
	for d.Rest() > 0 {
		e.Uint32(d.Uint32())
	}
}

// libvirt97 hides what libvirt 9.7 does not have.
func libvirt97(h wire.Header) string {
	if h.Program == proto.ExtensionProgram {
		return "Cannot find program 1986622050 version 1"
	}
	return ""
}

// libvirt90 hides what libvirt 9.0 does not have.
func libvirt90(h wire.Header) string {
	if h.Procedure == proto.NetworkSetMetadata || h.Procedure == proto.NetworkGetMetadata {
		return "unknown procedure: 444"
	}
	return libvirt97(h)
}
