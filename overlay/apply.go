package overlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Mode is how Apply goes about it.
type Mode struct {
	Dry        bool   // only find out what would change, and whether that would work
	Extensions string // with Dry: the file of those that networks have instead; "": their own
}

// Apply makes running networks what their extensions say now. Without names that is all
// networks that have extensions, or had. What goes wrong with one network is in its report; a
// name of none that runs is an error.
func (e *Engine) Apply(ctx context.Context, names []string, mode Mode) ([]*plan.Report, error) {
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
			r, err := e.applyOne(ctx, o, mode)
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

func (e *Engine) applyOne(ctx context.Context, o *xml.Outline, mode Mode) (*plan.Report, error) {
	if !mode.Dry {
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
	if mode.Extensions != "" {
		x, err = given(o, mode.Extensions)
	}
	was, recordErr := e.readRecord(o.UUID)
	if err == nil {
		err = recordErr
	}
	if err == nil && x == nil {
		return &plan.Report{Network: o.Name, Changes: changes(was, nil)}, nil
	}
	var t *target
	if err == nil {
		t, err = e.target(ctx, was, x)
	}
	if err != nil {
		return &plan.Report{Network: o.Name, Error: err.Error()}, nil
	}
	made := &record{OverlayRecord: state.OverlayRecord{
		Network: o.Name, UUID: o.UUID, Bridge: x.def.Bridge.Name, From: x.from, Resolution: t.resolution, Progress: state.Progress{Steps: t.steps},
	}}
	r := noted(e.reportOf(made), x.note)
	r.Changes = changes(was, t.steps)
	if mode.Extensions != "" {
		r.File = mode.Extensions
	}
	return r, nil
}

// given returns a network with the extensions of a file; nil: without.
func given(o *xml.Outline, path string) (*extension, error) {
	text, err := state.Read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the extensions: %w", err)
	}
	ext, err := xml.ParseExtensions(text)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	def, err := o.Network()
	if err == nil {
		err = def.SetExtensions(ext)
	}
	if err != nil || ext.IsZero() {
		return nil, err
	}
	return &extension{def: def, from: plan.File}, nil
}

// changes tells what becomes different on the way from a record to some steps.
func changes(was *record, steps []step.Step) (list []string) {
	var before []step.Step
	if was != nil {
		before = was.Steps
	}
	for _, t := range engine.Difference(before, steps) {
		switch {
		case t.Same:
		case t.Gone:
			list = append(list, "- "+cmp.Or(t.Was, t.Do).String())
		case t.Was != nil:
			list = append(list, "~ "+t.Do.String())
		default:
			list = append(list, "+ "+t.Do.String())
		}
	}
	return list
}
