package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// Read reads a regular file of at most limit bytes. Links are followed: some
// systems keep their configuration elsewhere. What is larger, or no file, is an
// error; what there is none of is fs.ErrNotExist.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block us
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %q: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %q: larger than %d bytes", path, limit)
	}
	return data, nil
}

// Write replaces a file at once: a reader, also one after a crash or a loss of
// power, sees all of the old text or all of the new; after it has returned, all of
// the new. The umask has no say in its mode. Several may write the same file; the
// last one wins.
func Write(path string, data []byte, mode fs.FileMode) error {
	return Replace(beside(path), path, data, mode)
}

// WriteAtomic is [Write] for what is written anew after a loss of power anyway: the
// file may be the old one then. It costs half.
func WriteAtomic(path string, data []byte, mode fs.FileMode) error {
	return replace(beside(path), path, data, mode)
}

// beside returns the path of a temporary file in the same directory. The random part
// keeps two writers apart, and their files from those of others. Names of networks
// may be long, so the base is cut.
func beside(path string) string {
	dir, base := filepath.Split(path)
	return filepath.Join(dir, "."+base[:min(len(base), 200)]+"."+rand.Text()+".new")
}

// Replace is [Write] by way of a temporary file with a name of the caller's, in the
// same directory. It must not be there.
func Replace(temp, path string, data []byte, mode fs.FileMode) error {
	return within(filepath.Dir(path), func() error { return replace(temp, path, data, mode) })
}

func replace(temp, path string, data []byte, mode fs.FileMode) error {
	err := stage(temp, data, mode)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		return nil
	}
	if gone := os.Remove(temp); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

func stage(temp string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Stage is the first half of [Write]: it writes a temporary file, which [Rename] puts
// in the place of the one it is for.
func Stage(path string, data []byte, mode fs.FileMode) (temp string, err error) {
	temp = beside(path)
	if err = stage(temp, data, mode); err != nil {
		_ = os.Remove(temp)
	}
	return temp, err
}

// Rename is the second half of [Write].
func Rename(temp, path string) error {
	return within(filepath.Dir(path), func() error { return os.Rename(temp, path) })
}

// Remove removes files for good; those that are missing are no error.
func Remove(paths ...string) error {
	byDir := map[string][]string{}
	var dirs []string
	for _, path := range paths {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue // its directory may be missing, too
		}
		dir := filepath.Dir(path)
		if byDir[dir] == nil {
			dirs = append(dirs, dir)
		}
		byDir[dir] = append(byDir[dir], path)
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, within(dir, func() error {
			var errs []error
			for _, path := range byDir[dir] {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		}))
	}
	return errors.Join(errs...)
}

// RemoveAll removes a directory with all that is in it, for good; a missing one is
// no error.
func RemoveAll(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return within(filepath.Dir(path), func() error { return os.RemoveAll(path) })
}

// Symlink makes a link, for good. What is there is fs.ErrExist.
func Symlink(target, link string) error {
	return within(filepath.Dir(link), func() error { return os.Symlink(target, link) })
}

// MkdirAll makes a directory, and those above it that are missing, for good.
func MkdirAll(path string, mode fs.FileMode) error {
	if st, err := os.Stat(path); err == nil {
		if st.IsDir() {
			return nil
		}
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	}
	above := filepath.Dir(path)
	if above == path {
		return os.Mkdir(path, mode) // says what is wrong
	}
	if err := MkdirAll(above, mode); err != nil {
		return err
	}
	return within(above, func() error {
		err := os.Mkdir(path, mode)
		if st, serr := os.Stat(path); errors.Is(err, fs.ErrExist) && serr == nil && st.IsDir() {
			return nil // somebody else was first
		}
		return err
	})
}

// within changes what a directory holds, and forces it to disk. The directory is
// opened first: of all that can go wrong the least comes after the change, when the
// caller cannot tell the file's old state from the new one any more.
func within(dir string, change func() error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // nothing was written
	if err := change(); err != nil {
		return err
	}
	if err = d.Sync(); err != nil {
		err = d.Sync() // it may have been short of something for a moment
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // a file system whose directories cannot be forced: fsync(2)
	}
	return err
}

// temporary matches the names that Write makes.
var temporary = regexp.MustCompile(`^\..+\.[A-Z2-7]{26}\.new$`)

// Temporary reports whether a file is one that [Write] had not finished when its
// process died.
func Temporary(name string) bool { return temporary.MatchString(name) }

// Stems returns the names of a directory's files that end in suffix, without it,
// sorted. A missing directory is empty.
func Stems(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if stem, ok := strings.CutSuffix(e.Name(), suffix); ok && stem != "" && !e.IsDir() {
			found = append(found, stem)
		}
	}
	return found, nil
}
