package netlink

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// bufferSize is what the kernel may queue for one batch, in bytes. Every message
// of a batch is acknowledged before the first acknowledgement is read, with
// about a kilobyte of the kernel's memory each.
const bufferSize = 64 << 20

// Conn is a connection to the kernel's nf_tables. It is safe for concurrent use:
// one change waits for the other.
//
// It keeps its sockets from one change to the next. Whoever closes a netfilter
// socket waits until the kernel has freed what was deleted before, some 20
// milliseconds; with the sockets kept nobody waits.
type Conn struct {
	netns int

	mu      sync.Mutex // guards what follows
	changes *nftables.Conn
	queries *netlink.Conn // nil: to be opened
}

// Open returns a connection for the network namespace of the file descriptor
// netns, which must stay open as long; 0: the namespace of the calling thread.
func Open(netns int) (*Conn, error) {
	c := &Conn{netns: netns}
	return c, c.dial()
}

// Close closes the sockets. A connection that is used again opens new ones.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drop()
}

// dial opens the sockets if they are not.
func (c *Conn) dial() error {
	if c.queries != nil {
		return nil
	}
	queries, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: c.netns})
	if err != nil {
		return fmt.Errorf("opening netfilter netlink: %w", err)
	}
	changes, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(c.netns), nftables.WithSockOptions(buffers))
	if err != nil {
		return errors.Join(fmt.Errorf("opening netfilter netlink: %w", err), queries.Close())
	}
	c.queries, c.changes = queries, changes
	return nil
}

// buffers makes room for large batches.
func buffers(c *netlink.Conn) error {
	if err := c.SetReadBuffer(bufferSize); err != nil {
		return fmt.Errorf("setting the read buffer: %w", err)
	}
	if err := c.SetWriteBuffer(bufferSize); err != nil {
		return fmt.Errorf("setting the write buffer: %w", err)
	}
	return nil
}

func (c *Conn) drop() error {
	if c.queries == nil {
		return nil
	}
	err := errors.Join(c.queries.Close(), c.changes.CloseLasting())
	c.queries, c.changes = nil, nil
	return err
}

// use runs fn with open sockets. After an error they may hold replies that
// nobody read, so they are not used again.
func (c *Conn) use(fn func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.dial(); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		_ = c.drop() // the first error counts
	}
	return err
}

// attempt runs fn, and again with exact set if the kernel refuses what it does:
// somebody else has changed our table, so nothing may be taken for granted.
func (c *Conn) attempt(fn func(exact bool) error) error {
	err := c.use(func() error { return fn(false) })
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		err = c.use(func() error { return fn(true) })
	}
	return err
}

// reader returns what asks about one table.
func (c *Conn) reader(family nftables.TableFamily, table string) *reader {
	return &reader{conn: c.queries, family: family, table: table}
}
