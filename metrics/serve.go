package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/virbr/virbr/quota"
)

// Bounds of a client. A scrape of a thousand networks takes some ten
// milliseconds; who needs longer for his part than this is no Prometheus.
const (
	headerPatience = 5 * time.Second
	replyPatience  = 30 * time.Second
	idlePatience   = 2 * time.Minute
	maxHeader      = 8 << 10 // bytes
	// What clients share, divided among users as package quota says.
	maxConns   = 16
	maxScrapes = 2 // at the same time
)

// contentType names the format, version 0.0.4.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// Serve answers GET /metrics, and nothing else, on a listener until ctx ends.
// It closes the listener.
func (c *Collector) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:                      c.handler(),
		ReadHeaderTimeout:            headerPatience,
		ReadTimeout:                  headerPatience,
		WriteTimeout:                 replyPatience,
		IdleTimeout:                  idlePatience,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(c.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  withUser,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = server.Close() // a scrape that is cut short is tried again
	})
	err := server.Serve(&shared{Listener: l, user: c.cfg.User, conns: quota.NewSemaphore(maxConns)})
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serving metrics on %q: %w", l.Addr(), err)
}

// handler answers one request. On a loopback address the host that the client
// names must be this one: a web page in somebody's browser can have its own name
// lead here, and would be allowed to read what it gets.
func (c *Collector) handler() http.Handler {
	scrapes := quota.NewSemaphore(maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case local != nil && local.Network() != "unix" && !loopback(r.Host):
			http.Error(w, "not for "+strings.ToValidUTF8(fmt.Sprintf("%q", r.Host), ""), http.StatusMisdirectedRequest)
			return
		case r.URL.Path != "/metrics":
			http.NotFound(w, r)
			return
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		user, _ := r.Context().Value(userKey{}).(quota.User)
		if scrapes.Acquire(r.Context(), nil, user, 1) != nil {
			return
		}
		document := c.Document(r.Context())
		scrapes.Release(user, 1) // who reads slowly keeps nobody waiting
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(document) // who does not want it any more has gone
	})
}

// loopback reports whether a Host header names this host by a loopback address.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}
