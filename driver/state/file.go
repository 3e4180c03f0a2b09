package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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

// File is what a file of ours is to hold.
type File struct {
	Path, Text string
	doing      string // for errors: "cannot write status file '%s'"
}

// Write replaces the file, or makes it.
func (f File) Write() error { return f.failed(write(f.Path, f.Text)) }

func (f File) failed(err error) error { return fileError(err, f.doing, f.Path) }

// Staged is a file whose new text is on disk, and not yet in its place.
type Staged struct {
	Temp string `json:"temp"`
	Path string `json:"path"`
}

// ReplaceAll replaces files: all of them, or none. Where there are several, commit is
// called before the first one is; who finds what it was told after a crash calls
// [FinishReplace].
func ReplaceAll(files []File, commit func([]Staged) error) error {
	if len(files) == 1 {
		return files[0].Write()
	}
	var staged []Staged
	for _, f := range files {
		temp, err := disk.Stage(f.Path, []byte(f.Text), 0o600)
		if err != nil {
			return errors.Join(f.failed(err), drop(staged))
		}
		staged = append(staged, Staged{temp, f.Path})
	}
	if len(staged) == 0 {
		return nil
	}
	if err := commit(staged); err != nil {
		return errors.Join(err, drop(staged))
	}
	var before []string
	for i, s := range staged {
		text, err := Read(s.Path)
		if err == nil || i == len(staged)-1 {
			err = disk.Rename(s.Temp, s.Path)
		}
		if err == nil {
			before = append(before, string(text))
			continue
		}
		errs := []error{files[i].failed(err), drop(staged)}
		for i, text := range before {
			errs = append(errs, write(staged[i].Path, text))
		}
		return errors.Join(errs...)
	}
	return nil
}

// FinishReplace finishes a ReplaceAll that was cut short after its commit.
func FinishReplace(staged []Staged) error {
	if len(staged) == 0 || !exists(staged[len(staged)-1].Temp) {
		return drop(staged) // it was done, or given up: the last one is renamed last, and dropped first
	}
	for _, s := range staged {
		if !exists(s.Temp) {
			continue
		}
		if err := disk.Rename(s.Temp, s.Path); err != nil {
			return fmt.Errorf("finishing a change of %q: %w", s.Path, err)
		}
	}
	return nil
}

// drop removes the temporary files of a ReplaceAll.
func drop(staged []Staged) error {
	var errs []error
	for _, s := range slices.Backward(staged) {
		errs = append(errs, remove(s.Temp))
	}
	return errors.Join(errs...)
}
