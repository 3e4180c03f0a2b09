package daemontest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// Pose answers a call in the place of the daemon; nil: the daemon answers.
type Pose func(h wire.Header, payload []byte) wire.Message

// Relay relays a socket and returns the path of its own. With a pose ours passes
// for an older daemon, and for libvirt's.
func Relay(t testing.TB, socket string, pose Pose) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	stop, err := StartRelay(path, socket, pose)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	return path
}

// StartRelay is Relay with a path that is given; it returns what stops it.
func StartRelay(path, socket string, pose Pose) (func() error, error) {
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
			go relay(conn, socket, pose)
		}
	}()
	return l.Close, nil
}

func relay(conn net.Conn, socket string, pose Pose) {
	defer conn.Close() //nolint:errcheck // the test is over
	up, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer up.Close() //nolint:errcheck // the test is over
	go func() {
		_, _ = io.Copy(conn, up)
		_ = conn.Close()
	}()
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
		if err := pass(conn, up, h, payload, pose); err != nil {
			return
		}
	}
}

// pass relays a call, or answers it.
func pass(conn, up net.Conn, h wire.Header, payload []byte, pose Pose) error {
	to, says := up, wire.Message(raw(payload))
	if pose != nil {
		if answer := pose(h, payload); answer != nil {
			to, says = conn, answer
			h.Type = wire.TypeReply
			if _, refused := answer.(*proto.Error); refused {
				h.Status = wire.StatusError
			}
		}
	}
	frame, err := wire.Frame(h, says)
	if err != nil {
		return err
	}
	_, err = to.Write(frame)
	return err
}

// raw is an encoded payload.
type raw []byte

// XDR appends v.
func (v raw) XDR(c *wire.Codec) {
	for word := range slices.Chunk(v, 4) {
		u := binary.BigEndian.Uint32(word)
		c.Uint32(&u)
	}
}

// Libvirt97 hides what libvirt 9.7 does not have.
func Libvirt97(h wire.Header, payload []byte) wire.Message {
	switch {
	case h.Program == proto.ExtensionProgram:
		return unknown("Cannot find program 1986622050 version 1")
	case h.Procedure == proto.ConnectGetLibVersion:
		return &proto.Hyper{Value: 9_007_000}
	case h.Procedure == proto.ConnectSupportsFeature && bytes.Equal(payload, binary.BigEndian.AppendUint32(nil, proto.FeatureExtensions)):
		return &proto.Int{}
	}
	return nil
}

// Libvirt90 hides what libvirt 9.0 does not have.
func Libvirt90(h wire.Header, payload []byte) wire.Message {
	switch h.Procedure {
	case proto.ConnectGetLibVersion:
		return &proto.Hyper{Value: 9_000_000}
	case proto.NetworkSetMetadata, proto.NetworkGetMetadata:
		return unknown(fmt.Sprintf("unknown procedure: %d", h.Procedure))
	}
	return Libvirt97(h, payload)
}

func unknown(message string) wire.Message {
	return &proto.Error{Code: 39, Domain: 7, Message: &message, Level: proto.LevelError}
}
