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

// Write replaces a file at once: a reader, also one after a crash, sees all of the
// old text or all of the new. The umask has no say in its mode. Several may write
// the same file; the last one wins.
func Write(path string, data []byte, mode fs.FileMode) error {
	// The random part keeps two writers apart, and their files from those of others.
	// Names of networks may be long, so the base is cut.
	base := filepath.Base(path)
	temp := "." + base[:min(len(base), 200)] + "." + rand.Text() + ".new"
	return Replace(filepath.Join(filepath.Dir(path), temp), path, data, mode)
}

// Replace is [Write] by way of a temporary file with a name of the caller's, in the
// same directory. It must not be there.
func Replace(temp, path string, data []byte, mode fs.FileMode) error {
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
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, Remove(temp))
	}
	return nil
}

// Remove removes a file; a missing one is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
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
