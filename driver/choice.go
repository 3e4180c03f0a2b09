package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// choice is what was chosen for a network that left it open. It is kept for as
// long as the network is known, so that guests find what they knew.
type choice struct {
	Network string       `json:"network"`         // its name, for people
	Subnet  uint16       `json:"subnet,omitzero"` // number of its /64 below the host's own prefix; 0: none
	IPv4    netip.Prefix `json:"ipv4,omitzero"`
	Pool    netip.Prefix `json:"pool,omitzero"`    // its /64 out of the pool
	Current netip.Prefix `json:"current,omitzero"` // what advprefix='auto' stands for
	Former  []former     `json:"former,omitempty"` // what it stood for earlier
}

// former is a prefix that guests may use until their addresses run out.
type former struct {
	Address netip.Prefix `json:"address"` // the bridge's, with the prefix's length
	Until   int64        `json:"until"`   // seconds since the epoch
}

// maxFormer bounds the former prefixes of a network. The oldest go first.
const maxFormer = 8

// expire drops what has run out and reports whether there was any.
func (c *choice) expire(now time.Time) bool {
	kept := c.Former[:0]
	for _, f := range c.Former {
		if f.Until > now.Unix() {
			kept = append(kept, f)
		}
	}
	changed := len(kept) != len(c.Former)
	c.Former = kept
	return changed
}

// replace makes another prefix the current one. The one before stays usable for
// as long as guests were told.
func (c *choice) replace(p netip.Prefix, valid time.Duration, now time.Time) {
	if c.Current == p {
		return
	}
	kept := make([]former, 0, len(c.Former)+1)
	for _, f := range c.Former {
		if f.Address.Masked() != p {
			kept = append(kept, f)
		}
	}
	if c.Current.IsValid() {
		kept = append(kept, former{Address: first(c.Current), Until: now.Add(valid).Unix()})
	}
	c.Former, c.Current = kept[max(len(kept)-maxFormer, 0):], p
}

// retire notes that an address of the bridge, written in a definition, is former from
// now on, or with another one that this is no longer so.
func (c *choice) retire(was, now netip.Prefix, valid time.Duration, moment time.Time) {
	same := func(p netip.Prefix) func(former) bool {
		return func(f former) bool { return f.Address.Masked() == p.Masked() }
	}
	c.Former = slices.DeleteFunc(slices.Clone(c.Former), same(now))
	if was.IsValid() && was.Masked() != now.Masked() && !slices.ContainsFunc(c.Former, same(was)) {
		c.Former = append(c.Former, former{Address: was, Until: moment.Add(valid).Unix()})
	}
	c.Former = c.Former[max(len(c.Former)-maxFormer, 0):]
}

// deprecated returns the addresses of former prefixes.
func (c *choice) deprecated() []netip.Prefix {
	var list []netip.Prefix
	for _, f := range c.Former {
		list = append(list, f.Address)
	}
	return list
}

// first returns the bridge's address in a prefix.
func first(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits()) }

// choices is all that was chosen on this host, locked against other processes
// and other calls.
type choices struct {
	d    *Driver
	lock *os.File
	all  map[xml.UUID]*choice
}

// openChoices takes the lock, which close gives back, and reads what there is. A
// file that makes no sense is an error: a new choice would move the network.
func (d *Driver) openChoices() (*choices, error) {
	const doing = "reading what was chosen for networks"
	if err := disk.MkdirAll(d.dirs.choices(), 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	f, err := os.OpenFile(d.dirs.choiceLock(), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	c := &choices{d: d, lock: f, all: map[xml.UUID]*choice{}}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		err = c.read()
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return c, nil
}

func (c *choices) close() { _ = c.lock.Close() } // the lock goes with it

func (c *choices) read() error {
	names, err := disk.Stems(c.d.dirs.choices(), ".json")
	if err != nil {
		return err
	}
	for _, name := range names {
		uuid, ok := xml.ParseUUID(name)
		if !ok || uuid.String() != name {
			continue
		}
		data, err := readFile(c.d.dirs.choice(uuid))
		if err != nil {
			return err
		}
		made := &choice{}
		if err := json.Unmarshal(data, made); err != nil {
			return fmt.Errorf("%q: %w", c.d.dirs.choice(uuid), err)
		}
		if problem := made.problem(); problem != "" {
			return fmt.Errorf("%q: %s", c.d.dirs.choice(uuid), problem)
		}
		c.all[uuid] = made
	}
	return nil
}

// problem says what no choice of ours would be; "": nothing.
func (c *choice) problem() string {
	if p := c.IPv4; p.IsValid() && (!p.Addr().Is4() || p.Bits() != 24 || p != p.Masked()) {
		return fmt.Sprintf("%s is no IPv4 /24", p)
	}
	prefixes := []netip.Prefix{c.Pool, c.Current}
	for _, f := range c.Former {
		if p := f.Address; p.IsValid() && (!p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() < 64) {
			return fmt.Sprintf("%s is in no IPv6 prefix for guests", p)
		}
	}
	for _, p := range prefixes {
		if p.IsValid() && (!p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() != 64 || p != p.Masked()) {
			return fmt.Sprintf("%s is no IPv6 /64", p)
		}
	}
	if len(c.Former) > maxFormer {
		return "too many former prefixes"
	}
	return ""
}

func (c *choices) save(uuid xml.UUID) error {
	data, err := json.MarshalIndent(c.all[uuid], "", "  ")
	if err == nil {
		err = writeFile(c.d.dirs.choice(uuid), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing down what was chosen for network %q: %w", c.all[uuid].Network, err)
	}
	return nil
}

// local returns the host's own prefix, which is made once: 40 random bits below
// fd00::/8 (RFC 4193 section 3.2).
func (c *choices) local() (netip.Prefix, error) {
	path := c.d.dirs.ula()
	data, err := readFile(path)
	if err == nil {
		p, err := netip.ParsePrefix(strings.TrimSpace(string(data)))
		if err != nil || p.Bits() != 48 || p != p.Masked() || p.Addr().As16()[0] != 0xfd {
			return netip.Prefix{}, fmt.Errorf("reading the host's own IPv6 prefix: %q holds no /48 of fd00::/8", path)
		}
		return p, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return netip.Prefix{}, fmt.Errorf("reading the host's own IPv6 prefix: %w", err)
	}
	a := [16]byte{0: 0xfd}
	if err := c.d.fill(a[1:6]); err != nil {
		return netip.Prefix{}, err
	}
	p := netip.PrefixFrom(netip.AddrFrom16(a), 48)
	if err := writeFile(path, []byte(p.String()+"\n")); err != nil {
		return netip.Prefix{}, fmt.Errorf("writing the host's own IPv6 prefix: %w", err)
	}
	return p, nil
}

// subnet returns a numbered /64 of a /48.
func subnet(local netip.Prefix, number uint16) netip.Prefix {
	a := local.Addr().As16()
	a[6], a[7] = byte(number>>8), byte(number)
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// forgetChoice drops what was chosen for a network that is gone for good.
func (d *Driver) forgetChoice(n Ref) error {
	path := d.dirs.choice(n.UUID)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var c *choices
	if err := insist(func() (err error) { c, err = d.openChoices(); return err }); err != nil {
		return fmt.Errorf("forgetting what was chosen for network %q: %w", n.Name, err)
	}
	defer c.close()
	return remove(path)
}

func (d Dirs) ula() string                 { return filepath.Join(d.Lib, "ula") }
func (d Dirs) choiceLock() string          { return filepath.Join(d.Lib, "lock") }
func (d Dirs) choices() string             { return filepath.Join(d.Lib, "networks") }
func (d Dirs) choice(uuid xml.UUID) string { return filepath.Join(d.choices(), uuid.String()+".json") }
