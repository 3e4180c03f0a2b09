package abuse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/tests/netnstest"
)

// vandal is a way to misbehave. What it writes may be refused at any time; it
// keeps the connection for as long as it is let.
type vandal struct {
	name  string
	write func(conn net.Conn, r *rand.Rand) error
}

var vandals = []vandal{
	{"says nothing", func(net.Conn, *rand.Rand) error { return nil }},
	{"sends garbage", func(conn net.Conn, r *rand.Rand) error {
		return pour(conn, func() []byte { return noise(r, 1+r.IntN(4096)) })
	}},
	{"sends half a frame", func(conn net.Conn, r *rand.Rand) error {
		frame := call(proto.AuthList, nil)
		_, err := conn.Write(frame[:1+r.IntN(len(frame)-1)])
		return err
	}},
	{"sends a byte at a time, and stops", func(conn net.Conn, r *rand.Rand) error {
		frame := call(proto.ConnectOpen, &proto.OpenArgs{})
		for _, b := range frame[:r.IntN(len(frame))] {
			if _, err := conn.Write([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"announces a huge frame", func(conn net.Conn, r *rand.Rand) error {
		frame := append([]byte{0xff, 0xff, 0xff, byte(r.IntN(256))}, call(proto.AuthList, nil)[4:]...)
		_, err := conn.Write(frame)
		return err
	}},
	{"announces a frame that is too short", func(conn net.Conn, r *rand.Rand) error {
		_, err := conn.Write([]byte{0, 0, 0, byte(r.IntN(28))})
		return err
	}},
	{"announces a large frame, and sends little of it", func(conn net.Conn, r *rand.Rand) error {
		frame := append([]byte{0, 0xff, 0, 0}, call(proto.NetworkDefineXML, &proto.String{Value: strings.Repeat("x", 1+r.IntN(1<<16))})[4:]...)
		_, err := conn.Write(frame)
		return err
	}},
	{"announces long strings in short frames", func(conn net.Conn, r *rand.Rand) error {
		frame := call(proto.NetworkLookupByName, &proto.String{Value: "net1"})
		frame[28], frame[29] = byte(r.IntN(256)), byte(r.IntN(256)) // of the string's length
		_, err := conn.Write(append(login(), frame...))
		return err
	}},
	{"calls before it has opened the connection", func(conn net.Conn, _ *rand.Rand) error {
		return pour(conn, func() []byte { return call(proto.NetworkDestroy, new(reference(0))) })
	}},
	{"asks for more and more, and never reads", func(conn net.Conn, _ *rand.Rand) error {
		if _, err := conn.Write(login()); err != nil {
			return err
		}
		ask := call(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: reference(0)})
		return pour(conn, func() []byte { return ask })
	}},
	{"wants to hear of events, and never reads", func(conn net.Conn, _ *rand.Rand) error {
		_, err := conn.Write(append(login(), call(proto.ConnectNetworkEventRegister, &proto.EventArgs{EventID: proto.EventIDLifecycle})...))
		return err
	}},
	{"hangs up in the middle", func(conn net.Conn, r *rand.Rand) error {
		frame := append(login(), call(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: reference(0)})...)
		_, err := conn.Write(frame[:r.IntN(len(frame))])
		return errors.Join(err, conn.Close())
	}},
	{"asks, and hangs up", func(conn net.Conn, _ *rand.Rand) error {
		_, err := conn.Write(append(login(), call(proto.NetworkDefineXML, &proto.String{Value: document(1)})...))
		return errors.Join(err, conn.Close())
	}},
}

// call returns the frame of a call.
func call(procedure int32, args wire.Message) []byte {
	frame, err := wire.Frame(wire.Header{Program: proto.Program, Version: proto.Version, Procedure: procedure, Serial: 7}, args)
	if err != nil {
		panic(err)
	}
	return frame
}

// login returns the frames that open a connection.
func login() []byte {
	name := "network:///system"
	return append(call(proto.AuthList, nil), call(proto.ConnectOpen, &proto.OpenArgs{Name: &name})...)
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// pour writes pieces until nobody takes them any more, or it was enough: more than
// a socket holds.
func pour(conn net.Conn, next func() []byte) error {
	const pieces = 4000
	for range pieces {
		if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := conn.Write(next()); err != nil {
			return err
		}
	}
	return nil
}

// TestVandals: clients of every bad kind, and a thousand that only connect, keep
// nobody else from getting right answers, and when they have gone nothing of them
// is left.
func TestVandals(t *testing.T) {
	netnstest.NeedProgram(t, "dnsmasq", "ip", "tc", "nft")
	netnstest.Run(t, func(t *testing.T) {
		d := start(t)
		c := dial(t)
		define(t, c)
		if err := good(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		before := d.use()
		var used [2]use
		for i := range used { // what grows in the second round, too, leaks
			crowd := gather(t, size(300, 1000))
			if err := good(t.Context(), c); err != nil {
				t.Fatalf("while many are connected: %v", err)
			}
			t.Logf("with %d connections: %s", len(crowd), d.use())
			hordes(t, c)
			for _, conn := range crowd {
				_ = conn.Close()
			}
			used[i] = d.settle(before)
		}
		t.Logf("virbrd before: %s; after: %s; after as many again: %s", before, used[0], used[1])
		wantNoGrowth(t, used)
		if log := d.log.String(); strings.Contains(log, "panic") || len(log) > 1<<20 {
			t.Errorf("virbrd logged %d bytes: %.3000s", len(log), log)
		}
	})
}

// define defines the networks that vandals ask for.
func define(t *testing.T, c *client.Conn) {
	t.Helper()
	for n := range 2 {
		if err := c.Call(t.Context(), proto.NetworkDefineXML, &proto.String{Value: document(n)}, new(proto.Network)); err != nil {
			t.Fatal(err)
		}
	}
}

// good does what a client that means well does, on its old connection and on a new
// one.
func good(ctx context.Context, c *client.Conn) error {
	list, err := c.Networks(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range list {
		names = append(names, n.Name)
	}
	if diff := cmp.Diff([]string{"net0", "net1"}, names); diff != "" {
		return fmt.Errorf("networks (-want +got):\n%s", diff)
	}
	for _, procedure := range []int32{proto.NetworkCreate, proto.NetworkDestroy} {
		if err := c.Call(ctx, procedure, new(reference(0)), nil); err != nil {
			return err
		}
	}
	fresh, err := client.Dial(ctx, client.Config{})
	if err != nil {
		return err
	}
	_, err = fresh.Lookup(ctx, "net1")
	return errors.Join(err, fresh.Close())
}

// gather connects a crowd that says nothing.
func gather(t *testing.T, n int) []net.Conn {
	t.Helper()
	var crowd []net.Conn
	for i := range n {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		crowd = append(crowd, conn)
	}
	return crowd
}

// hordes lets so many of each kind at the daemon, one kind after the other and in
// the end all at once, while a good client works.
func hordes(t *testing.T, c *client.Conn) {
	t.Helper()
	n := size(10, 50)
	var all []net.Conn
	for i, v := range vandals {
		conns, wait := release(t, v, n, uint64(i))
		if err := good(t.Context(), c); err != nil {
			t.Fatalf("while %d clients are there of whom each %s: %v", n, v.name, err)
		}
		wait()
		all = append(all, conns...)
	}
	if err := good(t.Context(), c); err != nil {
		t.Fatalf("while all of them are there: %v", err)
	}
	for _, conn := range all {
		_ = conn.Close()
	}
}

// release lets vandals of a kind loose. wait waits until they have said what they
// have to say.
func release(t *testing.T, v vandal, n int, seed uint64) (conns []net.Conn, wait func()) {
	t.Helper()
	var group sync.WaitGroup
	for i := range n {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		group.Go(func() {
			err := v.write(conn, r)
			var closed *net.OpError
			if err != nil && !errors.As(err, &closed) && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", v.name, err)
			}
		})
	}
	return conns, group.Wait
}
