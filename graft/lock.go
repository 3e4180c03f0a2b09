package graft

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// lock is a lock between processes, held until it is released or its process ends.
type lock struct{ file *os.File }

// takeLock waits for a lock.
func takeLock(path string) (*lock, error) { return flock(path, unix.LOCK_EX) }

// tryLock returns nil without an error where somebody else has the lock.
func tryLock(path string) (*lock, error) {
	l, err := flock(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return l, err
}

func flock(path string, how int) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), how)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	return &lock{file: f}, nil
}

// sign writes our process id into the file, for people.
func (l *lock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("writing %q: %w", l.file.Name(), err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("writing %q: %w", l.file.Name(), err)
	}
	return nil
}

func (l *lock) release() { _ = l.file.Close() }
