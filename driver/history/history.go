package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/xml"
)

// Bounds of what is kept.
const (
	// Depth is how many definitions of a network are kept.
	Depth = 20
	// maxBytes is how much they may take together; the latest two are kept whatever they take.
	maxBytes = 16 << 20
	// maxGone is how many networks are remembered that are no longer there.
	maxGone = 200
	// maxFile is more than a definition of the largest size takes as a file, in bytes.
	maxFile = 32 << 20
)

// ErrNone says that there is no such definition.
var ErrNone = errors.New("it is not kept")

// Revision is a definition that a network had.
type Revision struct {
	Number  int       `json:"number"` // from 1, never used twice for one network
	Time    time.Time `json:"time,omitzero"`
	Network string    `json:"network"`           // its name
	Running bool      `json:"running,omitempty"` // the running definition alone was changed
	UID     *uint32   `json:"uid,omitempty"`     // nil: not known
	PID     int32     `json:"pid,omitempty"`
	Program string    `json:"program,omitempty"`
	Call    string    `json:"call,omitempty"` // "": it was found, and who made it is not known
	Text    string    `json:"definition,omitempty"`
}

// Network names a network. Name may have belonged to several.
type Network struct {
	Name string   `json:"name"`
	UUID xml.UUID `json:"uuid"`
}

// Store is a directory of histories. Its methods may be called by several goroutines
// at once, those that change the history of one network by one at a time.
type Store struct {
	dir string

	mu    sync.Mutex // guards what follows, and the file of gone
	tails map[xml.UUID]*tail
	gone  []Network // the last one that went is the last
	read  bool
}

// New returns the store of a directory, which is made when something is kept.
func New(dir string) *Store { return &Store{dir: dir, tails: map[xml.UUID]*tail{}} }

func (s *Store) of(uuid xml.UUID) string { return filepath.Join(s.dir, uuid.String()) }

func (s *Store) file(uuid xml.UUID, number int) string {
	return filepath.Join(s.of(uuid), strconv.Itoa(number)+".json")
}

// Record keeps a definition, unless it is the one that was kept last. What the network
// had before and nobody told of is kept first; "": nothing.
func (s *Store) Record(n Network, before string, r Revision) error {
	if err := s.adopt(n); err != nil {
		return err
	}
	t, err := s.tail(n.UUID)
	if err != nil {
		return err
	}
	for _, next := range []Revision{{Text: before, Running: r.Running}, r} {
		digest := sha256.Sum256([]byte(next.Text))
		if next.Text == "" || t.last[next.Running] == digest {
			continue
		}
		next.Number, next.Network = 1, n.Name
		if len(t.numbers) > 0 {
			next.Number += t.numbers[len(t.numbers)-1]
		}
		if err := s.write(n.UUID, next); err != nil {
			return err
		}
		t.numbers = append(t.numbers, next.Number)
		t.last[next.Running] = digest
	}
	t.numbers = s.prune(n.UUID, t.numbers)
	return nil
}

// tail is what is known of a network's history without reading it again.
type tail struct {
	numbers []int
	last    map[bool][sha256.Size]byte // the last definitions, persistent and running
}

func (s *Store) tail(uuid xml.UUID) (*tail, error) {
	s.mu.Lock()
	t := s.tails[uuid]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	numbers, err := s.numbers(uuid)
	if err != nil {
		return nil, err
	}
	t = &tail{numbers: numbers, last: map[bool][sha256.Size]byte{}}
	for _, number := range slices.Backward(numbers) {
		r, err := s.get(uuid, number)
		if _, known := t.last[r.Running]; err == nil && !known {
			t.last[r.Running] = sha256.Sum256([]byte(r.Text))
		}
		if len(t.last) == 2 {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tails[uuid] = t
	return t, nil
}

func (s *Store) write(uuid xml.UUID, r Revision) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a definition is full of what would be escaped
	err := e.Encode(r)
	if err == nil {
		err = disk.MkdirAll(s.of(uuid), 0o700)
	}
	if err == nil {
		err = disk.Write(s.file(uuid, r.Number), b.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping the definition of network %q: %w", r.Network, err)
	}
	return nil
}

// prune removes definitions that are too many, and returns the numbers of those that
// are left. What a loss of power leaves behind goes with a later change.
func (s *Store) prune(uuid xml.UUID, numbers []int) []int {
	var total int64
	count := len(numbers)
	for i, number := range slices.Backward(numbers) {
		st, err := os.Stat(s.file(uuid, number))
		if err == nil {
			total += st.Size()
		}
		if later := count - 1 - i; later >= Depth || later >= 2 && total > maxBytes {
			_ = os.Remove(s.file(uuid, number))
			numbers = slices.Delete(numbers, i, i+1)
		}
	}
	return numbers
}

// numbers returns those of the definitions that are kept, ascending.
func (s *Store) numbers(uuid xml.UUID) ([]int, error) {
	names, err := disk.Stems(s.of(uuid), ".json")
	if err != nil {
		return nil, fmt.Errorf("listing the definitions of network %s: %w", uuid, err)
	}
	var list []int
	for _, name := range names {
		if number, err := strconv.Atoi(name); err == nil && number > 0 && strconv.Itoa(number) == name {
			list = append(list, number)
		}
	}
	slices.Sort(list)
	return list, nil
}

// Get returns a definition, or ErrNone.
func (s *Store) Get(uuid xml.UUID, number int) (Revision, error) {
	r, err := s.get(uuid, number)
	if errors.Is(err, fs.ErrNotExist) {
		return r, ErrNone
	}
	return r, err
}

func (s *Store) get(uuid xml.UUID, number int) (r Revision, err error) {
	data, err := disk.Read(s.file(uuid, number), maxFile)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return Revision{}, fmt.Errorf("reading definition %d of network %s: %w", number, uuid, err)
	}
	r.Number = number
	return r, nil
}

// List returns the definitions that are kept of a network, the oldest first. One that
// cannot be read is left out.
func (s *Store) List(uuid xml.UUID) ([]Revision, error) {
	numbers, err := s.numbers(uuid)
	if err != nil {
		return nil, err
	}
	var list []Revision
	for _, number := range numbers[max(0, len(numbers)-Depth):] {
		if r, err := s.get(uuid, number); err == nil {
			list = append(list, r)
		}
	}
	return list, nil
}
