package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// pidLock is the process-id file. Its first byte is locked for as long as the
// daemon lives, as libvirt's virPidFileAcquirePath does it, so that virbrd and
// virtnetworkd exclude each other.
type pidLock struct{ file *os.File }

// lockPID takes the file at path, or says that another daemon has it.
func lockPID(path string) (*pidLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the process-id file: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			err = errors.New("another virbrd or virtnetworkd holds it; stop that first")
		}
		return nil, errors.Join(fmt.Errorf("locking %q: %w", path, err), f.Close())
	}
	l := &pidLock{file: f}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the process-id file: %w", err), l.release())
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid())); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the process-id file: %w", err), l.release())
	}
	return l, nil
}

// release removes the file, then gives up the lock.
func (l *pidLock) release() error {
	return errors.Join(os.Remove(l.file.Name()), l.file.Close())
}
