package driver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// Bounds of what is remembered of guests whose network was stopped.
const (
	// maxDetached is of how many networks; those that stopped first are forgotten first.
	maxDetached = 4096
	// heirTime is how long a network of another name and UUID gets the guests of one
	// that is no longer defined, for its bridge's name alone: for who replaces a network,
	// not for who uses the name again some day.
	heirTime = time.Hour
)

// detach remembers what is plugged into a network that is about to stop. A stop does
// not fail for it.
func (d *Driver) detach(ctx context.Context, n *network, v *view) {
	bridge := v.live.Bridge.Name
	if bridge == "" {
		return
	}
	guests := make([]xml.MAC, len(v.ports))
	for i, p := range v.ports {
		guests[i] = p.MAC
	}
	members, err := retried(func() ([]step.Member, error) { return d.sys.Members(ctx, bridge, guests) })
	d.warn("guests are not put back by the network's next start", n.ref, err)
	left := &state.Detached{Network: n.ref.Name, UUID: n.ref.UUID, Bridge: bridge, MAC: v.live.MAC, Since: time.Now().Unix()}
	for _, m := range members {
		if v.live.OwnsBridge() || len(m.Guests) > 0 {
			left.Members = append(left.Members, m)
		}
	}
	if len(left.Members) == 0 {
		return
	}
	for _, p := range v.ports {
		if left.Has(p.MAC) {
			left.Ports = append(left.Ports, p.Format())
		}
	}
	d.detachedMu.Lock()
	defer d.detachedMu.Unlock()
	d.warn("guests are not put back once virbrd has ended", n.ref, d.dirs.Detached().Write(left.UUID, left))
	d.detached[n.ref.UUID] = left
	if len(d.detached) > maxDetached {
		oldest := left
		for _, o := range d.detached {
			if o.Since < oldest.Since {
				oldest = o
			}
		}
		d.forgetDetachedLocked(oldest)
	}
}

// forgetDetachedLocked forgets guests.
func (d *Driver) forgetDetachedLocked(l *state.Detached) {
	delete(d.detached, l.UUID)
	d.warn("forgetting the guests of a stopped network", Ref{Name: l.Network, UUID: l.UUID}, d.dirs.Detached().Remove(l.UUID))
}

// loadDetached reads what earlier daemons wrote down.
func (d *Driver) loadDetached() {
	files := d.dirs.Detached()
	list, err := files.List()
	d.warn("listing the guests of stopped networks", Ref{}, err)
	for _, uuid := range list[:min(len(list), maxDetached)] {
		l, err := files.Read(uuid)
		if l != nil && l.UUID != uuid {
			err = fmt.Errorf("reading %q: it is of %s", files.Path(uuid), l.UUID)
		}
		if err != nil {
			d.warn("forgetting the guests of a stopped network", Ref{UUID: uuid}, errors.Join(err, files.Remove(uuid)))
			continue
		}
		if l != nil {
			d.detached[uuid] = l
		}
	}
}

// detachedFor returns the guests that are a network's to have: its own, those of one
// whose name it has, and those of one that is no longer defined and whose bridge it has; the latest first.
func (d *Driver) detachedFor(ref Ref, live *xml.Network) (list []*state.Detached) {
	if live.Bridge.Name == "" {
		return nil
	}
	d.detachedMu.Lock()
	defer d.detachedMu.Unlock()
	for _, l := range d.detached {
		if l.UUID == ref.UUID || l.Network == ref.Name || l.Bridge == live.Bridge.Name && d.inheritable(l) {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b *state.Detached) int {
		return cmp.Or(cmp.Compare(b.Since, a.Since), bytes.Compare(a.UUID[:], b.UUID[:]))
	})
	return list
}

// inheritable reports whether guests are those of a network that is gone, and was there
// a short time ago.
func (d *Driver) inheritable(l *state.Detached) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byUUID[l.UUID] == nil && d.byName[l.Network] == nil && time.Since(time.Unix(l.Since, 0)) < heirTime
}

// bequeathed returns the names of bridges by which a network would get guests of
// another one: none that it is given without having asked for it.
func (d *Driver) bequeathed(ref Ref) map[string]bool {
	d.detachedMu.Lock()
	defer d.detachedMu.Unlock()
	names := map[string]bool{}
	for _, l := range d.detached {
		if l.UUID != ref.UUID && l.Network != ref.Name && d.inheritable(l) {
			names[l.Bridge] = true
		}
	}
	return names
}

// members returns the links of guests, each once.
func members(list []*state.Detached) (all []step.Member) {
	for _, l := range list {
		for _, m := range l.Members {
			if !onBridge(all, m) {
				all = append(all, m)
			}
		}
	}
	return all
}

// onBridge reports whether a link is among others.
func onBridge(list []step.Member, m step.Member) bool {
	return slices.ContainsFunc(list, func(o step.Member) bool { return o.Index == m.Index })
}

// attach gives a network that has been started the ports back of the guests that are
// on its bridge again, and forgets them. Its turn is held, and nobody sees next yet.
func (d *Driver) attach(ctx context.Context, n *network, next *view) {
	list := d.detachedFor(n.ref, next.live)
	if len(list) == 0 {
		return
	}
	on, err := retried(func() ([]step.Member, error) { return d.sys.Members(ctx, next.live.Bridge.Name, nil) })
	d.warn("putting guests back", n.ref, err)
	plugged := &state.Detached{Members: slices.DeleteFunc(members(list), func(m step.Member) bool { return !onBridge(on, m) })}
	for _, l := range list {
		for _, doc := range l.Ports {
			p, err := xml.ParsePort([]byte(doc))
			if err == nil && plugged.Has(p.MAC) && next.ports.get(p.UUID) == nil {
				err = d.replug(ctx, n, next, p)
			}
			d.warn("putting a guest's port back", n.ref, err)
		}
	}
	d.log.Info("guests put back", "network", n.ref.Name, "bridge", next.live.Bridge.Name, "links", len(plugged.Members), "ports", len(next.ports))
	d.detachedMu.Lock()
	defer d.detachedMu.Unlock()
	for _, l := range list {
		d.forgetDetachedLocked(l)
	}
}

// replug gives a port of an earlier run its place in the network again, as if it were
// new: the network may be another by now.
func (d *Driver) replug(ctx context.Context, n *network, next *view, p *xml.Port) error {
	base, err := d.prepare(ctx, n, next)
	if err != nil {
		return err
	}
	made := *base
	p.Plug = xml.Plug{}
	if err := d.place(ctx, n, &made, p); err != nil {
		return err
	}
	if err := d.register(ctx, n, &made, p); err != nil {
		d.retract(ctx, n, base, &made, p)
		return err
	}
	*next = made
	return nil
}

// reattach gives networks the ports back that a daemon did not get to before it ended.
func (d *Driver) reattach(ctx context.Context) {
	for _, n := range d.networks() {
		v := n.view.Load()
		if v == nil || !v.active() || len(d.detachedFor(n.ref, v.live)) == 0 {
			continue
		}
		if err := d.begin(ctx, n, "putting guests back into"); err != nil {
			d.warn("putting guests back", n.ref, err)
			continue
		}
		next := *n.view.Load()
		d.attach(ctx, n, &next)
		n.view.Store(&next)
		n.end()
	}
}

// forgetPort forgets a port of a network that does not run: its guest has gone.
func (d *Driver) forgetPort(ref PortRef) {
	d.detachedMu.Lock()
	defer d.detachedMu.Unlock()
	l := d.detached[ref.Network.UUID]
	if l == nil {
		return
	}
	left := *l
	left.Ports = slices.DeleteFunc(slices.Clone(l.Ports), func(doc string) bool {
		p, err := xml.ParsePort([]byte(doc))
		return err != nil || p.UUID == ref.UUID
	})
	if len(left.Ports) == len(l.Ports) {
		return
	}
	d.detached[left.UUID] = &left
	d.warn("forgetting the port of a guest that has gone", Ref{Name: left.Network, UUID: left.UUID}, d.dirs.Detached().Write(left.UUID, &left))
}
