package rpc

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Why a frame does not go out.
var (
	errGone     = errors.New("the connection is closed")
	errOverflow = errors.New("the client does not read what it is sent")
)

// outgoing is a frame that waits to be written. done, if set, is called once
// it was written or never will be.
type outgoing struct {
	frame []byte
	done  func()
}

// outbox is the queue between all that talk to a client and the one goroutine
// that writes. Putting something into it never blocks.
type outbox struct {
	maxBytes, maxFrames int
	wake                chan struct{} // holds one token when there is work

	mu     sync.Mutex // guards the fields below
	queue  []outgoing
	bytes  int
	last   bool // nothing is taken any more; what waits is still written
	closed bool
}

func newOutbox(maxBytes, maxFrames int) *outbox {
	return &outbox{maxBytes: maxBytes, maxFrames: maxFrames, wake: make(chan struct{}, 1)}
}

// put queues a frame. An error means that done will not be called.
func (o *outbox) put(frame []byte, done func()) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed || o.last:
		return errGone
	case len(o.queue) >= o.maxFrames, len(o.queue) > 0 && o.bytes+len(frame) > o.maxBytes:
		return errOverflow
	}
	o.queue = append(o.queue, outgoing{frame, done})
	o.bytes += len(frame)
	o.signal()
	return nil
}

// finish lets what waits go out and takes nothing more.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = true
	o.signal()
}

// drop throws away what waits and takes nothing more.
func (o *outbox) drop() {
	o.mu.Lock()
	queue := o.queue
	o.queue, o.bytes, o.closed = nil, 0, true
	o.signal()
	o.mu.Unlock()
	for _, out := range queue {
		out.release()
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns all that waits, and whether anything may follow.
func (o *outbox) take() (queue []outgoing, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue = o.queue
	o.queue, o.bytes = nil, 0
	return queue, !o.last && !o.closed
}

func (out *outgoing) release() {
	if out.done != nil {
		out.done()
	}
}

// write sends what is put into the outbox until finish, drop or an error.
// Each batch must be gone within timeout.
func (o *outbox) write(conn net.Conn, timeout time.Duration) error {
	for range o.wake {
		queue, more := o.take()
		err := send(conn, queue, timeout)
		for i := range queue {
			queue[i].release()
		}
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

func send(conn net.Conn, queue []outgoing, timeout time.Duration) error {
	if len(queue) == 0 {
		return nil
	}
	if timeout > 0 {
		if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	if len(queue) == 1 {
		_, err := conn.Write(queue[0].frame)
		return err
	}
	buffers := make(net.Buffers, len(queue))
	for i := range queue {
		buffers[i] = queue[i].frame
	}
	_, err := buffers.WriteTo(conn)
	return err
}
