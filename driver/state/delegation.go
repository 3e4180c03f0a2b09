package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/virbr/virbr/delegation"
)

func (d Dirs) delegations() string { return filepath.Join(d.Lib, "delegations.json") }

// LoadDelegations returns the prefixes that upstream routers delegated, and our identifier
// to them. A file that makes no sense is an error: another identifier gets other
// prefixes.
func (d Dirs) LoadDelegations() (delegation.Memory, error) {
	var m delegation.Memory
	data, err := Read(d.delegations())
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return delegation.Memory{}, fmt.Errorf("reading delegated prefixes from %q: %w", d.delegations(), err)
	}
	return m, nil
}

// SaveDelegations writes them down.
func (d Dirs) SaveDelegations(m delegation.Memory) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = write(d.delegations(), string(data)+"\n")
	}
	if err != nil {
		return fmt.Errorf("writing delegated prefixes: %w", err)
	}
	return nil
}
