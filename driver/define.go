package driver

import (
	"context"
	"fmt"
	"slices"

	"github.com/virbr/virbr/xml"
)

// DefineXML makes a network persistent, or replaces its persistent definition.
// A running one goes on as it is, unless it is to change at once; a transient one
// becomes persistent.
func (d *Driver) DefineXML(ctx context.Context, doc string, validate bool) (Ref, error) {
	def, err := d.receive(doc, validate)
	if err != nil {
		return Ref{}, err
	}
	n, err := d.claim(ctx, def, "defining")
	if err != nil {
		return Ref{}, err
	}
	defer d.settle(n)
	if v := n.view.Load(); d.appliesLive(v, def) {
		d.complement(def, n)
		_, err := d.applyTo(ctx, []*application{{n: n, def: def, from: v}}, ApplyRequest{})
		return n.ref, err
	}
	if err := d.complete(ctx, n, def); err != nil {
		return Ref{}, err
	}
	if err := d.dirs.SaveDefinition(def); err != nil {
		return Ref{}, err
	}
	next := view{}
	if v := n.view.Load(); v != nil {
		next = *v
	}
	d.record(ctx, n, next.config, def, false)
	was := next.made
	d.setConfig(n, &next, def)
	d.warnUnrouted(ctx, n.ref, was, next.made)
	n.view.Store(&next)
	d.log.Info("network defined", "network", n.ref.Name, "uuid", n.ref.UUID.String(), "bridge", def.Bridge.Name)
	d.tell(EventDefined, n)
	return n.ref, nil
}

// CreateXML starts a transient network, or an inactive persistent one with
// another definition for this time.
func (d *Driver) CreateXML(ctx context.Context, doc string, validate bool) (Ref, error) {
	def, err := d.receive(doc, validate)
	if err != nil {
		return Ref{}, err
	}
	n, err := d.claim(ctx, def, "creating")
	if err != nil {
		return Ref{}, err
	}
	defer d.settle(n)
	next := view{}
	if v := n.view.Load(); v != nil {
		next = *v
	}
	if next.active() {
		return Ref{}, &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf("network is already active as '%s'", n.ref.Name)}
	}
	if err := d.complete(ctx, n, def); err != nil {
		return Ref{}, err
	}
	if err := d.bringUp(ctx, n, def, &next); err != nil {
		return Ref{}, err
	}
	n.view.Store(&next)
	if !next.persistent() {
		d.record(ctx, n, nil, def, true)
	}
	d.tell(EventStarted, n)
	return n.ref, nil
}

// receive reads a document from a client and gives it a UUID.
func (d *Driver) receive(doc string, validate bool) (*xml.Network, error) {
	def, err := d.parse(doc, validate)
	if err != nil {
		return nil, err
	}
	if err := d.admissible(def); err != nil {
		return nil, err
	}
	if !def.HasUUID() {
		if def.UUID, err = d.newUUID(); err != nil {
			return nil, err
		}
	}
	return def, nil
}

// admissible refuses a definition that could not run, and drops what only a running
// one has.
func (d *Driver) admissible(def *xml.Network) error {
	if err := d.checkPool(def); err != nil {
		return err
	}
	if a := def.Advertise; a != nil {
		a.From, a.Live, a.Deprecated = "", xml.Advertised{}, nil // live XML has them; a definition does not
	}
	def.IPs = slices.DeleteFunc(def.IPs, func(ip xml.IP) bool { return ip.Until > 0 })
	_, _, err := checkExtended(def)
	return err
}

// Undefine removes a network's definition and autostart link. A running
// network becomes transient, an inactive one is gone, its leases too.
func (d *Driver) Undefine(ctx context.Context, net Ref) error {
	n, v, err := d.change(ctx, net, "undefining")
	if err != nil {
		return err
	}
	defer n.end()
	if !v.persistent() {
		return &Error{Kind: KindOperationInvalid, Msg: "can't undefine transient network"}
	}
	last, ok, err := d.readRecord(n.ref.UUID)
	d.warn("undefining the network", n.ref, err)
	if !ok {
		last = d.newRecord(n, v.config.Bridge.Name)
	}
	if !v.active() { // whoever comes after a crash removes all of it, too
		d.warn("undefining the network without a record", n.ref, last.save())
	}
	if err := d.dirs.RemoveDefinition(n.ref.Name); err != nil {
		if !v.active() {
			d.warn("undefining the network", n.ref, last.settle(last.undo()))
		}
		return err
	}
	d.warn("forgetting why the network did not start", n.ref, d.dirs.Failures().Remove(n.ref.UUID))
	d.warn("removing the autostart link", n.ref, d.dirs.UnlinkAutostart(n.ref.Name))
	if v.active() {
		next := *v
		next.config, next.made, next.autostart = nil, nil, false
		n.view.Store(&next)
	} else {
		n.view.Store(nil) // of two on one bridge that go at a time the last one cleans
		d.warn("removing what is kept for the network", n.ref, d.clean(n.ref, v.config.Bridge.Name))
		d.warn("undefining the network", n.ref, last.settle(last.undo()))
		d.warn("keeping the network's history", n.ref, d.history.Gone(historical(n.ref)))
		d.forget(n)
	}
	d.log.Info("network undefined", "network", n.ref.Name, "uuid", n.ref.UUID.String())
	d.tell(EventUndefined, n)
	return nil
}
