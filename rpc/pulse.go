package rpc

import (
	"sync"
	"time"
)

// pulse notices that a client is gone though its connection is not: a ping
// goes out after each interval in which nothing came in, and the client is dead
// when that many pings were not answered. Whatever comes in counts as an
// answer.
type pulse struct {
	interval time.Duration
	count    int
	ping     func()
	dead     func()
	deaf     func() bool // we are not listening, so silence means nothing

	mu         sync.Mutex // guards the fields below
	timer      *time.Timer
	last       time.Time // something came in, or nothing was missed
	unanswered int
	stopped    bool
}

// start begins to ping. Only clients that asked for it are pinged; others
// never answer.
func (p *pulse) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interval <= 0 || p.timer != nil || p.stopped {
		return
	}
	p.last = time.Now()
	p.timer = time.AfterFunc(p.interval, p.beat)
}

// touch says that something came in.
func (p *pulse) touch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.last, p.unanswered = time.Now(), 0
	}
}

// stop ends the pinging for good.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// beat runs when the timer fires.
func (p *pulse) beat() {
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return
	}
	if p.deaf() {
		p.last, p.unanswered = time.Now(), 0
	}
	due := p.last.Add(time.Duration(p.unanswered+1) * p.interval)
	if wait := time.Until(due); wait > 0 {
		p.timer.Reset(wait)
		p.mu.Unlock()
		return
	}
	act := p.ping
	if p.unanswered >= p.count {
		p.stopped = true
		act = p.dead
	} else {
		p.unanswered++
		p.timer.Reset(p.interval)
	}
	p.mu.Unlock()
	act()
}
