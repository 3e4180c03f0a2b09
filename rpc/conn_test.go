package rpc_test

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// patience bounds what a test waits for. Nothing is expected to take so long.
const patience = 2 * time.Minute

// conn is a client that does what it is told, right or wrong.
type conn struct {
	t *testing.T
	net.Conn
	r      *wire.Reader
	serial uint32
}

// connect connects to a socket.
func connect(t *testing.T, socket string) *conn {
	t.Helper()
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return newConn(t, nc)
}

func newConn(t *testing.T, nc net.Conn) *conn {
	return &conn{t: t, Conn: nc, r: wire.NewReader(nc)}
}

// login connects and opens the connection to the driver.
func login(t *testing.T, socket string) *conn {
	t.Helper()
	c := connect(t, socket)
	c.open(0)
	return c
}

func (c *conn) open(flags uint32) {
	c.t.Helper()
	c.must(proto.AuthList, nil, nil)
	name := "network:///system"
	c.must(proto.ConnectOpen, &proto.OpenArgs{Name: &name, Flags: flags}, nil)
}

// words turns "0000001c 20008086" into bytes.
func words(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "", "|", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw sends bytes.
func (c *conn) raw(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// frame sends a frame.
func (c *conn) frame(h wire.Header, args wire.Message) {
	c.t.Helper()
	b, err := wire.Frame(h, args)
	if err != nil {
		c.t.Fatal(err)
	}
	c.raw(b)
}

// send sends a call of the remote program and returns its serial.
func (c *conn) send(procedure int32, args wire.Message) uint32 {
	c.t.Helper()
	serial := c.serial
	c.serial++
	c.frame(wire.Header{Program: proto.Program, Version: proto.Version, Procedure: procedure, Serial: serial}, args)
	return serial
}

// next receives a frame.
func (c *conn) next() (wire.Header, []byte) {
	c.t.Helper()
	h, _, err := c.r.Header()
	if err != nil {
		c.t.Fatalf("receiving: %v", err)
	}
	payload, err := c.r.Payload(wire.MaxPayload, wire.MaxPayload, nil)
	if err != nil {
		c.t.Fatalf("receiving: %v", err)
	}
	return h, payload
}

// closed wants the connection to be closed by the server, without another word.
func (c *conn) closed() {
	c.t.Helper()
	h, _, err := c.r.Header()
	switch {
	case err == nil:
		c.t.Errorf("got a frame instead of the end: %+v", h)
	case errors.Is(err, io.EOF), strings.Contains(err.Error(), "connection reset"):
	default:
		c.t.Errorf("instead of the end: %v", err)
	}
}

// call makes a call and waits for its reply, which must be the next frame.
func (c *conn) call(procedure int32, args wire.Message) ([]byte, *proto.Error) {
	c.t.Helper()
	serial := c.send(procedure, args)
	h, payload := c.next()
	want := wire.Header{
		Program: proto.Program, Version: proto.Version, Procedure: procedure,
		Type: wire.TypeReply, Serial: serial, Status: h.Status,
	}
	if diff := cmp.Diff(want, h); diff != "" {
		c.t.Fatalf("header of the reply (-want +got):\n%s", diff)
	}
	if h.Status == wire.StatusOK {
		return payload, nil
	}
	e := decodeError(c.t, payload)
	return nil, &e
}

func decodeError(t *testing.T, payload []byte) (e proto.Error) {
	t.Helper()
	decode(t, payload, &e)
	if e.Message == nil || e.Level != proto.LevelError {
		t.Errorf("an error without message or level: %+v", e)
	}
	return e
}

// decode reads a whole payload.
func decode(t *testing.T, payload []byte, into wire.Message) {
	t.Helper()
	if rest, err := wire.Decode(payload, into); err != nil || rest != 0 {
		t.Fatalf("decoding %T: %v, %d bytes left", into, err, rest)
	}
}

// must makes a call that succeeds.
func (c *conn) must(procedure int32, args, result wire.Message) {
	c.t.Helper()
	payload, e := c.call(procedure, args)
	if e != nil {
		c.t.Fatalf("procedure %d: code %d, domain %d: %s", procedure, e.Code, e.Domain, *e.Message)
	}
	if result != nil {
		decode(c.t, payload, result)
	}
}

// refused makes a call that fails, and compares code, domain and message.
func (c *conn) refused(procedure int32, args wire.Message, code, domain int32, message string) *proto.Error {
	c.t.Helper()
	payload, e := c.call(procedure, args)
	if e == nil {
		c.t.Fatalf("procedure %d succeeded: %x", procedure, payload)
	}
	if e.Code != code || e.Domain != domain || *e.Message != message {
		c.t.Errorf("procedure %d: E(%d,%d) %q, want E(%d,%d) %q", procedure, e.Code, e.Domain, *e.Message, code, domain, message)
	}
	return e
}

// alive wants the connection to be usable: the next frame answers a call.
func (c *conn) alive() {
	c.t.Helper()
	c.must(proto.AuthList, nil, nil)
}
