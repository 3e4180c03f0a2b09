package overlay

import (
	"context"
	"errors"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
)

// converge makes the host what t says, from what the record says it is; was is nil
// where nothing was added yet. After an error the host is as it was, as far as
// that can be done.
func (e *Engine) converge(ctx context.Context, was *record, t *target) error {
	link, there := t.facts.Links[t.def.Bridge.Name]
	if was != nil && (was.Bridge != t.def.Bridge.Name || was.Index != 0 && there && was.Index != link.Index) {
		// What was added went with the bridge that had it; the rest goes now.
		if err := e.remove(ctx, was.UUID); err != nil {
			return err
		}
		was = nil
	}
	now := &record{files: e.files.Records(), OverlayRecord: state.OverlayRecord{
		Network: t.def.Name, UUID: t.def.UUID, Bridge: t.def.Bridge.Name, Index: link.Index,
		From: t.from, Definition: t.def.Format(0), Made: t.made.Format(0), Resolution: t.resolution,
	}}
	change := engine.Change{Network: now.Network, To: t.steps, Save: now.keep, Refresh: true}
	var before *plan.Resolution
	if was != nil {
		change.From, now.text, before = was.Steps, was.text, was.Resolution
		change.Notify = retraction(was, t.made)
	}
	if err := e.engine.Converge(ctx, change); err != nil {
		return errors.Join(err, now.giveBack(was))
	}
	e.record(t.def)
	e.endConnections(ctx, now.Network, before, now.Resolution)
	e.report(noted(e.reportOf(now), t.note))
	delete(e.open, now.UUID)
	if len(t.resolution.Doubts)+len(t.resolution.Memory.Withheld) > 0 {
		e.open[now.UUID] = t.resolution
	}
	return nil
}

// noted adds to a report what people should know.
func noted(r *plan.Report, note string) *plan.Report {
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	return r
}
