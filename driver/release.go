package driver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
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
func PlanRelease(dirs Dirs) (*Release, error) {
	r := &Release{Ops: []step.Op{step.DropRules{}}}
	bridges := map[string]bool{}
	names, err := disk.Stems(dirs.State, ".xml")
	if err != nil {
		return nil, fmt.Errorf("listing running networks: %w", err)
	}
	var errs []error
	for _, name := range names {
		data, err := readFile(dirs.status(name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s, err := xml.ParseStatus(data)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the status of network %q: %w", name, err))
			continue
		}
		if bridge := s.Network.Bridge.Name; s.Network.Forward.Mode.Routed() && !bridges[bridge] {
			bridges[bridge] = true
			r.Ops = append(r.Ops, step.UnfillChecksums{Bridge: bridge})
		}
	}
	records, err := disk.Stems(dirs.undos(), ".json")
	errs = append(errs, err)
	for _, uuid := range records {
		r.Files = append(r.Files, filepath.Join(dirs.undos(), uuid+".json"))
		errs = append(errs, r.addRecord(filepath.Join(dirs.undos(), uuid+".json")))
	}
	for _, dir := range []string{dirs.memories(), dirs.detached()} {
		names, err := disk.Stems(dir, ".json")
		errs = append(errs, err)
		for _, uuid := range names {
			r.Files = append(r.Files, filepath.Join(dir, uuid+".json"))
		}
	}
	return r, errors.Join(errs...)
}

// addRecord adds what a network's record says of the paths to its guests.
func (r *Release) addRecord(path string) error {
	record, err := loadRecord(path)
	if err != nil {
		return err
	}
	for _, op := range record.ops {
		if step.ScopeOf(op) == step.ScopeGuests {
			r.Ops = append(r.Ops, op)
		}
	}
	return nil
}

// Run takes everything back, and goes on after errors.
func (r *Release) Run(ctx context.Context, sys System) error {
	var errs []error
	for _, op := range r.Ops {
		if err := sys.Run(ctx, op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op, err))
		}
	}
	for _, file := range r.Files {
		errs = append(errs, remove(file))
	}
	return errors.Join(errs...)
}
