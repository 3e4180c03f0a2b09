package main

import (
	"context"
	"errors"
	"os"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/doctor/collect"
	"github.com/virbr/virbr/driver/host"
)

// survey reads the facts of this host for the doctor.
func survey(ctx context.Context, places doctor.Places) (*doctor.Facts, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: others' firewall rules and processes cannot be seen without; try sudo virbr doctor")
	}
	h, err := host.New(host.Config{})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return collect.Collect(ctx, h, places)
}
