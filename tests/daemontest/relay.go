package daemontest

import (
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// Relay relays a socket and returns the path of its own. Calls of which refuse
// tells a message are answered as a daemon does that does not know them: so ours
// passes for an older one, and for others. nil refuses nothing.
func Relay(t testing.TB, socket string, refuse func(wire.Header) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	stop, err := StartRelay(path, socket, refuse)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	return path
}

// StartRelay is Relay with a path that is given; it returns what stops it.
func StartRelay(path, socket string, refuse func(wire.Header) string) (func() error, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, socket, refuse)
		}
	}()
	return l.Close, nil
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
		message := ""
		if refuse != nil {
			message = refuse(h)
		}
		if message != "" {
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

// Libvirt97 hides what libvirt 9.7 does not have.
func Libvirt97(h wire.Header) string {
	if h.Program == proto.ExtensionProgram {
		return "Cannot find program 1986622050 version 1"
	}
	return ""
}

// Libvirt90 hides what libvirt 9.0 does not have.
func Libvirt90(h wire.Header) string {
	if h.Procedure == proto.NetworkSetMetadata || h.Procedure == proto.NetworkGetMetadata {
		return "unknown procedure: 444"
	}
	return Libvirt97(h)
}
