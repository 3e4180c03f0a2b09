package host

import (
	"context"
	"fmt"
	"sync"

	"github.com/virbr/virbr/driver/step"
)

// starts are the dnsmasqs that were started aside and that nobody has waited for
// yet.
type starts struct {
	mu   sync.Mutex
	list map[string]*aside // by pid file; guarded by mu
}

// aside is a start that goes on while other ops are done.
type aside struct {
	cancel context.CancelFunc
	over   chan struct{}
	err    error // of the start; set before over is closed
}

// begin starts a dnsmasq and returns. None is under way for the same pid file.
func (s *starts) begin(ctx context.Context, pidFile string, start func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &aside{cancel: cancel, over: make(chan struct{})}
	s.mu.Lock()
	if s.list == nil {
		s.list = map[string]*aside{}
	}
	s.list[pidFile] = a
	s.mu.Unlock()
	go func() {
		defer close(a.over)
		a.err = start(ctx)
	}()
}

// take returns the start of a pid file that is under way, which is the caller's
// then; nil: there is none.
func (s *starts) take(pidFile string) *aside {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.list[pidFile]
	delete(s.list, pidFile)
	return a
}

// giveUp ends the start of a pid file that is under way, if one is.
func (s *starts) giveUp(pidFile string) {
	if a := s.take(pidFile); a != nil {
		a.end()
	}
}

// end ends a start, with all that it has begun.
func (a *aside) end() {
	a.cancel()
	<-a.over
}

// close ends all starts that are under way.
func (s *starts) close() {
	s.mu.Lock()
	left := s.list
	s.list = nil
	s.mu.Unlock()
	for _, a := range left {
		a.end()
	}
}

// awaitDnsmasq waits for a dnsmasq that was started aside. The start ends by itself
// when its own context does.
func (h *Host) awaitDnsmasq(op step.AwaitDnsmasq) error {
	a := h.starts.take(op.PidFile)
	if a == nil && h.DnsmasqAlive(op.PidFile) {
		return nil // somebody has waited for it
	}
	if a == nil {
		return opError("waiting for the dnsmasq of", op.PidFile, fmt.Errorf("%w: it was not started", errStopped))
	}
	<-a.over
	a.cancel()
	return a.err
}
