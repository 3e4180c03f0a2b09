package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// PIDLock is the lock that keeps a second network daemon away: byte 0 of a file
// with the process id, as in libvirt's virPidFileAcquirePath, so that libvirt's
// own daemon and ours exclude each other.
type PIDLock struct {
	path string
	file *os.File
}

// inheritance bounds how long a lock is waited for whose owner has ended. A daemon
// that is killed while it starts a program leaves it to that program's process,
// until the program begins.
const inheritance = 5 * time.Second

// LockPID takes the lock of a file and writes our process id. If another daemon
// has it the error is an *[Error] of KindOperationFailed.
func LockPID(path string) (*PIDLock, error) {
	enough := time.After(inheritance)
	for {
		l, err := tryLock(path)
		if errors.Is(err, errInherited) {
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
		if err := l.write(); err != nil {
			return nil, errors.Join(err, l.Release())
		}
		return l, nil
	}
}

// errInherited says that the lock's owner has ended, and somebody has it still.
var errInherited = errors.New("its owner has ended")

// tryLock returns nil without an error where the file was removed meanwhile.
func tryLock(path string) (*PIDLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	// An open file description's lock conflicts with the process-wide kind
	// that libvirt takes, and does not vanish when some other descriptor of
	// the same file is closed.
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			name, ended := owner(f)
			if ended {
				err = errInherited
			}
			return nil, &Error{Kind: KindOperationFailed, Err: err, Msg: fmt.Sprintf(
				"another network daemon is running (%s), stop it first: %q is locked", name, path)}
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

// owner says who took the lock, as far as the file tells, and whether that process
// has ended.
func owner(f *os.File) (name string, ended bool) {
	var buf [16]byte
	n, _ := f.ReadAt(buf[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil || pid <= 0 {
		return "unknown process", false
	}
	return fmt.Sprintf("process %d", pid), over(pid)
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

func (l *PIDLock) write() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("writing %q: %w", l.path, err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("writing %q: %w", l.path, err)
	}
	return nil
}

// Release removes the file and gives the lock up, in this order: nobody can
// then lock a file that is about to vanish and not notice.
func (l *PIDLock) Release() error {
	return errors.Join(remove(l.path), l.file.Close())
}

// LockOwner says who holds the lock of a file that [LockPID] or libvirt locks:
// "process 123". "": nobody does.
func LockOwner(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening the lock file: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return "", fmt.Errorf("asking for the lock of %q: %w", path, err)
	}
	if lock.Type == unix.F_UNLCK {
		return "", nil
	}
	name, _ := owner(f)
	return name, nil
}
