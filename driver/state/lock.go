package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is a lock between processes for a piece of work, held until it is released
// or its process ends.
type Lock struct{ file *os.File }

// longestTry is the longest pause between two looks at a lock that somebody has.
const longestTry = 50 * time.Millisecond

// TakeLock waits for the lock of a file, which it makes, as long as ctx lasts.
func TakeLock(ctx context.Context, path string, mode fs.FileMode) (*Lock, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, longestTry) {
		if l, err := tryFlock(path, mode); l != nil || err != nil {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %q: %w", path, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// tryFlock is TakeLock that does not wait: nil without an error where somebody else has
// the lock.
func tryFlock(path string, mode fs.FileMode) (*Lock, error) {
	f, err := openLock(path, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		return &Lock{f}, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("locking %q: %w", path, err)
}

func openLock(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	return f, nil
}

// Release gives the lock back.
func (l *Lock) Release() { _ = l.file.Close() }

// PIDLock is the lock by which a daemon keeps a second one away: byte 0 of a file
// with the process id, as in libvirt's virPidFileAcquirePath, so that libvirt's
// own daemon and ours exclude each other.
type PIDLock struct {
	path string
	file *os.File
}

// LockedError is that another process has a lock.
type LockedError struct {
	Path  string
	PID   int  // 0: not known
	ended bool // that process has, and somebody has the lock still
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("another network daemon is running (%s), stop it first: %q is locked", processName(e.PID), e.Path)
}

func processName(pid int) string {
	if pid == 0 {
		return "unknown process"
	}
	return fmt.Sprintf("process %d", pid)
}

// inheritance bounds how long a lock is waited for whose owner has ended. A daemon
// that is killed while it starts a program leaves it to that program's process,
// until the program begins.
const inheritance = 5 * time.Second

// LockPID takes the lock of a file and writes our process id. The error is a
// [*LockedError] if another daemon has it.
func LockPID(path string) (*PIDLock, error) {
	enough := time.After(inheritance)
	for {
		l, err := tryLock(path)
		if locked, ok := errors.AsType[*LockedError](err); ok && locked.ended {
			select {
			case <-enough:
				return nil, err
			case <-time.After(time.Millisecond):
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue // its last owner removed the file between our open and our lock
		}
		if err := writePID(l.file); err != nil {
			return nil, errors.Join(err, l.Release())
		}
		return l, nil
	}
}

// tryLock returns nil without an error where the file was removed meanwhile.
func tryLock(path string) (*PIDLock, error) {
	f, err := openLock(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	// An open file description's lock conflicts with the process-wide kind
	// that libvirt takes, and does not vanish when some other descriptor of
	// the same file is closed.
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			pid := owner(f)
			return nil, &LockedError{Path: path, PID: pid, ended: pid != 0 && over(pid)}
		}
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	ours, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(ours, now) {
		f.Close()
		return nil, nil
	}
	return &PIDLock{path: path, file: f}, nil
}

// owner returns who took the lock, as far as the file tells; 0: not known.
func owner(f *os.File) int {
	var buf [16]byte
	n, _ := f.ReadAt(buf[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return 0
	}
	return max(pid, 0)
}

// over reports whether there is no such process any more, but one perhaps that
// waits to be reaped.
func over(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("writing %q: %w", f.Name(), err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("writing %q: %w", f.Name(), err)
	}
	return nil
}

// Release removes the file and gives the lock up, in this order: nobody can
// then lock a file that is about to vanish and not notice.
func (l *PIDLock) Release() error {
	return errors.Join(remove(l.path), l.file.Close())
}

// Holder is the process that has the lock of a pid file.
type Holder struct {
	Locked bool
	PID    int // 0: not known
}

func (h Holder) String() string { return processName(h.PID) }

// LockHolder says who holds the lock of a file that [LockPID] or libvirt locks. It
// does not get in the way of who is about to.
func LockHolder(path string) (Holder, error) {
	f, err := openLock(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, nil
	}
	if err != nil {
		return Holder{}, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return Holder{}, fmt.Errorf("asking for the lock of %q: %w", path, err)
	}
	if lock.Type == unix.F_UNLCK {
		return Holder{}, nil
	}
	pid := owner(f)
	if pid == 0 {
		pid = int(max(lock.Pid, 0))
	}
	return Holder{true, pid}, nil
}
