package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

func (d Dirs) memories() string            { return filepath.Join(d.Own, "guests") }
func (d Dirs) memory(uuid xml.UUID) string { return filepath.Join(d.memories(), uuid.String()+".json") }

// memory returns what was found out earlier about the guests of a running
// network: by us, or before our start. A file that makes no sense is nothing.
func (d *Driver) memory(n *network, v *view) plan.Memory {
	if v.reach != nil {
		return v.reach.Memory
	}
	return d.recall(n)
}

// recall reads what the last daemon wrote down.
func (d *Driver) recall(n *network) plan.Memory {
	var m plan.Memory
	data, err := readFile(d.dirs.memory(n.ref.UUID))
	if errors.Is(err, fs.ErrNotExist) {
		return m
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		d.warn("forgetting where guests were", n.ref, err)
		return plan.Memory{}
	}
	return m
}

// saveMemory writes down what is to be remembered, for the next daemon. Nothing
// is lost for long without: it is logged, not returned.
func (d *Driver) saveMemory(n *network, before, after *plan.Reach) {
	if after == nil {
		return
	}
	var was plan.Memory
	if before != nil {
		was = before.Memory
	} else {
		was = d.recall(n)
	}
	if was.Equal(after.Memory) {
		return
	}
	data, err := json.Marshal(after.Memory)
	if err == nil {
		err = disk.MkdirAll(d.dirs.memories(), 0o700)
	}
	if err == nil {
		err = insist(func() error { return writeFile(d.dirs.memory(n.ref.UUID), append(data, '\n')) })
	}
	if err != nil {
		err = fmt.Errorf("writing down where guests are: %w", err)
	}
	d.warn("a restart will forget who had a name first", n.ref, err)
}

// sweepMemories removes what is remembered about networks that do not run.
func (d *Driver) sweepMemories() {
	names, err := disk.Stems(d.dirs.memories(), ".json")
	d.warn("listing what is remembered about guests", Ref{}, err)
	for _, name := range names {
		uuid, ok := xml.ParseUUID(name)
		if !ok || uuid.String() != name {
			continue
		}
		if n, v, err := d.find(Ref{UUID: uuid}); err != nil || !v.active() {
			ref := Ref{UUID: uuid}
			if n != nil {
				ref = n.ref
			}
			d.warn("forgetting where guests were", ref, remove(d.dirs.memory(uuid)))
		}
	}
}
