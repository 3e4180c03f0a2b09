package main

import (
	"context"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/step"
)

// system returns the host as the configured firewall backend lets it be used.
func system(h driver.System, b config.Backend) driver.System {
	if b == config.BackendNone {
		return unfiltered{h}
	}
	return h
}

// unfiltered is a host without a firewall backend (firewall_backend = "none"):
// networks that need rules cannot start.
type unfiltered struct{ driver.System }

// Run refuses to install rules with libvirt's error and passes on all else.
func (u unfiltered) Run(ctx context.Context, op step.Op) error {
	if _, ok := op.(step.AddRules); ok {
		return &driver.Error{Kind: driver.KindNoSupport, Msg: "No firewall backend is available"}
	}
	return u.System.Run(ctx, op)
}
