//go:build libvirt_dlopen

package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
)

// interval is the time between two messages of a stream.
const interval = 10 * time.Millisecond

// stream is a connection by which numbers go to a server and come back, one after
// the other, until it is ended. None may be missing.
type stream struct {
	t    *testing.T
	name string
	conn net.Conn
	back atomic.Uint64 // the last number that came back
	stop context.CancelFunc
	done chan error
}

// echoes has a guest send back what it gets on a port.
func echoes(t *testing.T, g *netnstest.Guest, network string, port uint16) {
	t.Helper()
	var open io.Closer
	at := netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()
	err := g.Do(func() error {
		if network == "udp4" {
			conn, err := net.ListenPacket(network, at)
			if err == nil {
				open = conn
				go echoPackets(conn)
			}
			return err
		}
		l, err := net.Listen(network, at)
		if err == nil {
			open = l
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					go func() { _, _ = io.Copy(c, c) }()
				}
			}()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })
}

func echoPackets(conn net.PacketConn) {
	for buf := make([]byte, 64); ; {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}
}

// newStream connects a guest, or the outside host, to a server.
func newStream(t *testing.T, g *netnstest.Guest, network, to string) *stream {
	t.Helper()
	s := &stream{t: t, name: fmt.Sprintf("%s of %s to %s", network, g.Name, to), done: make(chan error, 1)}
	err := g.Do(func() (err error) {
		s.conn, err = (&net.Dialer{}).DialContext(t.Context(), network, to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	t.Cleanup(func() { stop(); _ = s.conn.Close() })
	go func() { s.done <- s.run(ctx) }()
	s.moves()
	return s
}

// run sends a number each interval, and receives them in another goroutine. It
// ends when all that were sent are back.
func (s *stream) run(ctx context.Context) error {
	received := make(chan error, 1)
	var last atomic.Uint64 // the last number to come; 0: not known yet
	go func() { received <- s.receive(&last) }()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for number := uint64(1); ; number++ {
		select {
		case err := <-received:
			return err
		case <-ctx.Done():
			last.Store(number)
			if _, err := s.conn.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
				return err
			}
			if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
			return <-received
		case <-tick.C:
			if _, err := s.conn.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
				return err
			}
		}
	}
}

func (s *stream) receive(last *atomic.Uint64) error {
	for want, buf := uint64(1), make([]byte, 8); ; want++ {
		_, err := io.ReadFull(s.conn, buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("the last is %d, and %d is not back", last.Load(), want)
		}
		if err != nil {
			return err
		}
		got := binary.BigEndian.Uint64(buf)
		if got != want {
			return fmt.Errorf("%d is followed by %d", want-1, got)
		}
		s.back.Store(got)
		if got == last.Load() {
			return nil
		}
	}
}

// moves waits until some more numbers are back.
func (s *stream) moves() {
	s.t.Helper()
	const some = 10
	goal := s.back.Load() + some
	netnstest.Wait(s.t, s.name+" moves", func() error {
		select {
		case err := <-s.done:
			s.t.Fatalf("%s: %v", s.name, err)
		default:
		}
		if now := s.back.Load(); now < goal {
			return fmt.Errorf("%d are back, not %d", now, goal)
		}
		return nil
	})
}

// end ends the stream; everything must come back.
func (s *stream) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Errorf("%s: %v", s.name, err)
	}
	s.t.Logf("%d round trips by %s", s.back.Load(), s.name)
}
