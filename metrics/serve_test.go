package metrics_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/metrics"
	"github.com/virbr/virbr/quota"
)

// served returns a listener's address; it is served until the test ends.
func served(t *testing.T, network, address string) net.Addr {
	t.Helper()
	return servedBy(t, config(), network, address)
}

func servedBy(t *testing.T, cfg metrics.Config, network, address string) net.Addr {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- metrics.New(cfg).Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return l.Addr()
}

// ask sends bytes and returns the reply.
func ask(t *testing.T, to net.Addr, request string) *http.Response {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestServe(t *testing.T) {
	t.Parallel()
	tcp := served(t, "tcp", "127.0.0.1:0")
	path := filepath.Join(t.TempDir(), "m.sock")
	unix := served(t, "unix", path)
	tests := []struct {
		name, request string
		to            net.Addr
		status        int
	}{
		{"loopback", "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9477\r\n\r\n", tcp, 200},
		{"loopback by name", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", tcp, 200},
		{"IPv6 loopback", "GET /metrics?x=y HTTP/1.1\r\nHost: [::1]:9477\r\n\r\n", tcp, 200},
		{"socket", "GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n", unix, 200},
		{"a web page's name", "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", tcp, 421},
		{"another page", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", tcp, 404},
		{"profiles", "GET /debug/pprof/ HTTP/1.1\r\nHost: localhost\r\n\r\n", unix, 404},
		{"a change", "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", tcp, 405},
		{"options", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", tcp, 404},
		{"long header", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", tcp, 431},
		{"no HTTP", "\x16\x03\x01\x02\r\n\r\n", tcp, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reply := ask(t, tt.to, tt.request)
			if reply.StatusCode != tt.status {
				t.Errorf("status %d, want %d", reply.StatusCode, tt.status)
			}
			if tt.status != 200 {
				return
			}
			body, err := io.ReadAll(reply.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := reply.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
				t.Errorf("type %q", got)
			}
			if read(t, body)["virbr_build_info"] == nil {
				t.Errorf("no metrics:\n%s", body)
			}
		})
	}
}

// TestIdleConnections: those who connect and say nothing lose their connections in
// time, and keep nobody else waiting meanwhile: neither other users nor root.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	var user atomic.Pointer[quota.User]
	user.Store(&quota.User{UID: 1000})
	cfg := config()
	cfg.User = func(net.Conn) quota.User { return *user.Load() }
	addr := servedBy(t, cfg, "tcp", "127.0.0.1:0")
	const many, share = 20, 4
	begun := time.Now()
	ends := make(chan error, many)
	for range many {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		go func() {
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, err := conn.Read(make([]byte, 1))
			ends <- err
		}()
	}
	for range many - share { // so many are refused at once: the others are connected
		if err := <-ends; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection too many stays open")
		}
	}
	for _, next := range []quota.User{{UID: 1001}, {Class: quota.Root}} {
		user.Store(&next)
		if reply := ask(t, addr, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); reply.StatusCode != 200 {
			t.Errorf("%v: status %d", next, reply.StatusCode)
		}
	}
	if len(ends) > 0 && time.Since(begun) < 4*time.Second {
		t.Error("more connections are refused than too many")
	}
	for range share {
		if err := <-ends; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a silent connection stays open")
		}
	}
}

// TestSlowReader: who asks and does not read keeps nobody waiting.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	cfg := config()
	many := make([]driver.NetworkStats, 20000) // more than sockets hold
	for i := range many {
		many[i] = driver.NetworkStats{Name: fmt.Sprintf("network-%d", i)}
	}
	cfg.Networks = func() []driver.NetworkStats { return many }
	cfg.Rejected = func(context.Context, []string) (map[string]metrics.Rejected, error) { return nil, nil }
	cfg.Stopped = func(context.Context) ([]metrics.Stopped, error) { return nil, nil }
	addr := servedBy(t, cfg, "tcp", "127.0.0.1:0")
	for range 3 {
		if reply := ask(t, addr, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); reply.StatusCode != 200 {
			t.Errorf("status %d", reply.StatusCode)
		}
	}
}
