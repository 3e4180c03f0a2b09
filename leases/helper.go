package leases

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
)

const (
	// Name is the helper's name in the run directory.
	Name = "virbr_leaseshelper"
	// Link is the name beside it of a link to the directory of lease files.
	Link = "dnsmasq"
)

// Helper keeps the lease files of one daemon's networks.
type Helper struct {
	Dir    string              // the daemon's run directory
	Getenv func(string) string // dnsmasq's environment
	Out    io.Writer           // for init: dnsmasq reads its leases there
}

func (h Helper) dirs() dnsmasq.Dirs { return dnsmasq.Dirs{Dnsmasq: filepath.Join(h.Dir, Link)} }

// Check is the argument by which virbrd, as the helper's user, asks the helper
// whether it can do its work. dnsmasq has no such action.
const Check = "check"

// Run serves one call, with the arguments that dnsmasq gives, or [Check] alone.
func (h Helper) Run(args []string) error {
	if slices.Equal(args, []string{Check}) {
		dir := h.dirs().Helper()
		if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
			return &fs.PathError{Op: "write to", Path: dir, Err: err}
		}
		return nil
	}
	ev, err := dnsmasq.ParseEvent(args, h.Getenv)
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	if err := h.record(ev); err != nil {
		return fmt.Errorf("leases of %q: %w", ev.Interface, err)
	}
	return nil
}

// record puts one event into the lease file of its network, under a lock of
// this one network.
func (h Helper) record(ev dnsmasq.Event) error {
	dirs := h.dirs()
	lock, err := open(dirs.LeasesLock(ev.Interface), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return fmt.Errorf("opening the lock: %w", err)
	}
	defer lock.close() // gives the lock up
	if err := lock.wait(); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	entries, err := h.put(dirs.Leases(ev.Interface), ev, lock)
	return errors.Join(err, number(dirs, ev, entries))
}

// put puts an event into a lease file. For init it prints and returns the
// leases.
func (h Helper) put(path string, ev dnsmasq.Event, lock file) ([]dnsmasq.Entry, error) {
	data, ours, err := read(path, lock)
	if err != nil {
		return nil, err
	}
	if ours && ev.Action != dnsmasq.ActionInit {
		if pieces, ok := dnsmasq.Splice(data, ev); ok {
			return nil, replace(path, pieces, lock)
		}
	}
	entries, _ := dnsmasq.ParseLeases(path, data) // a broken file has none: dnsmasq must go on
	if ev.Action == dnsmasq.ActionInit {
		_ = unix.Unlink(temporary(path)) // of a helper that a loss of power met
		_, err := io.WriteString(h.Out, dnsmasq.InitText(entries, ev.Entry.ServerDUID))
		return entries, err
	}
	return nil, replace(path, [][]byte{dnsmasq.FormatLeases(dnsmasq.Apply(entries, ev))}, lock)
}

// read returns a lease file, and whether it is the one that was written here
// last. A missing one is empty, and one that is too large counts as empty.
func read(path string, lock file) (data []byte, ours bool, err error) {
	f, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hold us
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.close()
	mark, size, err := f.identity()
	if err != nil {
		return nil, false, err
	}
	if size > dnsmasq.MaxFile { // no reader takes it for one
		return nil, false, nil
	}
	if data, err = f.read(size); err != nil {
		return nil, false, err
	}
	known := make([]byte, len(mark))
	n, err := lock.readAt(known)
	return data, bytes.Equal(known[:n], mark), err
}

// temporary returns the path of what is to be a lease file. One that is there is of
// a helper that died; nobody else writes it while we have the lock.
func temporary(path string) string { return path + ".new" }

// replace writes a file so that a reader, or a crash, sees the old or the new
// one and nothing in between, and notes which it is. It is on disk then. No pieces:
// the file is what it should be.
func replace(path string, pieces [][]byte, lock file) error {
	if len(pieces) == 0 {
		return nil
	}
	temporary := temporary(path)
	_ = unix.Unlink(temporary)
	f, err := open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.write(pieces); err != nil {
		return err
	}
	if err := unix.Rename(temporary, path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	mark, _, err := f.identity()
	if err == nil {
		err = lock.writeAt(mark)
	}
	return err
}

// Installed returns the helper's program for dnsmasq: the small one beside the
// given program, or else that itself, which does the same in more time.
func Installed(program string) string {
	small := filepath.Join(filepath.Dir(program), Name)
	if st, err := os.Stat(small); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
		return small
	}
	return program
}

// Fail ends a helper.
func Fail(err error) {
	_, _ = io.WriteString(os.Stderr, Name+": "+err.Error()+"\n")
	syscall.Exit(1)
}
