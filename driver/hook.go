package driver

import (
	"context"

	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/xml"
)

// hook runs people's scripts for a network as it is in v: its running
// definition, or else the persistent one. It marks v when they did.
func (d *Driver) hook(ctx context.Context, n *network, op hooks.Op, v *view) error {
	return d.script(ctx, n, op, v, nil)
}

// portHook runs people's scripts for a port of a running network. The first that
// ran marks the network, also on disk.
func (d *Driver) portHook(ctx context.Context, n *network, op hooks.Op, v *view, p *xml.Port) error {
	tainted := v.status.HookScript
	if err := d.script(ctx, n, op, v, p); err != nil {
		return err
	}
	if v.status.HookScript != tainted {
		d.warn("marking that a hook ran", n.ref, d.saveStatus(v))
	}
	return nil
}

// script runs people's scripts; port is nil if it is not about one. Nothing is held
// meanwhile but the network's turn.
func (d *Driver) script(ctx context.Context, n *network, op hooks.Op, v *view, port *xml.Port) error {
	if !d.hooks.Present() {
		return nil
	}
	about := ""
	if port != nil {
		about = port.FormatIndent(1)
	}
	doc := hooks.Document(v.def().FormatIndent(1, 0), about)
	if j := n.job.Load(); j != nil { // who waits for the network hears for what
		n.job.Store(&job{what: j.what + ", in a hook script", since: j.since})
		defer n.job.Store(j)
	}
	var ran bool
	var err error
	quota.Idle(ctx, func() { ran, err = d.hooks.Network(ctx, n.ref.Name, op, doc) })
	if err != nil {
		return &Error{Kind: KindHook, Msg: err.Error(), Err: err}
	}
	v.status.HookScript = v.status.HookScript || ran
	return nil
}
