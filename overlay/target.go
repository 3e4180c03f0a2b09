package overlay

import (
	"context"
	"fmt"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// target is what is to be in force for a network.
type target struct {
	*extension
	made       *xml.Network // with what was chosen
	facts      step.Facts
	resolution *plan.Resolution
	steps      []step.Step
}

// target computes what a network's extensions ask for on the host as it is, without
// what others have. Was is what it has already; nil: nothing.
func (e *Engine) target(ctx context.Context, was *record, x *extension) (*target, error) {
	t := &target{extension: x}
	if err := e.fill(ctx, was, t); err != nil {
		if x.from == plan.File {
			err = fmt.Errorf("%s: %w", e.files.Extensions(x.def.Name), err)
		}
		return nil, err
	}
	return t, nil
}

func (e *Engine) fill(ctx context.Context, was *record, t *target) (err error) {
	if t.made, err = plan.Overlaid(t.def); err != nil {
		return err
	}
	if t.facts, err = e.sys.Facts(ctx); err != nil {
		return fmt.Errorf("adding to network %q: %w", t.def.Name, err)
	}
	if t.made, err = e.cfg.Choose(ctx, t.made, t.facts); err != nil {
		return err
	}
	if err := e.checkPrefix(was, t); err != nil {
		return err
	}
	var before plan.Memory
	if was != nil && was.Resolution != nil {
		before = was.Resolution.Memory
	}
	if t.resolution, err = e.resolution(ctx, t, before); err != nil {
		return err
	}
	if err := e.admit(ctx, was, t); err != nil {
		return err
	}
	p, err := plan.Overlay(t.def, t.made, t.resolution, t.facts, plan.Dirs(e.files.Served()))
	if err != nil {
		return err
	}
	t.steps = p.Steps
	return nil
}
