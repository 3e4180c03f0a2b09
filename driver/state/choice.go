package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// Choice is what was chosen for a network that left it open. It is kept for as
// long as the network is known, so that guests find what they knew.
type Choice struct {
	Network string       `json:"network"`         // its name, for people
	Subnet  uint16       `json:"subnet,omitzero"` // number of its /64 below the host's own prefix; 0: none
	IPv4    netip.Prefix `json:"ipv4,omitzero"`
	Pool    netip.Prefix `json:"pool,omitzero"`    // its /64 out of the pool
	Number  *uint32      `json:"number,omitempty"` // of its /64 within what the pool had; nil: none yet
	Current netip.Prefix `json:"current,omitzero"` // what advprefix='auto' stands for
	Former  []Former     `json:"former,omitempty"` // what it stood for earlier
}

// Former is a prefix that guests may use until their addresses run out.
type Former struct {
	Address netip.Prefix `json:"address"` // the bridge's, with the prefix's length
	Until   int64        `json:"until"`   // seconds since the epoch
}

// maxFormer bounds the former prefixes of a network. The oldest go first.
const maxFormer = 8

// Expire drops what has run out and reports whether there was any.
func (c *Choice) Expire(now time.Time) bool {
	before := len(c.Former)
	c.Former = slices.DeleteFunc(c.Former, func(f Former) bool { return f.Until <= now.Unix() })
	return len(c.Former) != before
}

// Replace makes another prefix the current one. The one before stays usable for
// as long as guests were told.
func (c *Choice) Replace(p netip.Prefix, valid time.Duration, now time.Time) {
	if c.Current == p {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(c.Former), within(p))
	if c.Current.IsValid() {
		kept = append(kept, Former{Address: First(c.Current), Until: now.Add(valid).Unix()})
	}
	c.Former, c.Current = kept[max(len(kept)-maxFormer, 0):], p
}

// Retire notes that an address of the bridge, written in a definition, is former from
// now on, or with another one that this is no longer so.
func (c *Choice) Retire(was, now netip.Prefix, valid time.Duration, moment time.Time) {
	c.Former = slices.DeleteFunc(slices.Clone(c.Former), within(now))
	if was.IsValid() && was.Masked() != now.Masked() && !slices.ContainsFunc(c.Former, within(was)) {
		c.Former = append(c.Former, Former{Address: was, Until: moment.Add(valid).Unix()})
	}
	c.Former = c.Former[max(len(c.Former)-maxFormer, 0):]
}

func within(p netip.Prefix) func(Former) bool {
	return func(f Former) bool { return f.Address.Masked() == p.Masked() }
}

// Deprecated returns the addresses of former prefixes.
func (c *Choice) Deprecated() []netip.Prefix {
	var list []netip.Prefix
	for _, f := range c.Former {
		list = append(list, f.Address)
	}
	return list
}

// First returns the bridge's address in a prefix.
func First(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits()) }

// problem says what no choice of ours would be; "": nothing.
func (c *Choice) problem() string {
	if p := c.IPv4; p.IsValid() && (!p.Addr().Is4() || p.Bits() != 24 || p != p.Masked()) {
		return fmt.Sprintf("%s is no IPv4 /24", p)
	}
	for _, f := range c.Former {
		if p := f.Address; p.IsValid() && (!p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() < 64) {
			return fmt.Sprintf("%s is in no IPv6 prefix for guests", p)
		}
	}
	for _, p := range []netip.Prefix{c.Pool, c.Current} {
		if p.IsValid() && (!p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() != 64 || p != p.Masked()) {
			return fmt.Sprintf("%s is no IPv6 /64", p)
		}
	}
	if len(c.Former) > maxFormer {
		return "too many former prefixes"
	}
	return ""
}

func (d Dirs) choices() Table[Choice] {
	return Table[Choice]{filepath.Join(d.Lib, "networks"), "choice"}
}

// Choices is what was chosen on this host. What is there for a network changes only
// in that network's turn; the lock is for who chooses among all.
type Choices struct {
	dirs Dirs

	mu   sync.Mutex // guards what follows
	seen map[xml.UUID]seen
}

// seen is a choice as it was read last. A file is replaced as a whole, so it is the
// same as long as it is the same file.
type seen struct {
	file   fs.FileInfo
	choice *Choice
}

// Choices returns the choices of a host. They remember what they read.
func (d Dirs) Choices() *Choices { return &Choices{dirs: d, seen: map[xml.UUID]seen{}} }

// Of returns what was chosen for a network; nil: nothing yet. A file that makes no
// sense is an error: a new choice would move the network.
func (c *Choices) Of(uuid xml.UUID) (*Choice, error) {
	table := c.dirs.choices()
	file, err := os.Lstat(table.Path(uuid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the choice of a network: %w", err)
	}
	c.mu.Lock()
	was, known := c.seen[uuid]
	c.mu.Unlock()
	if known && os.SameFile(was.file, file) && was.file.ModTime().Equal(file.ModTime()) && was.file.Size() == file.Size() {
		return was.choice, nil
	}
	made, err := table.Read(uuid)
	if made == nil || err != nil {
		return nil, err
	}
	if problem := made.problem(); problem != "" {
		return nil, fmt.Errorf("reading the choice %q: %s", table.Path(uuid), problem)
	}
	c.mu.Lock()
	c.seen[uuid] = seen{file, made}
	c.mu.Unlock()
	return made, nil
}

// Save writes down what was chosen for a network. The network's turn is held.
func (c *Choices) Save(uuid xml.UUID, made *Choice) error {
	if err := c.dirs.choices().Write(uuid, made); err != nil {
		return fmt.Errorf("network %q: %w", made.Network, err)
	}
	return nil
}

// Remove drops what was chosen for a network that is gone for good.
func (c *Choices) Remove(uuid xml.UUID) error {
	c.mu.Lock()
	delete(c.seen, uuid)
	c.mu.Unlock()
	return c.dirs.choices().Remove(uuid)
}

// Lock waits until nobody else chooses, other processes included, and returns what
// was chosen for all other networks. Release ends it.
func (c *Choices) Lock(ctx context.Context, but xml.UUID) (others []*Choice, lock *Lock, err error) {
	const doing = "reading what was chosen for networks: %w"
	table := c.dirs.choices()
	if err := disk.MkdirAll(table.dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf(doing, err)
	}
	if lock, err = TakeLock(ctx, filepath.Join(c.dirs.Lib, "lock"), 0o600); err != nil {
		return nil, nil, fmt.Errorf(doing, err)
	}
	list, err := table.List()
	for _, uuid := range list {
		if uuid == but || err != nil {
			continue
		}
		var other *Choice
		if other, err = c.Of(uuid); other != nil {
			others = append(others, other)
		}
	}
	if err != nil {
		lock.Release()
		return nil, nil, fmt.Errorf(doing, err)
	}
	return others, lock, nil
}

// LocalPrefix returns the host's own prefix; false: it has none yet.
func (c *Choices) LocalPrefix() (p netip.Prefix, ok bool, err error) {
	path := filepath.Join(c.dirs.Lib, "ula")
	data, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err == nil {
		p, err = netip.ParsePrefix(strings.TrimSpace(string(data)))
		if err != nil || p.Bits() != 48 || p != p.Masked() || p.Addr().As16()[0] != 0xfd {
			err = fmt.Errorf("%q holds no /48 of fd00::/8", path)
		}
	}
	if err != nil {
		return p, false, fmt.Errorf("reading the host's own IPv6 prefix: %w", err)
	}
	return p, true, nil
}

// SaveLocalPrefix writes down the host's own prefix. The lock is held.
func (c *Choices) SaveLocalPrefix(p netip.Prefix) error {
	if err := write(filepath.Join(c.dirs.Lib, "ula"), p.String()+"\n"); err != nil {
		return fmt.Errorf("writing the host's own IPv6 prefix: %w", err)
	}
	return nil
}
