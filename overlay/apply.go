package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/virbr/virbr/disk"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// Apply makes running networks what their extensions say now, or, with dry set,
// only finds out whether that would work. Without names that is all networks that
// have extensions, or had. What goes wrong with one network is in its report; a
// name of none that runs is an error.
func (e *Engine) Apply(ctx context.Context, names []string, dry bool) ([]Report, error) {
	all := len(names) == 0
	if all {
		var err error
		if names, err = disk.Stems(e.dirs.State, ".xml"); err != nil {
			return nil, fmt.Errorf("listing networks: %w", err)
		}
	}
	var reports []Report
	err := e.locked(ctx, func() error {
		for _, name := range names {
			o, err := e.dirs.outline(name)
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
			if !all || r.From != Nowhere || r.Error != "" {
				reports = append(reports, r)
			}
		}
		return nil
	})
	return reports, err
}

func (e *Engine) applyOne(ctx context.Context, o *xml.Outline, dry bool) (Report, error) {
	if !dry {
		if err := e.follow(ctx, o); err != nil {
			return Report{Network: o.Name, Error: err.Error()}, nil
		}
		return e.dirs.readReport(o.Name)
	}
	x, err := e.dirs.extend(o)
	if err == nil && x == nil {
		return Report{Network: o.Name}, nil
	}
	var t *target
	was, recordErr := e.dirs.readRecord(o.UUID)
	if err == nil {
		err = recordErr
	}
	if err == nil {
		t, err = e.target(ctx, was, x)
	}
	if err != nil {
		return Report{Network: o.Name, Error: err.Error()}, nil
	}
	return e.reportOf(t, &record{Network: o.Name, UUID: o.UUID, Bridge: x.def.Bridge.Name, From: x.from, Progress: state.Progress{Steps: t.steps}}), nil
}

// readReport returns the report of a network; one without extensions has none.
func (d Dirs) readReport(name string) (Report, error) {
	data, err := readFile(d.report(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Report{Network: name}, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("reading a report: %w", err)
	}
	return parseReport(d.report(name), data)
}
