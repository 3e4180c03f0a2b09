package driver

import (
	"context"
	"fmt"

	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

// CreatePort gives a guest's interface a place in a running network and says in
// the port's document what it is to be plugged into. With reclaim the document
// says that already: the guest has been running for longer than the daemon. A
// creation that fails leaves nothing behind.
//
// Unlike libvirt's, no hook hears of a port that is refused because its UUID is
// taken: a port-deleted with that UUID would be read as the end of the port that
// has it.
func (d *Driver) CreatePort(ctx context.Context, net Ref, doc string, reclaim, validate bool) (PortRef, error) {
	if _, _, err := d.find(net); err != nil {
		return PortRef{}, err
	}
	p, err := d.parsePort(doc, validate)
	if err != nil {
		return PortRef{}, err
	}
	n, v, err := d.hold(ctx, net, "plugging a port into")
	if err != nil {
		return PortRef{}, err
	}
	defer n.end()
	if err := admit(n.ref, v, p, reclaim); err != nil {
		return PortRef{}, err
	}
	base, err := d.prepare(ctx, n, v)
	if err != nil {
		return PortRef{}, err
	}
	place := d.place
	if reclaim {
		place = d.replace
	}
	next := *base
	if err := place(ctx, n, &next, p); err != nil {
		return PortRef{}, err
	}
	if err := d.register(ctx, n, &next, p); err != nil {
		d.retract(ctx, n, base, &next, p)
		return PortRef{}, err
	}
	n.view.Store(&next)
	d.changes.call(n)
	d.log.Info("port created", "network", n.ref.Name, "port", p.UUID.String(), "mac", p.MAC.String())
	return PortRef{Network: n.ref, UUID: p.UUID}, nil
}

func (d *Driver) parsePort(doc string, validate bool) (*xml.Port, error) {
	if validate && d.cfg.Schema != nil {
		if err := d.cfg.Schema.ValidatePort([]byte(doc)); err != nil {
			return nil, err
		}
	}
	return xml.ParsePort([]byte(doc))
}

// admit refuses what a look at the network and the document tells.
func admit(net Ref, v *view, p *xml.Port, reclaim bool) error {
	switch {
	case !v.active():
		return notActive(net)
	case reclaim && p.Plug.Type == xml.PlugNone:
		return &Error{Kind: KindInvalidArg, Msg: "Port reclaim requested but plug type is none"}
	case !reclaim && p.Plug.Type != xml.PlugNone:
		return &Error{Kind: KindInvalidArg, Msg: "Port reclaim not requested but plug type is not none"}
	case v.ports.get(p.UUID) != nil:
		return &Error{Kind: KindPortExists, Msg: fmt.Sprintf("Network port with UUID %s already exists", p.UUID)}
	}
	return nil
}

// prepare returns the view with what ports need and what is not read before: the
// device pool of a physical function, the guests by name.
func (d *Driver) prepare(ctx context.Context, n *network, v *view) (*view, error) {
	base := *v
	live, err := d.expand(ctx, v.live)
	if err != nil {
		return nil, err
	}
	base.live = live
	d.readGuests(n, &base)
	return &base, nil
}

// place finds a place for a new port and takes it: in next, on the bridge and in
// the guest file.
func (d *Driver) place(ctx context.Context, n *network, next *view, p *xml.Port) error {
	if err := allocate(next.live, next.ports.used(), p); err != nil {
		return err
	}
	if _, _, err := next.floors(p.MAC, nil, p.Bandwidth); err != nil {
		return err
	}
	if err := d.completeVirtualPort(p.VirtualPort); err != nil {
		return err
	}
	base := *next
	if err := d.setFloor(ctx, n, next, p, nil); err != nil {
		return err
	}
	if err := d.addGuest(ctx, next, p); err != nil {
		d.retract(ctx, n, &base, next, p)
		return fmt.Errorf("adding %q to the guest file: %w", p.OwnerName, err)
	}
	return nil
}

// replace finds the place that a port says it has.
func (d *Driver) replace(_ context.Context, _ *network, next *view, p *xml.Port) error {
	next.disown(p)
	return reclaim(next.live, next.ports.used(), p)
}

// register counts the port, tells the hooks, and writes the port down. From then
// on it exists, for this daemon and the next one.
func (d *Driver) register(ctx context.Context, n *network, next *view, p *xml.Port) error {
	next.ports = next.ports.with(p)
	next.live = count(next.live, next.ports)
	if err := d.portHook(ctx, n, hooks.OpPortCreated, next, p); err != nil {
		return err
	}
	if err := d.dirs.SavePort(n.ref.Name, p); err != nil {
		gone := *next
		gone.ports = next.ports.without(p.UUID)
		gone.live = count(next.live, gone.ports)
		d.warn("the port-deleted hook failed", n.ref, d.portHook(ctx, n, hooks.OpPortDeleted, &gone, p))
		return err
	}
	return nil
}

// retract takes back what a port took whose creation failed.
func (d *Driver) retract(ctx context.Context, n *network, base, next *view, p *xml.Port) {
	ctx = context.WithoutCancel(ctx)
	if len(next.status.ClassIDs) != len(base.status.ClassIDs) {
		d.unshape(ctx, n, base, classOf(p.Bandwidth))
		d.warn("writing the status of a refused port's network", n.ref, retryOnce(func() error { return d.saveStatus(base) }))
	}
	if len(next.guests) != 0 {
		d.warn("taking a refused port's guest back", n.ref, retryOnce(func() error { return d.saveGuests(ctx, base) }))
	}
}

// DeletePort ends a port. It goes on when the caller has gone.
func (d *Driver) DeletePort(ctx context.Context, ref PortRef) error {
	n, v, p, err := d.changePort(ctx, ref, "unplugging a port from")
	if err != nil {
		d.forgetPort(ref)
		return err
	}
	defer n.end()
	base, err := d.prepare(ctx, n, v)
	if err != nil {
		return err
	}
	if err := release(base.live, p); err != nil {
		return err
	}
	if err := d.dirs.RemovePort(n.ref.Name, p.UUID); err != nil { // it would be back after a restart
		return err
	}
	ctx = context.WithoutCancel(ctx)
	next := *base
	next.ports = base.ports.without(p.UUID)
	next.live = count(base.live, next.ports)
	d.dropFloor(ctx, n, &next, p.Bandwidth)
	d.warn("taking a port's guest out", n.ref, retryOnce(func() error { return d.removeGuest(ctx, &next, p) }))
	d.warn("the port-deleted hook failed", n.ref, d.portHook(ctx, n, hooks.OpPortDeleted, &next, p))
	n.view.Store(&next)
	d.changes.call(n)
	d.log.Info("port deleted", "network", n.ref.Name, "port", p.UUID.String(), "mac", p.MAC.String())
	return nil
}
