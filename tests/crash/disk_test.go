//go:build libvirt_dlopen

package crash

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// disks are the directories of virbrd's files that can be disks of their own.
var disks = []string{"/etc/libvirt", "/run/libvirt", "/run/virbr", "/var/lib/libvirt", "/var/lib/virbr"}

// trouble is what is wrong with all disks.
type trouble struct {
	name       string
	begin, end func(disk string) error
	fault      faulttest.Fault // what a daemon meets that runs already
	works      map[string]bool // operations that succeed all the same
}

// The kernel does not make a disk read-only on which somebody has a file open for
// writing, as virbrd its locks; not until the disk itself has an error. A daemon
// that runs already meets the calls' errors only.
var troubles = []trouble{
	{"full", fill, empty, faulttest.Fault{}, map[string]bool{"stop": true, "destroy": true, "undefine": true, "port delete": true}},
	{
		"read-only", func(disk string) error { return remount(disk, unix.MS_RDONLY) }, func(disk string) error { return remount(disk, 0) },
		faulttest.Fault{At: 1, Errno: unix.EROFS, Times: 1 << 30, Only: changesDisk}, nil,
	},
}

// changesDisk reports whether a call would change what a directory holds, or open
// a file for writing.
func changesDisk(c faulttest.Call) bool {
	switch c.Name() {
	case "openat", "mkdirat", "unlinkat", "renameat", "renameat2", "symlinkat", "linkat":
		return slices.ContainsFunc(disks, func(disk string) bool { return strings.HasPrefix(c.Path, disk) })
	}
	return false
}

// TestDisk does each operation with full disks, really full, and with read-only
// ones. Networks can be stopped with full disks. Whatever fails says so and leaves
// the host as it was, and when there is room again it succeeds.
func TestDisk(t *testing.T) {
	t.Parallel()
	for i := range operations {
		op := &operations[i]
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				for _, disk := range disks {
					mount(t, disk)
				}
				l := newLab(t, op)
				for _, trouble := range troubles {
					l.under(trouble)
				}
				l.end()
			})
		})
	}
}

// mount makes a place a small disk of its own.
func mount(t *testing.T, disk string) {
	t.Helper()
	if err := os.MkdirAll(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "mode=0755,size=512k"); err != nil {
		t.Fatal(err)
	}
}

func remount(disk string, flags uintptr) error {
	return unix.Mount("", disk, "", unix.MS_REMOUNT|flags, "size=512k")
}

// ballast fills a disk.
const ballast = "ballast"

func fill(disk string) error {
	f, err := os.Create(filepath.Join(disk, ballast))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // the disk is full
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

func empty(disk string) error { return os.Remove(filepath.Join(disk, ballast)) }

// under does the operation with all disks in trouble.
func (l *lab) under(trouble trouble) {
	l.t.Helper()
	each := func(do func(disk string) error) {
		for _, disk := range disks {
			if trouble.fault.At != 0 {
				break
			}
			if err := do(disk); err != nil {
				l.t.Fatalf("%s: %v", disk, err)
			}
		}
	}
	when := l.op.name + " with disks " + trouble.name
	each(trouble.begin)
	l.d.Set(trouble.fault)
	err := l.patiently(l.op.do)
	if l.d.ended() {
		l.t.Fatalf("%s: the daemon ended\n%s", when, tail(l.d.log.String()))
	}
	if err != nil && (trouble.works[l.op.name] || !clear(err)) {
		l.t.Errorf("%s: %v", when, err)
	}
	// Files say what they are to say when there is room for them.
	if _, unsettled := settlesBut(l.t, "file ", l.before, l.after); unsettled != nil {
		l.t.Errorf("%s (%v): %v\nlog of virbrd:\n%s", when, err, unsettled, tail(l.d.log.String()))
	}
	l.d.Set(faulttest.Fault{})
	each(trouble.end)
	l.d.stop()
	l.d = start(l.t)
	which, unsettled := settles(l.t, l.before, l.after)
	if unsettled != nil {
		l.t.Fatalf("%s (%v), then a restart: %v", when, err, unsettled)
	}
	if err == nil && which == 0 {
		l.t.Errorf("%s succeeded, and came to nothing after a restart", when)
	}
	if which == 0 {
		l.must(l.op.do, when+", once more")
	}
	if _, err := settles(l.t, l.after); err != nil {
		l.t.Errorf("%s, once more: %v", when, err)
	}
	l.must(l.op.undo, when+", taken back")
	if _, err := settles(l.t, l.before); err != nil {
		l.t.Errorf("%s, taken back: %v", when, err)
	}
}

// settlesBut is settles without the topics of a kind.
func settlesBut(t *testing.T, kind string, wanted ...state) (int, error) {
	t.Helper()
	strip := func(s state) state {
		s = maps.Clone(s)
		maps.DeleteFunc(s, func(topic, _ string) bool { return strings.HasPrefix(topic, kind) })
		return s
	}
	for i := range wanted {
		wanted[i] = strip(wanted[i])
	}
	return settlesBy(t, func() state { return strip(look(t)) }, wanted...)
}

// TestDiskStart: virbrd on full or read-only disks says what is wrong or serves, and
// what runs goes on.
func TestDiskStart(t *testing.T) {
	t.Parallel()
	for _, trouble := range troubles {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				for _, disk := range disks {
					mount(t, disk)
				}
				op := &operations[0]
				l := newLab(t, op)
				l.d.stop()
				for _, disk := range disks {
					if err := trouble.begin(disk); err != nil {
						t.Fatal(err)
					}
				}
				d := launchPlain(t)
				if d.connect() {
					d.stop()
				} else if !strings.Contains(d.log.String(), "virbrd: ") || d.panicked() {
					t.Errorf("virbrd does not say what is wrong:\n%s", d.log)
				}
				for _, disk := range disks {
					if err := trouble.end(disk); err != nil {
						t.Fatal(err)
					}
				}
				l.d = start(t)
				if _, err := settles(t, l.before); err != nil {
					t.Errorf("after virbrd on disks %s: %v", trouble.name, err)
				}
				l.end()
			})
		})
	}
}
