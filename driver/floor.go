package driver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// A floor is the share of a network's inbound bandwidth that one port is sure
// of, in kilobytes per second. On the bridge it is a traffic class; which
// classes are taken and what the floors add up to is in the network's status.

// firstClass is the first class that ports can have.
const firstClass = 3

// floorOf returns the floor that a bandwidth asks for, 0 if none.
func floorOf(b *xml.Bandwidth) uint64 {
	if b == nil || b.Inbound == nil {
		return 0
	}
	return b.Inbound.Floor
}

// classOf returns the traffic class that a port has, 0 if none.
func classOf(b *xml.Bandwidth) uint32 {
	if b == nil {
		return 0
	}
	return b.ClassID
}

// inbound returns a network's limit towards its guests, nil if it has none.
func inbound(live *xml.Network) *xml.Rate {
	if live.Bandwidth == nil || live.Bandwidth.Inbound == nil || live.Bandwidth.Inbound.Average == 0 {
		return nil
	}
	return live.Bandwidth.Inbound
}

// most is what a network's guests can get together.
func most(in *xml.Rate) uint64 {
	if in.Peak > 0 {
		return in.Peak
	}
	return in.Average
}

// floors returns the sum of all floors when a port's bandwidth changes from had
// to want, and whether that concerns the bridge at all. It refuses a floor that
// cannot be kept.
func (v *view) floors(mac xml.MAC, had, want *xml.Bandwidth) (sum uint64, changed bool, err error) {
	in, floor, old := inbound(v.live), floorOf(want), uint64(0)
	if classOf(had) != 0 {
		old = floorOf(had)
	}
	switch {
	case floor > 0 && !v.live.Forward.Mode.Routed():
		return 0, false, &Error{Kind: KindOperationUnsupported, Msg: fmt.Sprintf(
			"Invalid use of 'floor' on interface with MAC address %s - 'floor' is only supported for interface type 'network' "+
				"with forward type 'nat', 'route', 'open' or none", mac)}
	case floor > 0 && in == nil:
		return 0, false, &Error{Kind: KindOperationUnsupported, Msg: fmt.Sprintf(
			"Invalid use of 'floor' on interface with MAC address %s - network '%s' has no inbound QoS set", mac, v.live.Name)}
	case in == nil || floor == old:
		return v.status.FloorSum, false, nil
	}
	sum = v.status.FloorSum - min(old, v.status.FloorSum)
	if sum > math.MaxUint64-floor {
		sum = math.MaxUint64 - floor
	}
	sum += floor
	if floor == 0 || sum <= most(in) {
		return sum, true, nil
	}
	which := "average"
	if in.Peak > 0 {
		which = "peak"
	}
	return 0, false, &Error{Kind: KindOperationInvalid, Msg: fmt.Sprintf(
		"Cannot plug '%s' interface into '%s' because new combined inbound floor=%d would overcommit %s=%d on network '%s'",
		mac, v.live.Bridge.Name, sum, which, most(in), v.live.Name)}
}

// setFloor gives a port, whose file is not written yet, the floor that its
// bandwidth asks for in place of the one that it had: in next, in the status file
// and on the bridge. A failure leaves all of these as they were. A port that loses
// its floor keeps its class until its file is written, see [Driver.dropFloor].
//
// The status file is written first: a daemon that dies before the port's file is
// written leaves one that is at odds with the ports, by which the next one knows
// (restorePorts).
func (d *Driver) setFloor(ctx context.Context, n *network, next *view, p *xml.Port, had *xml.Bandwidth) error {
	sum, changed, err := next.floors(p.MAC, had, p.Bandwidth)
	if err != nil {
		return err
	}
	class := classOf(had)
	if changed && floorOf(p.Bandwidth) == 0 {
		class = 0
	} else if changed {
		if class, err = d.reserve(ctx, n, next, p, had, sum); err != nil {
			return err
		}
	}
	if p.Bandwidth != nil {
		p.Bandwidth.ClassID = class
	}
	return nil
}

// reserve makes or changes a port's class and returns its number.
func (d *Driver) reserve(ctx context.Context, n *network, next *view, p *xml.Port, had *xml.Bandwidth, sum uint64) (class uint32, err error) {
	before := *next
	if class = classOf(had); class == 0 {
		if class, next.status.ClassIDs = takeClass(next.status.ClassIDs); class == 0 {
			*next = before
			return 0, &Error{Kind: KindInternal, Msg: fmt.Sprintf("network '%s' has no traffic class left", n.ref.Name)}
		}
	}
	next.status.FloorSum = sum
	if err = d.saveStatus(next); err == nil {
		if err = d.step(ctx, n, shape(next.live, p, class)); err != nil {
			err = fmt.Errorf("setting the floor of %s: %w", p.MAC, err)
		}
	}
	if err != nil {
		d.reverse(ctx, n, &before, p, had, class)
		*next = before
		return 0, err
	}
	d.share(ctx, n, next)
	return class, nil
}

// reverse takes back what setFloor did on the bridge and in the status file.
func (d *Driver) reverse(ctx context.Context, n *network, before *view, p *xml.Port, had *xml.Bandwidth, class uint32) {
	ctx = context.WithoutCancel(ctx)
	if classOf(had) == 0 {
		d.unshape(ctx, n, before, class)
	} else {
		old := *p
		old.Bandwidth = had
		d.warn("putting a port's floor back", n.ref, retryOnce(func() error { return d.step(ctx, n, shape(before.live, &old, class)) }))
		d.share(ctx, n, before)
	}
	d.warn("writing the status of a refused port's network", n.ref, retryOnce(func() error { return d.saveStatus(before) }))
}

// dropFloor takes back the floor that a port had and that its file, if there is
// one, no longer has; whatever fails.
func (d *Driver) dropFloor(ctx context.Context, n *network, next *view, had *xml.Bandwidth) {
	class := classOf(had)
	if class == 0 {
		return
	}
	next.status.FloorSum -= min(floorOf(had), next.status.FloorSum)
	next.status.ClassIDs = freeClass(next.status.ClassIDs, class)
	d.unshape(ctx, n, next, class)
	d.warn("writing the status of a network with a floor less", n.ref, retryOnce(func() error { return d.saveStatus(next) }))
}

// shape is the op that gives a port its class, or changes it.
func shape(live *xml.Network, p *xml.Port, class uint32) step.Op {
	return step.ShapePort{
		Bridge: live.Bridge.Name, Class: class, MAC: p.MAC, Floor: p.Bandwidth.Inbound.Floor,
		Ceil: most(live.Bandwidth.Inbound), Average: p.Bandwidth.Inbound.Average,
	}
}

// unshape removes a class from the bridge.
func (d *Driver) unshape(ctx context.Context, n *network, v *view, class uint32) {
	d.warn("removing a port's traffic class", n.ref, retryOnce(func() error {
		return d.step(ctx, n, step.UnshapePort{Bridge: v.live.Bridge.Name, Class: class})
	}))
	d.share(ctx, n, v)
}

// share leaves to the guests without a floor what the floors leave. As in
// libvirt a failure is no reason to refuse a port.
func (d *Driver) share(ctx context.Context, n *network, v *view) {
	in := inbound(v.live)
	if in == nil {
		return
	}
	rate := most(in) - min(v.status.FloorSum, most(in))
	d.warn("setting the rate for guests without a floor", n.ref, retryOnce(func() error {
		return d.step(ctx, n, step.SetDefaultRate{Bridge: v.live.Bridge.Name, Rate: rate, Inbound: *in})
	}))
}

func (d *Driver) step(ctx context.Context, n *network, op step.Op) error {
	d.log.Debug("step", "network", n.ref.Name, "step", op.String())
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Deadline)
	defer cancel()
	return d.run(ctx, op)
}

// takeClass returns the lowest class that is free and the classes with it; 0:
// there is none.
func takeClass(classes []uint16) (uint32, []uint16) {
	for class := uint32(firstClass); class <= math.MaxUint16; class++ {
		if i, taken := slices.BinarySearch(classes, uint16(class)); !taken {
			return class, slices.Insert(slices.Clone(classes), i, uint16(class))
		}
	}
	return 0, classes
}

func freeClass(classes []uint16, class uint32) []uint16 {
	return slices.DeleteFunc(slices.Clone(classes), func(have uint16) bool { return uint32(have) == class })
}

// disown takes from a port that a document or file describes the number of a
// traffic class that is not its: no class of a running network, or another
// port's.
func (v *view) disown(p *xml.Port) {
	class := classOf(p.Bandwidth)
	if class == 0 {
		return
	}
	taken := slices.ContainsFunc(v.ports, func(o *xml.Port) bool { return classOf(o.Bandwidth) == class })
	known := class >= firstClass && class <= math.MaxUint16 && slices.Contains(v.status.ClassIDs, uint16(class))
	if taken || !known || floorOf(p.Bandwidth) == 0 || inbound(v.live) == nil {
		p.Bandwidth.ClassID = 0
	}
}

// SetPortBandwidth replaces the limits of a port; nil: none. Its floor takes
// effect at once, all else is the hypervisor's work.
func (d *Driver) SetPortBandwidth(ctx context.Context, ref PortRef, want *xml.Bandwidth) error {
	n, v, old, err := d.changePort(ctx, ref, "setting the bandwidth of a port of")
	if err != nil {
		return err
	}
	defer n.end()
	p := old.Clone()
	p.Bandwidth = &xml.Bandwidth{}
	if want != nil {
		*p.Bandwidth = xml.Bandwidth{Inbound: want.Inbound, Outbound: want.Outbound}
	}
	p = p.Clone() // the limits are the caller's
	next := *v
	if err := d.setFloor(ctx, n, &next, p, old.Bandwidth); err != nil {
		return err
	}
	next.ports = v.ports.with(p)
	if err := d.dirs.SavePort(n.ref.Name, p); err != nil {
		if class := classOf(p.Bandwidth); class != 0 && floorOf(p.Bandwidth) != floorOf(old.Bandwidth) {
			d.reverse(ctx, n, v, p, old.Bandwidth, class)
		}
		return err
	}
	if classOf(p.Bandwidth) == 0 {
		d.dropFloor(context.WithoutCancel(ctx), n, &next, old.Bandwidth)
	}
	n.view.Store(&next)
	return nil
}
