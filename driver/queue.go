package driver

import (
	"sync"
	"time"
)

// workQueue does something for networks: for each one at a time, and once more if
// it was asked for meanwhile, at a distance.
type workQueue struct {
	do   func(*network)
	rest func(time.Duration) bool // false: it is over; nil: none is needed
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	again map[*network]bool
}

func newWorkQueue(do func(*network), rest func(time.Duration) bool) *workQueue {
	return &workQueue{do: do, rest: rest, again: map[*network]bool{}}
}

func (e *workQueue) wait() { e.wg.Wait() }

func (e *workQueue) add(n *network) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, busy := e.again[n]; busy {
		e.again[n] = true
		return
	}
	e.again[n] = false
	e.wg.Go(func() {
		rest := firstRest
		for more := true; more; rest = min(2*rest, longestRest) {
			e.do(n)
			more = (e.rest == nil || e.rest(rest)) && e.next(n)
		}
	})
}

// next reports whether a network is to be dealt with once more.
func (e *workQueue) next(n *network) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.again[n] {
		e.again[n] = false
		return true
	}
	delete(e.again, n)
	return false
}
