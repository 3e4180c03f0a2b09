package driver

import (
	"context"
	"errors"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// newJournal is the way back of networks that are about to be changed together, whose
// turns are held, and the network that it is under: nobody else has that one's turn.
func newJournal(all []*application) (*state.Applying, xml.UUID) {
	j := &state.Applying{}
	for _, a := range all {
		e := state.Applied{Network: a.n.ref.Name, UUID: a.n.ref.UUID}
		if a.from != nil && a.from.persistent() {
			e.Config = state.DefinitionText(a.from.config)
		}
		if a.from != nil && a.from.active() {
			e.Status = state.StatusText(a.from.statusFile())
		}
		j.Networks = append(j.Networks, e)
	}
	return j, all[0].n.ref.UUID
}

// takeBackApplied makes networks what they were before an Apply that was cut short. After
// the host was booted those are not started that ran before.
func (d *Driver) takeBackApplied(ctx context.Context, booted bool) {
	files := d.dirs.Applying()
	list, err := files.List()
	d.warn("listing changes that were cut short", Ref{}, err)
	for _, uuid := range list {
		j, err := files.Read(uuid)
		if err != nil || j == nil {
			d.warn("what a daemon was changing cannot be read, and stays as it is", Ref{UUID: uuid}, err)
			continue
		}
		for _, e := range j.Networks {
			if booted {
				e.Status = ""
			}
			ref := Ref{Name: e.Network, UUID: e.UUID}
			d.log.Info("taking back a definition that was being applied", "network", ref.Name, "uuid", ref.UUID.String())
			d.warn("taking back a definition that was being applied", ref, d.takeBackEntry(ctx, ref, e))
		}
		d.warn("taking back a definition that was being applied", Ref{UUID: uuid}, files.Remove(uuid))
	}
}

// takeBackEntry makes one network what it was.
func (d *Driver) takeBackEntry(ctx context.Context, ref Ref, e state.Applied) error {
	n, v, err := d.change(ctx, ref, "taking back a change of")
	if err != nil {
		if e.Config == "" {
			return nil // it had not been defined yet
		}
		return err
	}
	defer n.end()
	if e.Config == "" {
		if v.active() {
			return nil // somebody started it
		}
		d.forget(n)
		return errors.Join(d.dirs.RemoveDefinition(ref.Name), d.clean(ref, v.config.Bridge.Name))
	}
	was := *v
	def, err := xml.LoadNetwork([]byte(e.Config))
	if err != nil {
		return err
	}
	d.setConfig(n, &was, def)
	if e.Status == "" {
		if v.active() {
			return nil
		}
		return d.transform(ctx, n, v, &was)
	}
	s, err := xml.ParseStatus([]byte(e.Status))
	if err != nil {
		return err
	}
	was.live = count(s.Network, v.ports)
	if !v.active() {
		was.status = newStatus()
	} else if v.live.Format(0) == was.live.Format(0) {
		was.live = v.live
	}
	return d.transform(ctx, n, v, &was)
}
