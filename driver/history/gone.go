package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

func (s *Store) goneFile() string { return filepath.Join(s.dir, "gone.json") }

// readLocked reads which networks are gone. A file that makes no sense is none.
func (s *Store) readLocked() error {
	if s.read {
		return nil
	}
	data, err := disk.Read(s.goneFile(), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading which networks are gone: %w", err)
	}
	if err == nil && json.Unmarshal(data, &s.gone) != nil {
		s.gone = nil
	}
	s.read = true
	return nil
}

func (s *Store) writeLocked() error {
	data, err := json.Marshal(s.gone)
	if err == nil {
		err = disk.Write(s.goneFile(), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing down which networks are gone: %w", err)
	}
	return nil
}

// Gone says that a network is no longer there. Its history is kept, until too many
// others have gone since.
func (s *Store) Gone(n Network) error {
	if _, err := os.Stat(s.of(n.UUID)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readLocked(); err != nil {
		return err
	}
	delete(s.tails, n.UUID)
	s.gone = append(slices.DeleteFunc(s.gone, func(o Network) bool { return o.UUID == n.UUID }), n)
	for len(s.gone) > maxGone {
		if err := os.RemoveAll(s.of(s.gone[0].UUID)); err != nil {
			return fmt.Errorf("forgetting the definitions of network %q: %w", s.gone[0].Name, err)
		}
		s.gone = s.gone[1:]
	}
	return s.writeLocked()
}

// adopt gives a network that is back, or that takes the place of one of its name, the
// history of that.
func (s *Store) adopt(n Network) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readLocked(); err != nil {
		return err
	}
	if s.tails[n.UUID] != nil {
		return nil
	}
	at := slices.IndexFunc(s.gone, func(o Network) bool { return o.UUID == n.UUID })
	if at < 0 {
		if _, err := os.Stat(s.of(n.UUID)); err == nil {
			return nil
		}
		if at = s.lastLocked(n.Name); at < 0 {
			return nil
		}
		if err := os.Rename(s.of(s.gone[at].UUID), s.of(n.UUID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("taking the definitions of the former network %q over: %w", n.Name, err)
		}
	}
	s.gone = slices.Delete(s.gone, at, at+1)
	return s.writeLocked()
}

// lastLocked returns the place of the last network of a name that went; -1: none did.
func (s *Store) lastLocked(name string) int {
	for i, n := range slices.Backward(s.gone) {
		if n.Name == name {
			return i
		}
	}
	return -1
}

// Former returns the last network of some name, or with some UUID, that went.
func (s *Store) Former(name string) (Network, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readLocked(); err != nil {
		return Network{}, false
	}
	at := s.lastLocked(name)
	if uuid, ok := xml.ParseUUID(name); ok && at < 0 {
		at = slices.IndexFunc(s.gone, func(o Network) bool { return o.UUID == uuid })
	}
	if at < 0 {
		return Network{}, false
	}
	return s.gone[at], true
}
