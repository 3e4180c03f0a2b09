package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/virbr/virbr/disk"
)

// MaxFile is how many bytes a file may have: libvirt's own bound for a document.
// What is larger is refused unread.
const MaxFile = 10 << 20

// Error is that a file could not be written or removed. The message is libvirt's,
// for its clients.
type Error struct {
	Msg string
	Err error // the errno, if there is one
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Msg, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// fileError returns an [Error] about what failed; nil if nothing did.
func fileError(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno
	}
	return &Error{Msg: fmt.Sprintf(format, args...), Err: err}
}

// Read reads a file of ours, or of libvirt's.
func Read(path string) ([]byte, error) { return disk.Read(path, MaxFile) }

// write replaces a file, for root alone.
func write(path, text string) error { return disk.Write(path, []byte(text), 0o600) }

// remove removes files; those that are missing are no error. What fails is tried
// once more: the kernel may have been short of something for a moment.
func remove(paths ...string) error {
	if disk.Remove(paths...) == nil {
		return nil
	}
	return disk.Remove(paths...)
}

// exists reports whether a file may be there: whether it is not known to be missing.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
