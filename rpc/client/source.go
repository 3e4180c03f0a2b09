package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// ConfigDir is where virbrd's hook finds the extensions of networks whose daemon
// keeps no metadata.
const ConfigDir = "/etc/virbr/networks"

// maxFile bounds the file that is read, in bytes: xml reads no more.
const maxFile = 4 << 20

// Source is a directory with one file for each network, NAME.xml.
type Source struct {
	Dir string // "": ConfigDir

	// Elsewhere is the host whose files they are where that is another one: they are
	// neither seen nor changed. "": this one.
	Elsewhere string
}

// Path returns the file of a network.
func (s *Source) Path(network string) string {
	dir := s.Dir
	if dir == "" {
		dir = ConfigDir
	}
	return filepath.Join(dir, network+".xml")
}

// read returns the extensions of a network; a file that is missing has none.
func (s *Source) read(network string) (*xml.Extensions, error) {
	text, err := s.text(network)
	if err != nil || len(text) == 0 {
		return &xml.Extensions{}, err
	}
	e, err := xml.ParseExtensions(text)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", s.Path(network), &BrokenError{err})
	}
	return e, nil
}

// text returns what the file of a network holds; nothing: it is missing.
func (s *Source) text(network string) ([]byte, error) {
	if s.Elsewhere != "" {
		return nil, nil
	}
	f, err := os.Open(s.Path(network))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the extensions of network %q: %w", network, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the extensions of network %q: %w", network, err)
	}
	return text, nil
}

// edit changes the file of a network.
func (s *Source) edit(network string, change func(*xml.Extensions) error) error {
	return s.rewrite(network, func() (*xml.Extensions, error) {
		e, err := s.read(network)
		if err != nil {
			return nil, err
		}
		return e, change(e)
	})
}

// rewrite replaces the file of a network: all of it, or nothing. Who does so
// excludes others. Comments in the file do not survive. Where there is nothing to
// be changed make returns nil.
func (s *Source) rewrite(network string, make func() (*xml.Extensions, error)) (err error) {
	path := s.Path(network)
	if s.Elsewhere != "" {
		return fmt.Errorf("this libvirt keeps no metadata of networks, so the extensions of network %q stand in files of %q: use virbr there", network, s.Elsewhere)
	}
	if filepath.Base(path) != network+".xml" {
		return fmt.Errorf("network %q: a name with a slash has no file", network)
	}
	dir := filepath.Dir(path)
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %q: %w", dir, err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening %q: %w", dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking %q: %w", dir, err)
	}
	names, err := lock.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading %q: %w", dir, err)
	}
	for _, name := range names {
		if disk.Temporary(name) { // of an edit that died: we have the lock
			err = errors.Join(err, disk.Remove(filepath.Join(dir, name)))
		}
	}
	if err != nil {
		return fmt.Errorf("clearing %q: %w", dir, err)
	}
	e, err := make()
	if err != nil || e == nil {
		return err
	}
	if err := disk.Write(path, []byte(e.String()), 0o644); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
