package host

import (
	"context"
	"fmt"
	"sync"

	"github.com/virbr/virbr/driver/step"
)

// byPIDFile is what somebody will take care of later, by the pid file of a dnsmasq.
type byPIDFile[T any] struct {
	mu   sync.Mutex
	list map[string]*T // guarded by mu
}

// swap puts something in for a pid file, nil: nothing, and returns what there was, which
// is the caller's then.
func (p *byPIDFile[T]) swap(pidFile string, v *T) *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.list[pidFile]
	if p.list == nil {
		p.list = map[string]*T{}
	}
	p.list[pidFile] = v
	if v == nil {
		delete(p.list, pidFile)
	}
	return old
}

// take takes what there is for a pid file; nil: nothing.
func (p *byPIDFile[T]) take(pidFile string) *T { return p.swap(pidFile, nil) }

func (p *byPIDFile[T]) has(pidFile string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[pidFile] != nil
}

// end takes all, and calls end for each.
func (p *byPIDFile[T]) end(end func(*T)) {
	p.mu.Lock()
	left := p.list
	p.list = nil
	p.mu.Unlock()
	for _, v := range left {
		end(v)
	}
}

// aside is a start that goes on while other ops are done.
type aside struct {
	cancel context.CancelFunc
	over   chan struct{}
	err    error // of the start; set before over is closed
}

// begin starts a dnsmasq and returns. None is under way for the same pid file.
func (h *Host) begin(ctx context.Context, pidFile string, start func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &aside{cancel: cancel, over: make(chan struct{})}
	h.starts.swap(pidFile, a)
	go func() {
		defer close(a.over)
		a.err = start(ctx)
	}()
}

// giveUp ends the start of a pid file that is under way, if one is.
func (h *Host) giveUp(pidFile string) {
	if a := h.starts.take(pidFile); a != nil {
		a.end()
	}
}

// end ends a start, with all that it has begun.
func (a *aside) end() {
	a.cancel()
	<-a.over
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
