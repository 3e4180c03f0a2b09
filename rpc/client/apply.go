package client

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/virbr/virbr/rpc/proto"
)

// Proposal is what a definition does to a network.
type Proposal struct {
	Network string
	New     bool // it is not defined yet
	Running bool
	Defines bool   // its persistent definition changes
	Restart bool   // it is stopped and started, with its guests put back
	Effect  string // what guests notice at worst
	Changes []ProposedChange
	Drift   []string // what the host lacks of what runs
}

// ProposedChange is one thing that becomes different.
type ProposedChange struct{ Text, Effect string }

// Changed reports whether anything becomes different.
func (p *Proposal) Changed() bool { return p.New || p.Defines || len(p.Changes) > 0 }

// ErrNoApply says that the daemon is not virbrd, or an older one.
var ErrNoApply = errors.New("the daemon does not plan or apply definitions, virbrd does; for virbr's extensions there is \"virbrd hook --check --extensions FILE NETWORK\"")

// Plan tells what applying definitions would do.
func (c *Conn) Plan(ctx context.Context, docs []string) ([]Proposal, error) {
	return c.proposals(ctx, proto.Plan, proto.ApplyArgs{Documents: docs})
}

// Apply makes networks what definitions say, all of them or none. What cuts guests off
// is refused unless yes, or with a time after which all is undone unless it is
// confirmed, in whole seconds.
func (c *Conn) Apply(ctx context.Context, docs []string, yes bool, confirm time.Duration) ([]Proposal, error) {
	args := proto.ApplyArgs{Documents: docs, Confirm: uint32(min(confirm/time.Second, math.MaxUint32))}
	if yes {
		args.Flags = proto.ApplyYes
	}
	return c.proposals(ctx, proto.Apply, args)
}

// Pending returns by network until when its change must be confirmed.
func (c *Conn) Pending(ctx context.Context) (map[string]time.Time, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil || !has {
		return nil, err
	}
	var found proto.Pendings
	if err := c.extension(ctx, proto.PendingList, nil, &found); err != nil {
		return nil, err
	}
	made := map[string]time.Time{}
	for _, p := range found.List {
		for _, n := range p.Networks {
			made[n.Name] = time.Unix(0, p.Until)
		}
	}
	return made, nil
}

// Confirm keeps what was applied to a network and those that were changed with it.
func (c *Conn) Confirm(ctx context.Context, n Network) error {
	return c.extension(ctx, proto.Confirm, &n.ref, &proto.Void{})
}

// RollBack undoes now what waits for a confirmation.
func (c *Conn) RollBack(ctx context.Context, n Network) error {
	return c.extension(ctx, proto.RollBack, &n.ref, &proto.Void{})
}

func (c *Conn) proposals(ctx context.Context, procedure int32, args proto.ApplyArgs) ([]Proposal, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil {
		return nil, err
	}
	if !has {
		return nil, ErrNoApply
	}
	var found proto.Proposals
	if err := c.extension(ctx, procedure, &args, &found); err != nil {
		return nil, err
	}
	list := make([]Proposal, len(found.List))
	for i, p := range found.List {
		list[i] = Proposal{Network: p.Network.Name, New: p.New, Running: p.Running, Defines: p.Defines, Restart: p.Way == proto.WayRestart, Effect: p.Effect, Drift: p.Drift}
		for _, ch := range p.Changes {
			list[i].Changes = append(list[i].Changes, ProposedChange(ch))
		}
	}
	return list, nil
}
