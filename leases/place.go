package leases

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/dnsmasq"
)

// Read returns a bridge's lease file, whoever keeps it; none: nil. It is for root:
// the helper's directory is another user's, so no link is followed in it, and
// nothing counts there but a plain file of that user's or root's own, of a size that
// a lease file may have.
func Read(dirs dnsmasq.Dirs, bridge string) ([]byte, error) {
	if bridge == "" || strings.ContainsRune(bridge, '/') {
		return nil, nil
	}
	place := dirs.Status(bridge)
	target, err := os.Readlink(place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && target == dirs.LeasesLink(bridge):
		return readHelpers(dirs, bridge)
	case err == nil:
		return nil, fmt.Errorf("reading %q: a link to %q", place, target)
	}
	f, err := open(place, unix.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hold us
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.whole(nil)
}

// readHelpers reads the lease file in the helper's directory; none: nil.
func readHelpers(dirs dnsmasq.Dirs, bridge string) ([]byte, error) {
	dir, err := open(dirs.Helper(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.close()
	var owner unix.Stat_t
	if err := unix.Fstat(dir.fd, &owner); err != nil {
		return nil, dir.failed("stat", err)
	}
	path := dirs.Leases(bridge)
	fd, err := again(func() (int, error) {
		return unix.Openat(dir.fd, filepath.Base(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	f := file{fd, path}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.failed("open", err)
	}
	defer f.close()
	return f.whole(&owner)
}

// whole reads a regular file that others may change meanwhile. One in a directory of
// a user without privileges is that user's, or root's, and has no second name: it
// could be a file that this user may not read.
func (f file) whole(dir *unix.Stat_t) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return nil, f.failed("stat", err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, f.failed("read", errors.New("not a regular file"))
	case dir != nil && (st.Nlink > 1 || st.Uid != 0 && st.Uid != dir.Uid):
		return nil, f.failed("read", errors.New("not the lease helper's own file"))
	}
	var data bytes.Buffer // which is large enough: growing would take several times as much
	data.Grow(int(min(st.Size, dnsmasq.MaxFile)) + bytes.MinRead)
	_, err := data.ReadFrom(io.LimitReader(f, dnsmasq.MaxFile+1))
	if err == nil && data.Len() > dnsmasq.MaxFile {
		err = fmt.Errorf("larger than %d bytes", dnsmasq.MaxFile)
	}
	if err != nil {
		return nil, f.failed("read", err)
	}
	return data.Bytes(), nil
}

// Read makes a file an io.Reader.
func (f file) Read(data []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Read(f.fd, data) })
	if n == 0 && err == nil && len(data) > 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

// adopt makes a bridge's lease file the helper's. What lies in libvirt's place
// counts, for its daemon may have run since: a file there is taken over, as far as
// it is one, and none there means no leases. A link to the helper's file takes the place.
func adopt(dirs dnsmasq.Dirs, bridge string, o Owner) error {
	place, link := dirs.Status(bridge), dirs.LeasesLink(bridge)
	if err := tidy(dirs, bridge); err != nil {
		return err
	}
	// An editor, which root used, leaves a file that may be root's alone.
	if err := os.Lchown(dirs.Leases(bridge), o.UID, o.GID); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if target, err := os.Readlink(place); err == nil && target == link {
		return nil
	}
	data, err := Read(dirs, bridge)
	if err == nil {
		_, err = dnsmasq.ParseLeases(place, data)
	}
	if err != nil { // it has no leases; what it is, somebody may want to see
		if err := os.Rename(place, place+".broken"); err != nil {
			return err
		}
		data = nil
	}
	if err := handOver(dirs.Leases(bridge), data, o); err != nil {
		return err
	}
	temporary := temporary(place)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(link, temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, place); err != nil {
		return err
	}
	return syncDir(filepath.Dir(place))
}

// tidy removes from the helper's directory what it could not have made: who once
// got hold of its user must not keep a network from starting for ever.
func tidy(dirs dnsmasq.Dirs, bridge string) error {
	var errs []error
	if _, err := readHelpers(dirs, bridge); err != nil {
		errs = append(errs, os.RemoveAll(dirs.Leases(bridge)))
	}
	for _, path := range []string{dirs.Leases(bridge) + ".new", dirs.LeasesLock(bridge), dirs.Reload(bridge)} {
		if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if st, err := os.Lstat(dirs.Numbered(bridge)); err == nil && !st.IsDir() {
		errs = append(errs, os.Remove(dirs.Numbered(bridge)))
	}
	return errors.Join(errs...)
}

// handOver writes a file that is an owner's from the beginning.
func handOver(path string, data []byte, o Owner) error {
	return replaceFile(path, data, func(f *os.File) error { return f.Chown(o.UID, o.GID) })
}

// replaceFile writes a file by way of another one, which is made anew: somebody else
// may write to its directory.
func replaceFile(path string, data []byte, prepare func(*os.File) error) error {
	temporary := temporary(path)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = prepare(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// Restore puts files of libvirt's kind in the place of the links to the helper's, for
// who is about to remove the program that these are kept by.
func Restore(dirs dnsmasq.Dirs) error {
	list, err := os.ReadDir(dirs.Dnsmasq)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for lease files: %w", err)
	}
	var errs []error
	for _, e := range list {
		bridge, ok := strings.CutSuffix(e.Name(), ".status")
		if target, err := os.Readlink(dirs.Status(bridge)); !ok || err != nil || target != dirs.LeasesLink(bridge) {
			continue
		}
		data, err := Read(dirs, bridge)
		if err == nil {
			err = replaceFile(dirs.Status(bridge), data, func(*os.File) error { return nil })
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("restoring the leases of %q: %w", bridge, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return os.RemoveAll(dirs.Helper())
}

// Sweep removes what helpers that died have left half written, as after a loss of power.
func Sweep(dirs dnsmasq.Dirs) error {
	left, err := filepath.Glob(temporary(dirs.Leases("*")))
	var errs []error
	for _, path := range left {
		errs = append(errs, sweep(dirs.LeasesLock(strings.TrimSuffix(filepath.Base(path), temporary(".status"))), path))
	}
	return errors.Join(append(errs, err)...)
}

// sweep removes a file unless a helper has the lock of its network: it is at it.
func sweep(path, left string) error {
	lock, err := open(path, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err == nil {
		defer lock.close()
		_, err = again(func() (int, error) { return 0, unix.Flock(lock.fd, unix.LOCK_EX|unix.LOCK_NB) })
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
