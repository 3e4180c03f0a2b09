package graft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// lock is a lock between processes, held until it is released or its process ends.
type lock struct{ file *os.File }

// longestTry is the longest pause between two looks at a lock that somebody has.
const longestTry = 50 * time.Millisecond

// takeLock waits for a lock, as long as ctx lasts.
func takeLock(ctx context.Context, path string) (*lock, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, longestTry) {
		if l, err := tryLock(path); l != nil || err != nil {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %q: %w", path, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// tryLock returns nil without an error where somebody else has the lock.
func tryLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		return &lock{file: f}, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("locking %q: %w", path, err)
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
