package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/delegation"
)

// Host is what is needed of the host. Package driver/host satisfies it.
type Host interface {
	// Delegated returns the prefixes that another program of the host was delegated by
	// a link, and the program's name; "": no program that can be asked configures it.
	Delegated(ctx context.Context, link string) (holder string, list []delegation.Prefix, err error)
	// Refuse has the host answer for what of the prefixes is no guest's, so that it is
	// not sent back to the router that delegated it (RFC 9915 section 18.2.10.1,
	// RFC 7084 requirement WPD-5), and drops earlier ones.
	Refuse(ctx context.Context, list []delegation.Prefix) error
}

// Store keeps what is to outlive the daemon. Package driver/state satisfies it.
type Store interface {
	LoadDelegations() (delegation.Memory, error)
	SaveDelegations(delegation.Memory) error
}

// Config is what a Client needs.
type Config struct {
	Host  Host
	Store Store
	Log   *slog.Logger
}

// Client follows the delegations of uplinks. Its methods may be called by several
// goroutines at once, also before Run.
type Client struct {
	cfg     Config
	changed chan struct{} // holds a token when a delegation changed
	wanted  chan struct{} // holds a token when other uplinks are to be followed

	mu     sync.Mutex // guards what follows
	memory delegation.Memory
	links  map[string]int // how long a prefix is wished for; 0: any
	states map[string]delegation.Status
}

// New returns a client that knows what it knew the last time.
func New(cfg Config) (*Client, error) {
	c := &Client{
		cfg: cfg, changed: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
		links: map[string]int{}, states: map[string]delegation.Status{},
	}
	var err error
	c.memory, err = cfg.Store.LoadDelegations()
	return c, err
}

// Changed says when a delegation changed.
func (c *Client) Changed() <-chan struct{} { return c.changed }

// Follow names the uplinks whose delegations are wanted, and the length of a prefix that
// is wished for; 0: whatever there is.
func (c *Client) Follow(links map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if maps.Equal(links, c.links) {
		return
	}
	c.links = maps.Clone(links)
	ring(c.wanted)
}

// Of returns what is delegated by an uplink now.
func (c *Client) Of(link string) delegation.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.states[link]
	if !known {
		h := c.memory.Links[link]
		s = delegation.Status{Link: link, Holder: holder(h.Holder), Lease: delegation.Checked(h.Lease, now())}
	}
	s.Lease = s.Lease.At(now())
	return s
}

// now is the wall clock's time: what is delegated runs out while the host sleeps, too.
func now() time.Time { return time.Now().Round(0) }

// own is what we call ourselves.
const own = "virbrd"

func holder(name string) string {
	if name == "" {
		return own
	}
	return name
}

func ring(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// Run follows the uplinks until ctx ends. What is delegated stays ours then: nothing is
// released.
func (c *Client) Run(ctx context.Context) error {
	running := map[string]context.CancelFunc{}
	var group sync.WaitGroup
	defer group.Wait()
	for {
		c.mu.Lock()
		links := maps.Clone(c.links)
		c.mu.Unlock()
		for link, stop := range running {
			if _, still := links[link]; !still {
				stop()
				delete(running, link)
				c.forget(link)
			}
		}
		for link, hint := range links {
			if _, runs := running[link]; runs {
				continue
			}
			life, stop := context.WithCancel(ctx)
			running[link] = stop
			f := &follower{c: c, link: link, hint: hint}
			group.Go(func() { f.run(life) })
		}
		c.refuse(ctx)
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-c.wanted:
		}
	}
}

func (c *Client) forget(link string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.states, link)
}

// duid returns our identifier, which is made once: a random UUID (RFC 6355).
func (c *Client) duid() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.memory.DUID) > 0 {
		return c.memory.DUID, nil
	}
	made := binary.BigEndian.AppendUint16(nil, 4)
	made = append(made, make([]byte, 16)...)
	if _, err := rand.Read(made[2:]); err != nil {
		return nil, fmt.Errorf("making a DUID: %w", err)
	}
	next := c.memory
	next.DUID = made
	if err := c.cfg.Store.SaveDelegations(next); err != nil {
		return nil, err
	}
	c.memory = next
	return made, nil
}

// keep takes down what is known of an uplink, and says so if its lease is another.
func (c *Client) keep(ctx context.Context, s delegation.Status) {
	c.mu.Lock()
	was, known := c.states[s.Link]
	if !known {
		h := c.memory.Links[s.Link]
		was.Lease, was.Holder, was.Problem = h.Lease, holder(h.Holder), h.Problem
	}
	c.states[s.Link] = s
	same := was.Holder == s.Holder && slices.Equal(was.Lease.Prefixes, s.Lease.Prefixes)
	var err error
	if !same || was.Problem != s.Problem {
		h := delegation.Holding{Lease: s.Lease, Problem: s.Problem}
		if s.Holder != own {
			h.Holder = s.Holder
		}
		links := maps.Clone(c.memory.Links)
		if links == nil {
			links = map[string]delegation.Holding{}
		}
		links[s.Link] = h
		c.memory.Links = links
		err = c.cfg.Store.SaveDelegations(c.memory)
	}
	c.mu.Unlock()
	if err != nil {
		c.cfg.Log.Warn("a delegated prefix may be forgotten with a restart", "link", s.Link, "err", err)
	}
	if s.Problem != was.Problem && s.Problem != "" {
		c.cfg.Log.Warn("no prefix is delegated, or it is not prolonged", "link", s.Link, "err", s.Problem)
	}
	if !same {
		c.refuse(ctx)
	}
	if before, after := text(was.Lease), text(s.Lease); before != after {
		c.cfg.Log.Info("delegated prefixes", "link", s.Link, "prefix", after, "before", before, "by", s.Holder)
	}
	if !same || known && was.Problem != s.Problem {
		ring(c.changed)
	}
}

func text(l delegation.Lease) string {
	if len(l.Prefixes) == 0 {
		return "none"
	}
	out := ""
	for i, p := range l.Prefixes {
		if i > 0 {
			out += " "
		}
		out += p.Prefix.String()
	}
	return out
}

// refuse has the host answer for all that is delegated.
func (c *Client) refuse(ctx context.Context) {
	c.mu.Lock()
	links := slices.Sorted(maps.Keys(c.links))
	c.mu.Unlock()
	var list []delegation.Prefix
	for _, link := range links {
		list = append(list, c.Of(link).Lease.Prefixes...)
	}
	if err := c.cfg.Host.Refuse(ctx, list); err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn("what is delegated and no guest's may be sent back to the router", "err", err)
	}
}
