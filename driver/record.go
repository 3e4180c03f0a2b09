package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// record is a network's record, see [state.Record].
type record struct {
	state.Record
	files state.Table[state.Record]
	uuid  xml.UUID
	text  []byte // as it is on disk; nil: it is not
}

func (d *Driver) newRecord(n *network, bridge string) *record {
	return &record{Record: state.Record{Network: n.ref.Name, Bridge: bridge}, files: d.dirs.Records(), uuid: n.ref.UUID}
}

// readRecord returns the record of a network; ok is false where there is none, as for
// a network that libvirt's daemon started.
func (d *Driver) readRecord(uuid xml.UUID) (r *record, ok bool, err error) {
	r = &record{files: d.dirs.Records(), uuid: uuid}
	file, err := r.files.Read(uuid)
	if file == nil || err != nil {
		return nil, false, err
	}
	r.Record = *file
	r.text, err = json.Marshal(file)
	return r, err == nil, err
}

// undo returns what undoes all of it.
func (r *record) undo() []step.Op { return step.Undos(r.Steps) }

// keep makes the record tell how far a change has come, and saves it. It is kept in
// memory even where saving fails.
func (r *record) keep(p state.Progress) error {
	pending := map[string]bool{}
	for _, key := range p.Pending {
		pending[key] = true
	}
	r.Progress = state.Progress{Pending: p.Pending, Files: p.Files}
	for _, s := range p.Steps {
		if s.Undo != nil && (step.Lasting(s.Undo) || pending[step.Key(s.Undo)]) {
			r.Steps = append(r.Steps, step.Step{Do: brief(s.Do), Undo: s.Undo})
		}
	}
	if len(r.Steps)+len(r.Files) == 0 && r.text == nil {
		return nil
	}
	return r.save()
}

// brief returns what a record keeps of an op. What grows with the network is compiled
// from its definition when it is needed, not written with each change.
func brief(op step.Op) step.Op {
	switch o := op.(type) {
	case step.AddRules, step.WriteFile:
		return nil
	case step.StartDnsmasq:
		o.Aside = false // a thing of the start, not of what runs then
		return o
	}
	return op
}

// save writes the record, if it is another than that on disk.
func (r *record) save() error {
	text, err := json.Marshal(r.Record)
	if err == nil && !bytes.Equal(text, r.text) {
		err = r.files.Write(r.uuid, &r.Record)
	}
	if err == nil {
		r.text = text
	}
	return err
}

// settle ends a record, or keeps what could not be undone.
func (r *record) settle(left []step.Op) error {
	if len(left) == 0 {
		return r.files.Remove(r.uuid)
	}
	r.Progress = state.Progress{Steps: step.UndoSteps(left)}
	return r.save()
}

// recorder returns what writes down how far a change of a running network has come, which
// is about some keys. A network that libvirt's daemon started has no record and needs
// none, but for the moment in which several files are replaced.
func (d *Driver) recorder(n *network, ours map[string]bool) (save func(state.Progress) error, err error) {
	r, ok, err := d.readRecord(n.ref.UUID)
	if err != nil {
		return nil, err
	}
	if !ok {
		r = d.newRecord(n, "")
		return func(p state.Progress) error {
			if len(p.Files) > 0 {
				return r.keep(state.Progress{Files: p.Files})
			}
			return r.settle(nil)
		}, nil
	}
	was := r.Progress
	return func(p state.Progress) error {
		now := map[string]step.Step{}
		for _, s := range p.Steps {
			now[s.Key()] = s
		}
		made := state.Progress{Files: p.Files, Pending: slices.DeleteFunc(slices.Clone(was.Pending), func(key string) bool { return ours[key] })}
		made.Pending = append(made.Pending, p.Pending...)
		for _, s := range slices.Concat(was.Steps, p.Steps) {
			key := s.Key()
			if is, ok := now[key]; ok {
				made.Steps = append(made.Steps, is)
				delete(now, key)
				ours[key] = true
			} else if !ours[key] {
				made.Steps = append(made.Steps, s)
			}
		}
		return r.keep(made)
	}, nil
}

// converge makes a change of a running network. Nothing is pending any more then of what
// it is about, which is also what is settled.
func (d *Driver) converge(ctx context.Context, n *network, c engine.Change, settled ...string) (err error) {
	c.Network = n.ref.Name
	about := map[string]bool{}
	for _, s := range slices.Concat(c.From, c.To) {
		about[s.Key()] = true
	}
	for _, key := range settled {
		about[key] = true
	}
	if c.Save, err = d.recorder(n, about); err != nil {
		return err
	}
	return d.engine.Converge(ctx, c)
}

// resume makes the steps those that are in force of a running network, where it is not
// known what others did to it, or how far a former daemon came: first those that filter and
// lead to guests, then, with last set, the rest. Without a record, as libvirt's daemon leaves
// a network, they are in force.
func (d *Driver) resume(ctx context.Context, n *network, steps []step.Step, last bool) error {
	r, ok, err := d.readRecord(n.ref.UUID)
	if err != nil {
		return err
	}
	if !ok {
		return d.converge(ctx, n, engine.Change{From: steps, To: steps, Refresh: true})
	}
	c := engine.Resume(r.Progress, steps, func(op step.Op) bool { return filters(op) != last })
	if !last {
		return d.converge(ctx, n, c)
	}
	return d.converge(ctx, n, c, r.Pending...)
}

// finishFiles finishes replacing the files of changes that were cut short, before
// anybody reads them.
func (d *Driver) finishFiles() {
	list, err := d.dirs.Records().List()
	d.warn("listing undo records", Ref{}, err)
	for _, uuid := range list {
		r, ok, err := d.readRecord(uuid)
		if err != nil || !ok || len(r.Files) == 0 {
			continue // what is wrong with a record is said when it is needed
		}
		ref := Ref{Name: r.Network, UUID: uuid}
		d.log.Info("finishing a change", "network", ref.Name, "uuid", uuid.String())
		if err = state.FinishReplace(r.Files); err == nil {
			r.Files = nil
			err = r.save()
		}
		if err == nil && len(r.Steps) == 0 {
			err = r.settle(nil)
		}
		d.warn("finishing a change", ref, err)
	}
}
