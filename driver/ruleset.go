package driver

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
)

// ruleset is the firewall rules that we have put into the kernel, by bridge. It
// is what is put back at once when somebody else has removed them: without the
// turn of a network, which may be held for long.
type ruleset struct {
	mu    sync.Mutex // held while rules change: what a stop removes must not be put back
	rules map[string]*firewall.Network
	sums  map[string]bool // bridges whose DHCP checksums are filled in
}

func newRuleset() *ruleset {
	return &ruleset{rules: map[string]*firewall.Network{}, sums: map[string]bool{}}
}

// system is the host as the engine sees it: with account of rules.
type system struct{ *Driver }

func (s system) Run(ctx context.Context, op step.Op) error { return s.run(ctx, op) }
func (s system) DnsmasqAlive(pidFile string) bool          { return s.sys.DnsmasqAlive(pidFile) }
func (s system) Reload(pidFile string) error               { return s.sys.Reload(pidFile) }

func (s system) Missing(ctx context.Context, ops []step.Op) ([]step.Op, error) {
	if s.cfg.Watcher == nil {
		return nil, nil
	}
	return s.cfg.Watcher.Missing(ctx, ops)
}

// run has the host do one op.
func (d *Driver) run(ctx context.Context, op step.Op) error {
	r := d.ruleset
	switch op.(type) {
	case step.AddRules, step.ReplaceRules, step.DelRules, step.DropRules, step.FillChecksums, step.UnfillChecksums:
		r.mu.Lock()
		defer r.mu.Unlock()
		err := d.sys.Run(ctx, op)
		r.note(op, err)
		return err
	}
	return d.sys.Run(ctx, op)
}

// note keeps account of an op that was done.
func (r *ruleset) note(op step.Op, err error) {
	switch o := op.(type) {
	case step.AddRules:
		if err == nil && o.Rules != nil {
			r.rules[o.Rules.Bridge] = o.Rules
		}
	case step.ReplaceRules:
		if err == nil && o.To != nil {
			r.rules[o.To.Bridge] = o.To
		}
	case step.DelRules:
		delete(r.rules, o.Bridge) // also where it fails: they are not wanted
	case step.DropRules:
		clear(r.rules)
		clear(r.sums)
	case step.FillChecksums:
		if err == nil {
			r.sums[o.Bridge] = true
		}
	case step.UnfillChecksums:
		delete(r.sums, o.Bridge)
	}
}

// lacksRules reports whether the kernel lacks rules that ours are, as far as that can be
// told: what nobody heard of, as before virbrd listened, is found so.
func (d *Driver) lacksRules(ctx context.Context) bool {
	r := d.ruleset
	r.mu.Lock()
	defer r.mu.Unlock()
	var ops []step.Op
	for _, bridge := range slices.Sorted(maps.Keys(r.rules)) {
		ops = append(ops, step.AddRules{Rules: r.rules[bridge]})
	}
	missing, err := d.cfg.Watcher.Missing(ctx, ops)
	return err != nil || len(missing) > 0
}

// heal puts all rules in again that ours are, in one batch. Where that is refused
// each network gets its own as far as it can. It returns the bridges that have
// them.
func (d *Driver) heal(ctx context.Context) (bridges []string, err error) {
	r := d.ruleset
	r.mu.Lock()
	defer r.mu.Unlock()
	bridges = slices.Sorted(maps.Keys(r.rules))
	if len(bridges) == 0 {
		return nil, nil
	}
	all := make([]*firewall.Network, len(bridges))
	for i, bridge := range bridges {
		all[i] = r.rules[bridge]
	}
	sums := slices.Sorted(maps.Keys(r.sums))
	err = d.sys.Run(ctx, step.RestoreRules{Rules: all, Checksums: sums})
	if err == nil || ctx.Err() != nil {
		return bridges, err
	}
	errs := []error{err}
	var healed []string
	for i, bridge := range bridges {
		if err := d.sys.Run(ctx, step.AddRules{Rules: all[i]}); err != nil {
			errs = append(errs, err)
			continue
		}
		healed = append(healed, bridge)
	}
	return healed, errors.Join(errs...)
}
