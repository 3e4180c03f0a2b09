package driver

import (
	"context"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Choose fixes what the definition of a network leaves open that another daemon
// runs, as a start by this driver would: what is chosen is kept, and is nobody
// else's. The driver need not have loaded networks.
func (d *Driver) Choose(ctx context.Context, def *xml.Network, facts step.Facts) (*xml.Network, error) {
	return d.choose(ctx, newNetwork(Ref{Name: def.Name, UUID: def.UUID}), def, facts)
}
