package rpc

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/virbr/virbr/quota"
)

// Why a frame does not go out.
var (
	errGone     = errors.New("the connection is closed")
	errOverflow = errors.New("the client does not read what it is sent")
)

// freeReply is how much may wait for each client whatever its user has waiting
// for others: none of them is to suffer for one that does not read.
const freeReply = 16 << 10

// outgoing is a frame that waits to be written. done, if set, is called once
// it was written or never will be.
type outgoing struct {
	frame []byte
	paid  int64 // bytes of the payer's share that it has
	payer quota.User
	done  func()
}

// size is what the frame takes.
func (out *outgoing) size() int64 { return int64(cap(out.frame)) }

// outbox is the queue between all that talk to a client and the one goroutine
// that writes. Putting something into it never blocks.
type outbox struct {
	maxBytes, maxFrames int
	memory              *quota.Semaphore // of all clients' frames
	user                quota.User
	wake                chan struct{} // holds one token when there is work

	mu     sync.Mutex // guards the fields below
	queue  []outgoing
	bytes  int   // of what is in the queue
	held   int64 // memory of that, and of what is being written
	last   bool  // nothing is taken any more; what waits is still written
	closed bool
}

func newOutbox(maxBytes, maxFrames int, memory *quota.Semaphore, user quota.User) *outbox {
	return &outbox{maxBytes: maxBytes, maxFrames: maxFrames, memory: memory, user: user, wake: make(chan struct{}, 1)}
}

// put queues a frame. After an error it is still the caller's, to settle.
func (o *outbox) put(out outgoing) error {
	size := out.size()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed || o.last:
		return errGone
	case len(o.queue) >= o.maxFrames, len(o.queue) > 0 && o.bytes+len(out.frame) > o.maxBytes:
		return errOverflow
	case out.paid == 0 && o.held+size > freeReply:
		if !o.memory.Try(o.user, size) {
			return errOverflow
		}
		out.paid, out.payer = size, o.user
	}
	o.queue = append(o.queue, out)
	o.bytes += len(out.frame)
	o.held += size
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
	for i := range queue {
		o.written(&queue[i])
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

// written says that a frame is out of the queue, or out of the way.
func (o *outbox) written(out *outgoing) {
	o.mu.Lock()
	o.held -= out.size()
	o.mu.Unlock()
	o.settle(out)
}

// settle gives back what a frame took.
func (o *outbox) settle(out *outgoing) {
	if out.paid > 0 {
		o.memory.Release(out.payer, out.paid)
	}
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
			o.written(&queue[i])
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
