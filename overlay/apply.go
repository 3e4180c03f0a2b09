package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// Apply makes running networks what their extensions say now, or, with dry set,
// only finds out whether that would work. Without names that is all networks that
// have extensions, or had. What goes wrong with one network is in its report; a
// name of none that runs is an error.
func (e *Engine) Apply(ctx context.Context, names []string, dry bool) ([]*plan.Report, error) {
	all := len(names) == 0
	if all {
		var err error
		if names, err = e.dirs.Running(); err != nil {
			return nil, fmt.Errorf("listing networks: %w", err)
		}
	}
	var reports []*plan.Report
	err := e.locked(ctx, func() error {
		for _, name := range names {
			o, err := e.outline(name)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("no network %q runs: %w", name, err)
			}
			if err != nil {
				return err
			}
			r, err := e.applyOne(ctx, o, dry)
			if err != nil {
				return err
			}
			if !all || r.From != plan.Nowhere || r.Error != "" {
				reports = append(reports, r)
			}
		}
		return nil
	})
	return reports, err
}

func (e *Engine) applyOne(ctx context.Context, o *xml.Outline, dry bool) (*plan.Report, error) {
	if !dry {
		if err := e.follow(ctx, o); err != nil {
			return &plan.Report{Network: o.Name, Error: err.Error()}, nil
		}
		r, err := e.files.Report(o.Name)
		if r == nil {
			r = &plan.Report{Network: o.Name} // it has no extensions
		}
		return r, err
	}
	x, err := e.extend(o)
	if err == nil && x == nil {
		return &plan.Report{Network: o.Name}, nil
	}
	var t *target
	was, recordErr := e.readRecord(o.UUID)
	if err == nil {
		err = recordErr
	}
	if err == nil {
		t, err = e.target(ctx, was, x)
	}
	if err != nil {
		return &plan.Report{Network: o.Name, Error: err.Error()}, nil
	}
	made := &record{OverlayRecord: state.OverlayRecord{
		Network: o.Name, UUID: o.UUID, Bridge: x.def.Bridge.Name, From: x.from, Reach: t.reach, Progress: state.Progress{Steps: t.steps},
	}}
	return noted(e.reportOf(made), x.note), nil
}
