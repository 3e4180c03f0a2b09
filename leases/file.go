package leases

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// file is an open file. Files of package os prepare for waiting on many at once,
// which is most of what opening costs here.
type file struct {
	fd   int
	path string
}

// open opens a file; links are not followed.
func open(path string, flags int, mode uint32) (file, error) {
	fd, err := again(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode) })
	f := file{fd, path}
	return f, f.failed("open", err)
}

// again calls until no signal interrupts.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func (f file) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: what, Path: f.path, Err: err}
}

func (f file) close() { _ = unix.Close(f.fd) }

// wait waits until nobody else has the file locked, and locks it.
func (f file) wait() error {
	_, err := again(func() (int, error) { return 0, unix.Flock(f.fd, unix.LOCK_EX) })
	return f.failed("lock", err)
}

// identity returns what tells a file from all others, and from itself before a
// change: a few words of text.
func (f file) identity() (mark []byte, size int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return nil, 0, f.failed("stat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, 0, f.failed("read", errors.New("not a regular file"))
	}
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Nano(), st.Ctim.Nano()} {
		mark = append(strconv.AppendInt(mark, n, 10), ' ')
	}
	return append(mark, '\n'), st.Size, nil
}

// read returns the first size bytes of a file that nobody shortens: lease files
// are replaced as a whole. They stay in the kernel's memory.
func (f file) read(size int64) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	data, err := unix.Mmap(f.fd, 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_POPULATE)
	return data, f.failed("read", err)
}

// readAt reads the beginning of a file.
func (f file) readAt(data []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Pread(f.fd, data, 0) })
	return max(n, 0), f.failed("read", err)
}

// writeAt writes the beginning of a file.
func (f file) writeAt(data []byte) error {
	_, err := again(func() (int, error) { return unix.Pwrite(f.fd, data, 0) })
	return f.failed("write", err)
}

// write writes pieces one after another and forces them to disk.
func (f file) write(pieces [][]byte) error {
	for {
		pieces = slices.DeleteFunc(pieces, func(p []byte) bool { return len(p) == 0 })
		if len(pieces) == 0 {
			return f.sync()
		}
		n, err := again(func() (int, error) { return unix.Writev(f.fd, pieces) })
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return f.failed("write", err)
		}
		for i, p := range pieces {
			k := min(n, len(p))
			pieces[i], n = p[k:], n-k
		}
	}
}

// syncDir forces to disk which files a directory holds. The path may be a link, our
// own. fdatasync(2) would not do: a new name need not change a directory's size.
func syncDir(path string) error {
	dir, err := open(path+"/.", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.close()
	return dir.force(unix.SYS_FSYNC)
}

// sync forces what was written to disk.
func (f file) sync() error { return f.force(unix.SYS_FDATASYNC) }

// force is fsync(2) or one like it. The call is a raw one: while others wait, the
// runtime starts a thread for those who may want to run, and here is nobody.
func (f file) force(call uintptr) error {
	if _, _, e := unix.RawSyscall(call, uintptr(f.fd), 0, 0); e != 0 {
		return f.failed("sync", e)
	}
	return nil
}
