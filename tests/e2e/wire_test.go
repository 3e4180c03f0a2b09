package e2e

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

// The daemon's sockets.
const (
	socketRW = "/run/libvirt/virtnetworkd-sock"
	socketRO = "/run/libvirt/virtnetworkd-sock-ro"
)

// client speaks the protocol itself: for calls that virsh has no command for,
// and for clients that misbehave.
type client struct {
	t *testing.T
	net.Conn
	r      *wire.Reader
	serial uint32
	told   []any // events that came before the reply of a call
}

// dial connects to a socket as root and opens the network driver.
func dial(t *testing.T, socket string, flags uint32) *client {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * patience)); err != nil { // for all that the test does with it
		t.Fatal(err)
	}
	c := &client{t: t, Conn: conn, r: wire.NewReader(conn)}
	c.must(proto.AuthList, nil, nil)
	name := "network:///system"
	c.must(proto.ConnectOpen, &proto.OpenArgs{Name: &name, Flags: flags}, nil)
	return c
}

// call makes a call. Events that come before its reply are kept.
func (c *client) call(procedure int32, args wire.Message) ([]byte, *proto.Error) {
	c.t.Helper()
	serial := c.serial
	c.serial++
	b, err := wire.Frame(wire.Header{Program: proto.Program, Version: proto.Version, Procedure: procedure, Serial: serial}, args)
	if err == nil {
		_, err = c.Write(b)
	}
	if err != nil {
		c.t.Fatalf("sending procedure %d: %v", procedure, err)
	}
	for {
		h, payload, err := c.next()
		if err != nil {
			c.t.Fatalf("waiting for the reply of procedure %d: %v", procedure, err)
		}
		if h.Type == wire.TypeMessage {
			c.told = append(c.told, c.event(h, payload))
			continue
		}
		if h.Procedure != procedure || h.Serial != serial {
			c.t.Fatalf("procedure %d, serial %d was answered by %+v", procedure, serial, h)
		}
		if h.Status == wire.StatusOK {
			return payload, nil
		}
		e := new(proto.Error)
		c.decode(payload, e)
		return nil, e
	}
}

// next receives a frame.
func (c *client) next() (wire.Header, []byte, error) {
	h, _, err := c.r.Header()
	if err != nil {
		return h, nil, err
	}
	payload, err := c.r.Payload(wire.MaxPayload, wire.MaxPayload, nil)
	return h, payload, err
}

func (c *client) decode(payload []byte, into wire.Message) {
	c.t.Helper()
	if rest, err := wire.Decode(payload, into); err != nil || rest != 0 {
		c.t.Fatalf("decoding %T: %v, %d bytes left", into, err, rest)
	}
}

// must makes a call that succeeds. A nil result means that there is none.
func (c *client) must(procedure int32, args, result wire.Message) {
	c.t.Helper()
	payload, e := c.call(procedure, args)
	if e != nil {
		c.t.Fatalf("procedure %d: code %d, domain %d: %s", procedure, e.Code, e.Domain, *e.Message)
	}
	if result != nil {
		c.decode(payload, result)
	}
}

// refused makes a call that fails with an error's code, domain and message.
func (c *client) refused(procedure int32, args wire.Message, code, domain int32, message string) {
	c.t.Helper()
	_, e := c.call(procedure, args)
	if e == nil {
		c.t.Errorf("procedure %d succeeded, want %q", procedure, message)
		return
	}
	if e.Code != code || e.Domain != domain || *e.Message != message {
		c.t.Errorf("procedure %d: code %d, domain %d, %q; want code %d, domain %d, %q", procedure, e.Code, e.Domain, *e.Message, code, domain, message)
	}
}

// lookup finds a network by its name.
func (c *client) lookup(name string) proto.Network {
	c.t.Helper()
	var n proto.Network
	c.must(proto.NetworkLookupByName, &proto.String{Value: name}, &n)
	return n
}

// listen registers for an event, of one network or of all, and returns the
// callback's id.
func (c *client) listen(event int32, network *proto.Network) int32 {
	c.t.Helper()
	var id proto.Int
	c.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{EventID: event, Network: network}, &id)
	return id.Value
}

// event decodes an event.
func (c *client) event(h wire.Header, payload []byte) any {
	c.t.Helper()
	switch h.Procedure {
	case proto.NetworkEventLifecycle:
		var e proto.Lifecycle
		c.decode(payload, &e)
		return e
	case proto.NetworkEventMetadataChange:
		var e proto.MetadataChange
		c.decode(payload, &e)
		return e
	}
	c.t.Fatalf("an event that nobody asked for: %+v", h)
	return nil
}

// hear returns the next event.
func (c *client) hear() any {
	c.t.Helper()
	if len(c.told) > 0 {
		first := c.told[0]
		c.told = c.told[1:]
		return first
	}
	h, payload, err := c.next()
	if err != nil || h.Type != wire.TypeMessage {
		c.t.Fatalf("waiting for an event: %+v, %v", h, err)
	}
	return c.event(h, payload)
}

// ended wants the daemon to have closed the connection, behind what it had
// sent.
func (c *client) ended() {
	c.t.Helper()
	for {
		_, _, err := c.next()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "connection reset"):
			return
		default:
			c.t.Errorf("instead of the end: %v", err)
			return
		}
	}
}

func pointer(s string) *string { return &s }

func hexUUID(u [16]byte) string { return xml.UUID(u).String() }
