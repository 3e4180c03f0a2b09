package driver

import (
	"slices"
	"sync"
	"time"
)

// StartTimes is how long starts of networks took since the daemon started.
type StartTimes struct {
	Bounds []time.Duration // of the classes: a start belongs to the first that is not below it
	Counts []uint64        // by class; the last one is of starts beyond all bounds
	Sum    time.Duration
	Failed uint64 // starts that failed, which are in no class
}

// startBounds are wide enough for a host that starts everything at once and fine
// where one start usually is.
var startBounds = []time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// durations counts starts; the zero value has seen none.
type durations struct {
	mu     sync.Mutex // guards what follows
	counts []uint64
	sum    time.Duration
	failed uint64
}

// observe counts a start that took so long, or failed.
func (s *durations) observe(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
		return
	}
	if s.counts == nil {
		s.counts = make([]uint64, len(startBounds)+1)
	}
	class, _ := slices.BinarySearch(startBounds, took)
	s.counts[class]++
	s.sum += took
}

// StartTimes returns how long starts took since the daemon started.
func (d *Driver) StartTimes() StartTimes {
	s := &d.starts
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := slices.Clone(s.counts)
	if counts == nil {
		counts = make([]uint64, len(startBounds)+1)
	}
	return StartTimes{Bounds: slices.Clone(startBounds), Counts: counts, Sum: s.sum, Failed: s.failed}
}
