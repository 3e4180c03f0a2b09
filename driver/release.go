package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
)

// Release is what takes back everything that only this program's daemon put on
// the host: its firewall rules, checksum filters and undo records. Bridges,
// addresses, dnsmasq, limits of bandwidth, status files and leases stay as they
// are, for libvirt's own daemon.
type Release struct {
	Ops   []step.Op
	Files []string // to be removed
}

// PlanRelease reads what there is to take back. No daemon of ours may run. With
// an error it returns what can be taken back all the same; nil: nothing.
func PlanRelease(dirs state.Dirs) (*Release, error) {
	r := &Release{Ops: []step.Op{step.DropRules{}}}
	bridges := map[string]bool{}
	names, err := dirs.Running()
	if err != nil {
		return nil, fmt.Errorf("listing running networks: %w", err)
	}
	var errs []error
	for _, name := range names {
		s, err := dirs.Status(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the status of network %q: %w", name, err))
			continue
		}
		if bridge := s.Network.Bridge.Name; s.Network.Forward.Mode.Routed() && !bridges[bridge] {
			bridges[bridge] = true
			r.Ops = append(r.Ops, step.UnfillChecksums{Bridge: bridge})
		}
	}
	records := dirs.Records()
	list, err := records.List()
	errs = append(errs, err)
	for _, uuid := range list {
		r.Files = append(r.Files, records.Path(uuid))
		record, err := records.Read(uuid)
		errs = append(errs, err)
		if record != nil {
			r.Ops = append(r.Ops, slices.DeleteFunc(step.StopOrder(step.Undos(record.Steps)), func(op step.Op) bool { return step.ScopeOf(op) != step.ScopeGuests })...)
		}
	}
	for _, table := range []interface{ Paths() ([]string, error) }{dirs.Learned(), dirs.Detached(), dirs.Applying()} {
		paths, err := table.Paths()
		r.Files, errs = append(r.Files, paths...), append(errs, err)
	}
	return r, errors.Join(errs...)
}

// Run takes everything back, and goes on after errors.
func (r *Release) Run(ctx context.Context, sys System) error {
	var errs []error
	for _, op := range r.Ops {
		if err := sys.Run(ctx, op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op, err))
		}
	}
	return errors.Join(append(errs, disk.Remove(r.Files...))...)
}
