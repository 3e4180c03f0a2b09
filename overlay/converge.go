package overlay

import (
	"context"
	"errors"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
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
	now := &record{
		path: e.dirs.record(t.def.UUID), Network: t.def.Name, UUID: t.def.UUID, Bridge: t.def.Bridge.Name,
		Index: link.Index, From: t.from, Def: t.def.Format(0), Made: t.made.Format(0), Reach: t.reach,
	}
	change := engine.Change{Network: now.Network, To: t.steps, Save: now.keep, Refresh: true}
	var before *plan.Reach
	if was != nil {
		change.From, now.text, before = was.Steps, was.text, was.Reach
		change.Notify = retraction(was, t.made)
	}
	if err := e.engine.Converge(ctx, change); err != nil {
		return errors.Join(err, now.giveBack(was))
	}
	e.endConnections(ctx, now.Network, before, now.Reach)
	e.tell(e.reportOf(t, now))
	delete(e.open, now.UUID)
	if len(t.reach.Doubts)+len(t.reach.Memory.Withheld) > 0 {
		e.open[now.UUID] = t.reach
	}
	return nil
}

func (e *Engine) reportOf(t *target, r *record) Report {
	report := Report{Network: r.Network, UUID: r.UUID.String(), Bridge: r.Bridge, From: r.From, Waiting: waiting(t.reach), Steps: lines(r.Steps)}
	if r.From == File {
		report.File = e.dirs.file(r.Network)
	}
	report.Forwards, report.Publics = states(t.reach)
	report.Uplinks = uplinks(t.reach)
	if t.note != "" {
		report.Notes = append(report.Notes, t.note)
	}
	return report
}

// states returns what forwards and public addresses come to.
func states(r *plan.Reach) (forwards, publics []Resolved) {
	if r == nil {
		return nil, nil
	}
	for i := range r.Ext.Forwards {
		forwards = append(forwards, resolved(r.Ext.Forwards[i].XML(), r.ForwardState(i)))
	}
	for i := range r.Ext.Publics {
		publics = append(publics, resolved(r.Ext.Publics[i].XML(), r.PublicState(i)))
	}
	return forwards, publics
}

// uplinks returns what uplinks come to.
func uplinks(r *plan.Reach) (list []Uplink) {
	if r == nil {
		return nil
	}
	for i := range r.Ext.Uplinks {
		for _, s := range r.UplinkStates(i) {
			list = append(list, Uplink{XML: r.Ext.Uplinks[i].XML(), IPv6: s.IPv6, Used: s.Used, Since: s.Since, Gateway: s.Gateway, Reason: s.Reason})
		}
	}
	return list
}

func resolved(document string, s plan.State) Resolved {
	return Resolved{XML: document, Active: s.Active, Addresses: s.Addresses, Reason: s.Reason}
}

// lines returns what steps do, for people.
func lines(steps []step.Step) []string {
	out := make([]string, 0, len(steps))
	for _, s := range steps {
		out = append(out, s.Do.String())
	}
	return out
}
