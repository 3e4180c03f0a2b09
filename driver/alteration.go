package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// alteration is a change of a running network that is under way: what its files hold
// before and after. It is in the network's record until all of it is done. A
// daemon that finds one there takes the change back.
type alteration struct {
	Status revision `json:"status"`
	Config revision `json:"config,omitzero"` // zero: does not change
}

// revision is a file's text.
type revision struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// announce writes down that the change is under way, and returns what says that
// it is over. Networks that made nothing on the host have a record meanwhile.
func (c *conversion) announce() (over func() error, err error) {
	r, ok, err := c.d.readRecord(c.n.ref.UUID)
	if err != nil {
		return nil, err
	}
	if !ok {
		r = c.d.newRecord(c.n, c.from.live.Bridge.Name)
	}
	r.change = &alteration{}
	if r.change.Status, err = revise(c.d.dirs.StatusFile(c.n.ref.Name), state.StatusText(c.to.statusFile())); err != nil {
		return nil, err
	}
	if c.from.config != c.to.config {
		if r.change.Config, err = revise(c.d.dirs.DefinitionFile(c.n.ref.Name), state.DefinitionText(c.to.config)); err != nil {
			return nil, err
		}
	}
	over = func() error { return c.d.settleAlteration(c.n.ref) }
	c.onFailure(func(context.Context) error { return over() })
	return over, r.save()
}

// revise returns the revision that a file is about to have.
func revise(path, after string) (revision, error) {
	data, err := state.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return revision{}, fmt.Errorf("reading what is to be changed: %w", err)
	}
	return revision{Before: string(data), After: after}, nil
}

// settleAlteration takes a change out of a network's record.
func (d *Driver) settleAlteration(ref Ref) error {
	r, ok, err := d.readRecord(ref.UUID)
	if err != nil || !ok {
		return err
	}
	r.change = nil
	return r.settle(r.ops)
}

// revertFiles puts back the files of changes that were cut short, before anybody
// reads them. It returns the changes by network.
func (d *Driver) revertFiles() map[xml.UUID]*alteration {
	changes := map[xml.UUID]*alteration{}
	list, err := d.records().List()
	d.warn("listing undo records", Ref{}, err)
	for _, uuid := range list {
		r, ok, err := d.readRecord(uuid)
		if err != nil || !ok || r.change == nil || checkName(r.network) != nil {
			continue
		}
		ref := Ref{Name: r.network, UUID: uuid}
		d.log.Info("undoing an unfinished change", "network", ref.Name, "uuid", uuid.String())
		d.warn("taking back a change of the status file", ref, r.change.Status.revert(d.dirs.StatusFile(ref.Name)))
		d.warn("taking back a change of the definition", ref, r.change.Config.revert(d.dirs.DefinitionFile(ref.Name)))
		changes[uuid] = r.change
	}
	return changes
}

// revert puts a file back. One that was changed by somebody else since stays.
func (v revision) revert(path string) error {
	if v.Before == "" || v.Before == v.After {
		return nil
	}
	data, err := state.Read(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(data) != v.After {
		return nil
	}
	if err != nil {
		return err
	}
	return disk.Write(path, []byte(v.Before), 0o600)
}

// revert takes back what unfinished changes did on the host. Rules and what leads
// to guests have been put right by then, as at every start.
func (d *Driver) revert(ctx context.Context, changes map[xml.UUID]*alteration) {
	for uuid, e := range changes {
		n, v, err := d.hold(ctx, Ref{UUID: uuid}, "taking back a change of")
		if err != nil {
			continue // it does not run any more
		}
		if v.active() {
			err := d.revertHost(ctx, n, v, e)
			if err == nil {
				err = d.settleAlteration(n.ref)
			}
			d.warn("undoing an unfinished change", n.ref, err)
		}
		n.end()
	}
}

// revertHost makes a network's addresses and dnsmasq those of its definition, where
// they may be those of another one.
func (d *Driver) revertHost(ctx context.Context, n *network, v *view, e *alteration) error {
	after, err := xml.ParseStatus([]byte(e.Status.After))
	if err != nil || !v.live.OwnsBridge() {
		return err
	}
	half, next := *v, *v
	half.live = count(after.Network, v.ports)
	c := &conversion{d: d, n: n, from: &half, to: &next}
	change, err := c.change(ctx)
	if err != nil {
		return err
	}
	change.Refresh = true
	_, err = d.converge(ctx, n, change)
	return err
}
