package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestUpgrade: pings and TCP streams of a guest, on its way out and by way of a
// forward, do not notice that virbrd is restarted, killed, reloaded and replaced
// by another build of it; dnsmasq goes on, and what the first virbrd made the last
// one takes away.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newer := t.TempDir()
		if err := binaries.Build(newer, "-ldflags", "-X main.version=newer"); err != nil {
			t.Fatal(err)
		}
		out := newOutside(t)
		before := netnstest.Snapshot(t)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		g, _, _ := addressed(t, "g", "br-one")
		mustVirbr(t, "forward", "add", "one", "8080:80", "g")
		out.Route(t, netip.MustParsePrefix("fd00:91::/64"), netip.MustParseAddr(uplink6))
		dnsmasq := read(t, "/run/libvirt/network/one.pid")
		traffic := []*stream{
			streams(t, g, out, netip.MustParseAddrPort(outside4+":99"), ":99"),
			streams(t, out, g, netip.MustParseAddrPort(uplink4+":8080"), ":80"),
			streams(t, g, out, netip.MustParseAddrPort("["+outside6+"]:98"), ":98"),
		}
		pings := floods(t, g, outside4)
		flowing := func(when string) {
			t.Helper()
			for _, s := range traffic {
				if err := s.flows(t); err != nil {
					t.Errorf("%s: the stream to %s: %v", when, s.to, err)
				}
			}
		}
		flowing("at first")
		d.stop()
		flowing("without virbrd")
		d = startVirbrd(t)
		flowing("restarted")
		d.kill()
		d = startVirbrd(t)
		flowing("killed and started")
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "virbrd has reloaded", func() error {
			if !strings.Contains(d.log.String(), "reloaded") {
				return errors.New(d.log.String())
			}
			return nil
		})
		flowing("reloaded")
		d.stop()
		d = &daemon{t: t, uri: d.uri}
		d.start(newer + "/virbrd")
		if !strings.Contains(d.log.String(), "version=newer") {
			t.Errorf("this is not the newer one:\n%s", d.log)
		}
		flowing("replaced")
		if sent, lost := pings(); lost != 0 || sent < 10 {
			t.Errorf("%d of %d pings were lost", lost, sent)
		}
		if now := read(t, "/run/libvirt/network/one.pid"); now != dnsmasq {
			t.Errorf("dnsmasq is process %s, was %s", now, dnsmasq)
		}
		for _, s := range traffic {
			s.end()
		}
		run(t, "ip", "link", "del", g.Tap)
		d.virsh("net-destroy", "one")
		d.virsh("net-undefine", "one")
		netnstest.Wait(t, "nothing is left of the network", func() error {
			after := netnstest.Snapshot(t)
			for _, what := range []string{"links", "rules", "qdiscs"} {
				if text := after[what]; text != before[what] {
					return fmt.Errorf("%s is\n%s\nwas\n%s", what, text, before[what])
				}
			}
			return nil
		})
	})
}

// stream is a TCP connection over which bytes go one way all the time.
type stream struct {
	to       netip.AddrPort
	conn     net.Conn
	received atomic.Int64
	broken   atomic.Pointer[error]
	over     sync.WaitGroup
}

// streams opens a connection from one guest to another, which listens at an
// address of its own.
func streams(t *testing.T, from, to *netnstest.Guest, where netip.AddrPort, listen string) *stream {
	t.Helper()
	s := &stream{to: where}
	var l net.Listener
	if err := to.Do(func() (err error) { l, err = net.Listen("tcp", listen); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	err := from.Do(func() (err error) {
		s.conn, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", where.String())
		return err
	})
	if err != nil {
		t.Fatalf("connecting to %s: %v", where, err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.over.Go(func() {
		tick := time.NewTicker(time.Millisecond) // a talk, not a flood: other tests run beside it
		defer tick.Stop()
		for range tick.C {
			if _, err := s.conn.Write(make([]byte, 512)); err != nil {
				s.broken.Store(&err)
				return
			}
		}
	})
	s.over.Go(func() {
		data := make([]byte, 4096)
		for {
			n, err := far.Read(data)
			s.received.Add(int64(n))
			if err != nil {
				if !errors.Is(err, io.EOF) {
					s.broken.Store(&err)
				}
				return
			}
		}
	})
	t.Cleanup(func() { _, _ = s.conn.Close(), far.Close(); s.over.Wait() })
	return s
}

// flows waits until more has arrived than had when it was called.
func (s *stream) flows(t *testing.T) error {
	t.Helper()
	was := s.received.Load()
	var broken error
	netnstest.Wait(t, "the stream to "+s.to.String()+" flows", func() error {
		if err := s.broken.Load(); err != nil {
			broken = *err
			return nil
		}
		if s.received.Load() <= was+4096 {
			return fmt.Errorf("nothing has arrived since byte %d", was)
		}
		return nil
	})
	return broken
}

func (s *stream) end() { _ = s.conn.Close() }

// floods pings fifty times a second until it is asked how many were sent and lost.
func floods(t *testing.T, g *netnstest.Guest, to string) func() (sent, lost int) {
	t.Helper()
	var out strings.Builder
	cmd := exec.Command("ping", "-n", "-q", "-i", "0.02", "-W", "5", to)
	cmd.Stdout = &out
	if err := g.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return func() (sent, lost int) {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		m := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(out.String())
		if m == nil {
			t.Fatalf("ping says %q", out.String())
		}
		var received int
		_, _ = fmt.Sscan(m[1], &sent)
		_, _ = fmt.Sscan(m[2], &received)
		return sent, sent - received
	}
}
