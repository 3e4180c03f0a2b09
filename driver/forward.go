package driver

import (
	"context"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// Phase is what a forward does at the moment.
type Phase uint8

// The phases of a forward.
const (
	PhaseInactive Phase = iota // the network does not run
	PhaseWaiting               // Reason says for what
	PhaseActive
)

// Outcome is what a forward or a public address comes to at the moment.
type Outcome struct {
	Phase     Phase
	Addresses []netip.Addr // where it leads to: at most one of each family
	Reason    string       // why it is not active, or not all of it; "": nothing is amiss
}

// ForwardState is one forward of a network, as it is defined.
type ForwardState struct {
	Forward xml.PortForward
	Outcome
}

// PublicState is one public address of a network, as it is defined.
type PublicState struct {
	Public xml.PublicAddress
	Outcome
}

// Forwards returns the forwards of a network in their order: those of the
// running definition, or else of the persistent one. Extensions that cannot be
// read are an error.
func (d *Driver) Forwards(_ context.Context, net Ref) ([]ForwardState, error) {
	v, ext, err := d.extensionsOf(net)
	if err != nil {
		return nil, err
	}
	list := make([]ForwardState, len(ext.Forwards))
	for i := range list {
		f := ext.Forwards[i]
		f.Ranges = slices.Clone(f.Ranges)
		list[i] = ForwardState{f, v.outcome((*plan.Resolution).ForwardState, i)}
	}
	return list, nil
}

// Publics returns the public addresses of a network in the same way.
func (d *Driver) Publics(_ context.Context, net Ref) ([]PublicState, error) {
	v, ext, err := d.extensionsOf(net)
	if err != nil {
		return nil, err
	}
	list := make([]PublicState, len(ext.Publics))
	for i := range list {
		list[i] = PublicState{ext.Publics[i], v.outcome((*plan.Resolution).PublicState, i)}
	}
	return list, nil
}

// extensionsOf returns a network and its extensions.
func (d *Driver) extensionsOf(net Ref) (*view, *xml.Extensions, error) {
	_, v, err := d.find(net)
	if err != nil {
		return nil, nil, err
	}
	ext, err := v.extensions()
	return v, ext, err
}

// outcome returns what an extension comes to, by its place among its like.
func (v *view) outcome(state func(*plan.Resolution, int) plan.State, at int) Outcome {
	if !v.resolved() {
		return Outcome{}
	}
	s := state(v.resolution, at)
	if s.Active {
		return Outcome{PhaseActive, s.Addresses, s.Reason}
	}
	return Outcome{PhaseWaiting, s.Addresses, s.Reason}
}

// resolved reports whether it is known what the extensions of a running network
// come to.
func (v *view) resolved() bool { return v.active() && v.resolution != nil }

// extensions returns those of the definition that counts. They must not be
// changed.
func (v *view) extensions() (*xml.Extensions, error) {
	if v.resolved() {
		return v.resolution.Ext, nil
	}
	return v.def().Extensions()
}

// EditExtensions changes a network's extensions in the running definition, the
// persistent one or both, on the host and on disk; all of that, or nothing. Edit
// is called with each definition's own, which it may change; once where both have
// the same. The change is made under the network's turn, so none that somebody else
// makes at the same time is lost. An error of edit is returned as it is.
func (d *Driver) EditExtensions(ctx context.Context, net Ref, affect Affect, edit func(*xml.Extensions) error) error {
	n, v, err := d.change(ctx, net, "changing the extensions of")
	if err != nil {
		return err
	}
	defer n.end()
	_, err = d.rewrite(ctx, n, v, affect, extendedBy(once(edit)), true)
	if err != nil {
		return err
	}
	d.tellMetadata(n, MetadataElement, xml.Namespace)
	return nil
}

// once returns a change of a definition's extensions. The running and the
// persistent definition of a network share their metadata until one of them is
// changed alone, and so they do afterwards: ten thousand forwards are written once.
func once(change func(*xml.Extensions) error) func(*xml.Network) error {
	var from, to *xml.Metadata
	done := false
	return func(def *xml.Network) error {
		if done && def.Metadata == from {
			def.Metadata = to
			_, err := def.Extensions() // whether they fit this one, too
			return err
		}
		ext, err := def.Extensions()
		if err != nil {
			return err
		}
		ext = ext.Clone()
		if err := change(ext); err != nil {
			return err
		}
		was := def.Metadata
		if err := def.SetExtensions(ext); err != nil {
			return err
		}
		from, to, done = was, def.Metadata, true
		return nil
	}
}
