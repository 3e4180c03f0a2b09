package driver

import "context"

// Workers bounds how many calls work side by side. A call that waits for a hook
// script, or for another change of its network, is none of them meanwhile: any
// number may wait, and keep nobody else from working.
type Workers chan struct{}

// Take waits for a place among the workers. The context that it returns is the
// call's from then on; release gives the place back at the end.
func (w Workers) Take(ctx context.Context) (_ context.Context, release func(), err error) {
	select {
	case w <- struct{}{}:
		return w.with(ctx), w.release, nil
	case <-ctx.Done():
		return ctx, nil, ctx.Err()
	}
}

func (w Workers) release() { <-w }

// with returns the context of a call that has a place.
func (w Workers) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, worker{}, w)
}

// worker is the key of a context of the call of a worker.
type worker struct{}

// idle waits for something without the call's place among the workers, and takes
// one again. That wait is short, for those who have one work.
func idle(ctx context.Context, wait func()) {
	if w, ok := ctx.Value(worker{}).(Workers); ok {
		w.release()
		defer func() { w <- struct{}{} }()
	}
	wait()
}
