package client

import (
	"context"

	"github.com/virbr/virbr/rpc/proto"
)

// Start starts a network that is defined.
func (c *Conn) Start(ctx context.Context, n Network) error {
	return c.call(ctx, proto.NetworkCreate, &n.ref, &proto.Void{})
}

// Stop stops a network, which takes guests offline. One that is transient is gone then.
func (c *Conn) Stop(ctx context.Context, n Network) error {
	return c.call(ctx, proto.NetworkDestroy, &n.ref, &proto.Void{})
}

// Autostart sets whether a network is started with its daemon.
func (c *Conn) Autostart(ctx context.Context, n Network, on bool) error {
	args := proto.AutostartArgs{Network: n.ref}
	if on {
		args.Autostart = 1
	}
	return c.call(ctx, proto.NetworkSetAutostart, &args, &proto.Void{})
}
