package driver

import (
	"github.com/virbr/virbr/driver/plan"
)

// memory returns what was found out earlier about the guests of a running
// network: by us, or before our start. A file that makes no sense is nothing.
func (d *Driver) memory(n *network, v *view) plan.Memory {
	if v.resolution != nil {
		return v.resolution.Memory
	}
	return d.recall(n)
}

// recall reads what the last daemon wrote down.
func (d *Driver) recall(n *network) plan.Memory {
	m, err := d.dirs.Learned().Read(n.ref.UUID)
	d.warn("forgetting where guests were", n.ref, err)
	if m == nil {
		return plan.Memory{}
	}
	return *m
}

// saveMemory writes down what is to be remembered, for the next daemon. Nothing
// is lost for long without: it is logged, not returned.
func (d *Driver) saveMemory(n *network, before, after *plan.Resolution) {
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
	err := retryOnce(func() error { return d.dirs.Learned().Write(n.ref.UUID, &after.Memory) })
	d.warn("a restart will forget who had a name first", n.ref, err)
}

// sweepMemories removes what is remembered about networks that do not run.
func (d *Driver) sweepMemories() {
	list, err := d.dirs.Learned().List()
	d.warn("listing what is remembered about guests", Ref{}, err)
	for _, uuid := range list {
		if _, v, err := d.find(Ref{UUID: uuid}); err != nil || !v.active() {
			d.warn("forgetting where guests were", Ref{UUID: uuid}, d.dirs.Learned().Remove(uuid))
		}
	}
}
