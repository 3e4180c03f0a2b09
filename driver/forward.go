package driver

import (
	"context"
	"net/netip"
	"slices"

	"github.com/virbr/virbr/xml"
)

// Phase is what a forward does at the moment.
type Phase uint8

// The phases of a forward.
const (
	PhaseInactive Phase = iota // the network does not run
	PhaseWaiting               // no address of the guest is known, or none of the interface to listen on
	PhaseActive
)

// ForwardState is one forward of a network, as it is defined, and what it comes
// to at the moment.
type ForwardState struct {
	Forward   xml.PortForward
	Phase     Phase
	Addresses []netip.Addr // where it leads to: at most one of each family
}

// Forwards returns the forwards of a network in their order: those of the
// running definition, or else of the persistent one. Extensions that cannot be
// read are an error.
func (d *Driver) Forwards(_ context.Context, net Ref) ([]ForwardState, error) {
	_, v, err := d.find(net)
	if err != nil {
		return nil, err
	}
	ext, err := v.extensions()
	if err != nil {
		return nil, err
	}
	list := make([]ForwardState, len(ext.Forwards))
	for i := range ext.Forwards {
		list[i] = v.forward(&ext.Forwards[i])
	}
	return list, nil
}

// extensions returns those of the definition that counts. They must not be
// changed.
func (v *view) extensions() (*xml.Extensions, error) {
	if v.active() && v.reach != nil {
		return v.reach.Ext, nil
	}
	return v.def().Extensions()
}

// forward says what a forward comes to.
func (v *view) forward(f *xml.PortForward) ForwardState {
	s := ForwardState{Forward: *f}
	s.Forward.Ranges = slices.Clone(f.Ranges)
	if !v.active() || v.reach == nil {
		return s
	}
	if f.Ignore {
		s.Phase = PhaseActive
		return s
	}
	s.Phase = PhaseWaiting
	for _, a := range v.reach.Where.Guests[f.Guest] {
		if carries(f.Families(), a) && v.listens(f, a) {
			s.Addresses, s.Phase = append(s.Addresses, a), PhaseActive
		}
	}
	return s
}

// carries reports whether an address is of one of the families.
func carries(family xml.Family, a netip.Addr) bool {
	switch family {
	case xml.FamilyIPv4:
		return a.Is4()
	case xml.FamilyIPv6:
		return a.Is6()
	case xml.FamilyAll:
	}
	return true
}

// listens reports whether a forward has an address to listen on in the family of
// a guest's address.
func (v *view) listens(f *xml.PortForward, guest netip.Addr) bool {
	same := func(a netip.Addr) bool { return a.Is4() == guest.Is4() }
	return f.Dev == "" || slices.ContainsFunc(v.reach.Where.Devices[f.Dev], same)
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
