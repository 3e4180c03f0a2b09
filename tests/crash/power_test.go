//go:build libvirt_dlopen

package crash

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// lasting are the places whose files outlive a loss of power, and those that would
// if they were not in memory.
var lasting = []string{"/etc/libvirt", "/var/lib/libvirt/dnsmasq", "/var/lib/virbr", "/run/libvirt/network"}

// renewed matches dnsmasq's files, which each start of a network writes anew; a loss of
// power may bring an older one back, but not half of one.
var renewed = regexp.MustCompile(`\.(conf|hostsfile|addnhosts|macs)(\.[A-Z2-7]{26}\.new)?$|/\.?\.network[^/]*$`)

// platter is a model of the worst disk that keeps what it must: what a file holds
// is on it once the file was forced there, and which files a directory has once the
// directory was. It learns of each system call before the call is done.
type platter struct {
	mu       sync.Mutex
	unsynced map[inode]string // what a loss of power would take, and by what call
	changes  int              // that were ever made in lasting places
	faults   []string
}

type inode struct{ device, number uint64 }

func newPlatter() *platter { return &platter{unsynced: map[inode]string{}} }

// see is told of a call. Answers are what a client is told, by a write to its socket.
func (p *platter) see(c faulttest.Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch c.Name() {
	case "write", "writev", "pwrite64", "ftruncate", "fchmod":
		if strings.HasPrefix(c.Path, "socket:") {
			p.fault("a client was answered")
			break
		}
		p.change(fmt.Sprintf("/proc/%d/fd/%d", c.Thread, int32(c.Args[0])), c)
	case "openat":
		_, err := os.Lstat(c.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && c.Args[2]&unix.O_CREAT != 0:
			p.change(filepath.Dir(c.Path), c)
		case c.Args[2]&unix.O_TRUNC != 0:
			p.change(c.Path, c)
		}
	case "renameat", "renameat2":
		if id, _, err := identify(c.From); err == nil && p.unsynced[id] != "" {
			p.faults = append(p.faults, fmt.Sprintf("%s took a name before it was on disk", c.From))
		}
		p.change(filepath.Dir(c.From), c)
		p.change(filepath.Dir(c.Path), c)
	case "unlinkat", "mkdirat", "symlinkat", "linkat":
		if _, err := os.Lstat(c.Path); (err == nil) == (c.Name() == "unlinkat") { // else it comes to nothing
			p.change(filepath.Dir(c.Path), c)
		}
	case "fsync", "fdatasync":
		id, dir, err := identify(fmt.Sprintf("/proc/%d/fd/%d", c.Thread, int32(c.Args[0])))
		if err == nil && (!dir || c.Name() == "fsync") { // fdatasync(2) may leave names out
			delete(p.unsynced, id)
		}
	}
}

// identify returns what is at the end of a path.
func identify(path string) (id inode, dir bool, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return inode{}, false, err
	}
	sys := st.Sys().(*syscall.Stat_t)
	return inode{sys.Dev, sys.Ino}, st.IsDir(), nil
}

// change notes that what a file or directory has is not what is on disk.
func (p *platter) change(path string, c faulttest.Call) {
	id, _, err := identify(path)
	if err != nil {
		return
	}
	where, err := filepath.EvalSymlinks(path)
	if err != nil { // a file that has lost its name
		return
	}
	if !slices.ContainsFunc(lasting, func(place string) bool { return strings.HasPrefix(where+"/", place+"/") }) ||
		strings.HasSuffix(where, ".pid") || strings.HasSuffix(c.Path, ".pid") { // of the daemon and its locks
		return
	}
	if where != c.Path && c.Name() != "unlinkat" && renewed.MatchString(c.Path) { // a name of theirs in a directory
		return
	}
	p.changes++
	p.unsynced[id] = fmt.Sprintf("%s of %s", c.Name(), c.Path)
}

// fault notes what is not on disk at a moment when all must be.
func (p *platter) fault(when string) {
	if len(p.unsynced) > 0 {
		p.faults = append(p.faults, fmt.Sprintf("%s before this was on disk: %s", when, strings.Join(slices.Sorted(maps.Values(p.unsynced)), "; ")))
	}
}

// loose says what a loss of power would take now; nil: nothing.
func (p *platter) loose() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unsynced) > 0 {
		return fmt.Errorf("not on disk: %v", slices.Sorted(maps.Values(p.unsynced)))
	}
	return nil
}

// check wants that something was changed, and that all of it was on disk in time.
func (p *platter) check(t *testing.T, when string) {
	t.Helper()
	if err := p.loose(); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		t.Errorf("%s: %s", when, fault)
	}
	if p.changes == 0 {
		t.Errorf("%s changed nothing on disk: does this test see it?", when)
	}
	p.changes, p.faults = 0, nil
}

// TestPower: what a client is told is on disk by then, whatever it asked for; and no
// file has its name before it is whole there.
func TestPower(t *testing.T) {
	t.Parallel()
	for i := range operations {
		op := &operations[i]
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				netnstest.NeedProgram(t, "dnsmasq")
				newOutside(t)
				d := start(t)
				if err := in(op.before...)(d); err != nil {
					t.Fatal(err)
				}
				p := newPlatter()
				d.Watch(func(c faulttest.Call, child bool) {
					if !child {
						p.see(c)
					}
				})
				for _, s := range []struct {
					when string
					do   step
				}{{op.name, op.do}, {op.name + ", taken back", op.undo}} {
					if err := s.do(d); err != nil {
						t.Fatalf("%s: %v\n%s", s.when, err, d.log)
					}
					p.check(t, s.when)
				}
			})
		})
	}
}

// TestPowerLease: a lease is on disk when the helper has ended that dnsmasq runs for
// it. dnsmasq answers its guest before it starts the helper.
func TestPowerLease(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "dnsmasq", "busybox")
		d := start(t)
		p := newPlatter()
		d.Watch(func(c faulttest.Call, child bool) {
			if child && strings.Contains(c.Path, ".status") || child && strings.HasSuffix(c.Name(), "sync") {
				p.see(c)
			}
		})
		d.up("steady", steady)
		const file = "/var/lib/libvirt/dnsmasq/virbr/vb-steady.status"
		g := netnstest.NewGuest(t, "g", "vb-steady")
		lease, err := g.DHCP(t).Address()
		if err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "the lease is on disk", func() error {
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), lease.String()) {
				return fmt.Errorf("%s: %q, %v", file, text, err)
			}
			if _, err := os.Lstat(file + ".new"); err == nil {
				return errors.New("a temporary file is left")
			}
			return p.loose()
		})
		p.check(t, "a lease")
	})
}
