package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// loadJournals undoes each Apply that was cut short, or was not confirmed in time, and
// watches over those that may still be confirmed. After the host was booted those
// networks are not started that ran before: their autostart is to come.
func (d *Driver) loadJournals(ctx context.Context, booted bool) {
	files := d.dirs.Applying()
	list, err := files.List()
	d.warn("listing changes that were cut short", Ref{}, err)
	for _, uuid := range list {
		j, err := files.Read(uuid)
		if err != nil || j == nil {
			d.warn("what a daemon was changing cannot be read, and stays as it is", Ref{UUID: uuid}, err)
			continue
		}
		if booted {
			for i := range j.Networks {
				j.Networks[i].Status = ""
			}
		}
		if time.Now().Before(j.Until) {
			d.warn("keeping what a change is to be undone to", Ref{UUID: uuid}, files.Write(uuid, j))
			d.pending.arm(uuid, j, nil)
			continue
		}
		d.warn("undoing a change", Ref{UUID: uuid}, errors.Join(d.undoJournal(ctx, j, !j.Until.IsZero()), files.Remove(uuid)))
	}
}

// undoJournal makes networks what they were before an Apply, the last one first. Told
// says that clients have been told of the change, and the history has it.
func (d *Driver) undoJournal(ctx context.Context, j *state.Applying, told bool) error {
	var errs []error
	for _, e := range slices.Backward(j.Networks) {
		ref := Ref{Name: e.Network, UUID: e.UUID}
		d.log.Info("undoing a change", "network", ref.Name, "uuid", ref.UUID.String())
		if err := d.undoEntry(ctx, ref, e, told); err != nil {
			errs = append(errs, fmt.Errorf("undoing a change of network %q: %w", ref.Name, err))
		}
	}
	return errors.Join(errs...)
}

// undoEntry makes one network what it was.
func (d *Driver) undoEntry(ctx context.Context, ref Ref, e state.Applied, told bool) error {
	n, v, err := d.hold(ctx, ref, "undoing a change of")
	if gone, ok := errors.AsType[*Error](err); ok && gone.Kind == KindNoNetwork {
		return nil // it had not been defined yet, or somebody removed its files
	}
	if err != nil {
		return err
	}
	defer n.end()
	if e.Config == "" {
		return d.undoNew(ctx, n, v, told)
	}
	was, err := d.before(ctx, n, v, e)
	if err != nil {
		return err
	}
	if err := d.transform(ctx, n, v, was); err != nil || !told {
		return err
	}
	d.recordViews(ctx, n, v, was)
	notify(d.retired)
	d.tell(EventDefined, n)
	return nil
}

// undoNew removes a network that an Apply defined. One that runs was started since.
func (d *Driver) undoNew(ctx context.Context, n *network, v *view, told bool) error {
	if v.active() {
		if err := d.stop(ctx, n, v); err != nil {
			return err
		}
	}
	d.warn("removing the autostart link", n.ref, d.dirs.UnlinkAutostart(n.ref.Name))
	if err := d.dirs.RemoveDefinition(n.ref.Name); err != nil {
		return err
	}
	n.view.Store(nil)
	err := d.clean(n.ref, v.config.Bridge.Name)
	d.forget(n)
	if told {
		d.warn("keeping the network's history", n.ref, d.history.Gone(historical(n.ref)))
		d.tell(EventUndefined, n)
	}
	return err
}

// before returns what a network was.
func (d *Driver) before(ctx context.Context, n *network, v *view, e state.Applied) (*view, error) {
	def, err := xml.LoadNetwork([]byte(e.Config))
	if err != nil {
		return nil, err
	}
	was := *v
	d.setConfig(n, &was, def)
	switch {
	case e.Status != "":
		s, err := xml.ParseStatus([]byte(e.Status))
		if err != nil {
			return nil, err
		}
		was.live = s.Network
	case v.active(): // it has been started since
		facts, err := d.sys.Facts(ctx)
		if err != nil {
			return nil, err
		}
		if was.live, err = d.makeLive(ctx, n, was.made, facts); err != nil {
			return nil, err
		}
	default:
		return &was, nil
	}
	was.live = count(was.live, v.ports)
	if !v.active() {
		was.status = newStatus()
	} else if v.live.Format(0) == was.live.Format(0) {
		was.live = v.live
	}
	return &was, nil
}
