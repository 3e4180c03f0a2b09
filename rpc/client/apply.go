package client

import (
	"context"
	"errors"

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
var ErrNoApply = errors.New("the daemon does not plan or apply definitions; virbrd does")

// Plan tells what applying definitions would do.
func (c *Conn) Plan(ctx context.Context, docs []string) ([]Proposal, error) {
	return c.proposals(ctx, proto.Plan, proto.ApplyArgs{Documents: docs})
}

// Apply makes networks what definitions say, all of them or none. What cuts guests off
// is refused unless yes.
func (c *Conn) Apply(ctx context.Context, docs []string, yes bool) ([]Proposal, error) {
	args := proto.ApplyArgs{Documents: docs}
	if yes {
		args.Flags = proto.ApplyYes
	}
	return c.proposals(ctx, proto.Apply, args)
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
