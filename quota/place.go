package quota

import "context"

// place is what a call that runs has of a semaphore.
type place struct {
	semaphore *Semaphore
	user      User
}

// placeKey is the key of a call's place in its context.
type placeKey struct{}

// With returns the context of a call that has a piece of the semaphore.
func (s *Semaphore) With(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, placeKey{}, place{s, u})
}

// Idle waits for something without the call's piece, and takes one again: a call
// that waits for a hook script, or for another change of its network, does not
// work meanwhile, and any number may wait. The wait for the piece is short, for
// those who have one work.
func Idle(ctx context.Context, wait func()) {
	if p, ok := ctx.Value(placeKey{}).(place); ok {
		p.semaphore.Release(p.user, 1)
		defer func() { _ = p.semaphore.Acquire(context.WithoutCancel(ctx), nil, p.user, 1) }()
	}
	wait()
}
