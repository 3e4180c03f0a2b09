package netlink

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// bufferSize is what the kernel may queue in either direction, in bytes: a batch
// is sent in one piece.
const bufferSize = 64 << 20

// patience is how long the kernel may take for one change. It answers within
// milliseconds; the limit keeps a broken kernel from holding us for ever.
const patience = 30 * time.Second

// Conn is a connection to the kernel's nf_tables. It is safe for concurrent use:
// one change waits for the other.
//
// It keeps its socket from one change to the next. Whoever closes a netfilter
// socket waits until the kernel has freed what was deleted before, some 20
// milliseconds; with the socket kept nobody waits.
type Conn struct {
	netns int

	mu     sync.Mutex    // guards what follows, and is held during a change
	socket *netlink.Conn // nil: to be opened

	// Generations of the ruleset that follow one another by changes of this
	// connection, to our own table and chain alone: of from it is the rules of
	// others that to has, too.
	from, to uint32

	filled    *filled             // what is known of the chain for checksums; nil: nothing
	rejecting map[string][]uint64 // handles of the rules that reject, by chain
}

// Open returns a connection for the network namespace of the file descriptor
// netns, which must stay open as long; 0: the namespace of the calling thread.
func Open(netns int) (*Conn, error) {
	c := &Conn{netns: netns}
	return c, c.dial()
}

// Close closes the socket. A connection that is used again opens a new one.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drop()
}

// dial opens the socket if it is not.
func (c *Conn) dial() error {
	if c.socket != nil {
		return nil
	}
	s, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: c.netns})
	if err != nil {
		return fmt.Errorf("opening netfilter netlink: %w", err)
	}
	if err := errors.Join(s.SetReadBuffer(bufferSize), s.SetWriteBuffer(bufferSize)); err != nil {
		_ = s.Close()
		return fmt.Errorf("making the buffers of netfilter netlink larger: %w", err)
	}
	c.socket = s
	return nil
}

func (c *Conn) drop() error {
	if c.socket == nil {
		return nil
	}
	err := c.socket.Close()
	c.socket = nil
	return err
}

// use runs fn with an open socket. After an error it may hold replies that
// nobody read, so it is not used again.
func (c *Conn) use(fn func(*netlink.Conn) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.dial(); err != nil {
		return err
	}
	err := c.socket.SetDeadline(time.Now().Add(patience))
	if err == nil {
		err = fn(c.socket)
	}
	if err != nil {
		_ = c.drop() // the first error counts
	}
	return err
}

// attempt runs fn, and again with exact set if the kernel refuses what it does:
// somebody else has changed our table, so nothing may be taken for granted.
func (c *Conn) attempt(fn func(socket *netlink.Conn, exact bool) error) error {
	err := c.use(func(s *netlink.Conn) error { return fn(s, false) })
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		err = c.use(func(s *netlink.Conn) error { return fn(s, true) })
	}
	return err
}

// noteLocked takes note of the generation that a change of ours has made; 0: it
// is not known.
func (c *Conn) noteLocked(made uint32) {
	if made == 0 {
		return
	}
	if made != c.to+1 {
		c.from = made - 1
	}
	c.to = made
}

// aloneLocked reports whether nobody else changed anything between two
// generations.
func (c *Conn) aloneLocked(then, now uint32) bool {
	return then != 0 && (then == now || c.from <= then && then <= now && now <= c.to)
}
