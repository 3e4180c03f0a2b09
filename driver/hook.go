package driver

import (
	"context"

	"github.com/virbr/virbr/hooks"
)

// hook runs people's scripts for a network whose running definition is in v,
// and marks v when they did.
func (d *Driver) hook(ctx context.Context, n *network, op hooks.Op, v *view) error {
	if !d.hooks.Present() {
		return nil
	}
	ran, err := d.hooks.Network(ctx, n.ref.Name, op, hooks.Document(v.live.FormatIndent(1, 0), ""))
	if err != nil {
		return &Error{Kind: KindHook, Msg: err.Error(), Err: err}
	}
	v.status.tainted = v.status.tainted || ran
	return nil
}
