package quota

import (
	"context"
	"errors"
	"sync"
)

// ErrGone says that who waited is not there any more.
var ErrGone = errors.New("nobody waits for it any more")

// Semaphore is shares that many goroutines take and wait for.
type Semaphore struct {
	mu      sync.Mutex // guards the fields below
	shares  *Shares
	waiting Queue[*request]
}

// request is what a goroutine waits for.
type request struct {
	n       int64
	granted chan struct{}
}

// NewSemaphore returns a semaphore of so many pieces; 0 means no limit.
func NewSemaphore(total int64) *Semaphore { return &Semaphore{shares: NewShares(total)} }

// Try takes n pieces if they are free now.
func (s *Semaphore) Try(u User, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shares.Fits(u, n) {
		return false
	}
	s.shares.Take(u, n)
	return true
}

// Acquire takes n pieces as soon as they are free. It ends without them when ctx
// does, or when gone is closed.
func (s *Semaphore) Acquire(ctx context.Context, gone <-chan struct{}, u User, n int64) error {
	r := &request{n: n, granted: make(chan struct{})}
	s.mu.Lock()
	s.waiting.Push(u, r) // behind those of the same user who wait already
	s.grant()
	s.mu.Unlock()
	select {
	case <-r.granted:
		return nil
	case <-ctx.Done():
		s.withdraw(u, r)
		return ctx.Err()
	case <-gone:
		s.withdraw(u, r)
		return ErrGone
	}
}

// withdraw ends a request that may have been granted meanwhile.
func (s *Semaphore) withdraw(u User, r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-r.granted:
		s.shares.Give(u, r.n)
	default:
		s.waiting.Remove(u, r)
	}
	s.grant()
}

// Release returns n pieces.
func (s *Semaphore) Release(u User, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shares.Give(u, n)
	s.grant()
}

// grant gives those who wait what is free. The lock is held.
func (s *Semaphore) grant() {
	for {
		u, r, ok := s.waiting.Pop(func(u User, r *request) bool { return s.shares.Fits(u, r.n) })
		if !ok {
			return
		}
		s.shares.Take(u, r.n)
		close(r.granted)
	}
}
