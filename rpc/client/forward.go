package client

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// Phase is what a forward does at the moment.
type Phase uint8

// The phases of a forward.
const (
	Inactive Phase = proto.PhaseInactive // the network does not run
	Waiting  Phase = proto.PhaseWaiting  // Reason says for what
	Active   Phase = proto.PhaseActive
)

// State is what a forward or a public address comes to.
type State struct {
	Phase     Phase
	Addresses []netip.Addr // of the guest
	Reason    string       // why it is not active, or not all of it; "": nothing is amiss
}

// Forward is one forward of a network.
type Forward struct {
	xml.PortForward
	State
}

// Public is one public address of a network.
type Public struct {
	xml.PublicAddress
	State
}

// Resolved returns the forwards of a network in their order, and its public
// addresses: those of the running definition, or else of the persistent one. Of a
// daemon that is not virbrd only what is asked for is known, and not what it comes
// to: those of a running network are Waiting without a Reason.
func (c *Conn) Resolved(ctx context.Context, n Network, src *Source) ([]Forward, []Public, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !has {
		return c.foreign(ctx, n, src)
	}
	var list proto.Forwards
	if err := c.extension(ctx, proto.ForwardList, &n.ref, &list); err != nil {
		return nil, nil, err
	}
	forwards := make([]Forward, 0, len(list.Forwards))
	for _, f := range list.Forwards {
		made, err := forwardOf(n, f)
		if err != nil {
			return nil, nil, err
		}
		forwards = append(forwards, *made)
	}
	publics := make([]Public, 0, len(list.Publics))
	for _, p := range list.Publics {
		made, err := xml.ParsePublicAddress([]byte(p.XML))
		if err != nil {
			return nil, nil, fmt.Errorf("reading the public addresses of network %q: %w", n.Name, err)
		}
		publics = append(publics, Public{*made, stateOf(p)})
	}
	return forwards, publics, nil
}

func forwardOf(n Network, f proto.Forward) (*Forward, error) {
	made, err := xml.ParsePortForward([]byte(f.XML))
	if err != nil {
		return nil, fmt.Errorf("reading the forwards of network %q: %w", n.Name, err)
	}
	return &Forward{*made, stateOf(f)}, nil
}

func stateOf(f proto.Forward) State {
	return State{Phase: Phase(f.Phase), Addresses: addresses(f.Addresses), Reason: f.Reason}
}

func addresses(list []string) []netip.Addr {
	var found []netip.Addr
	for _, text := range list {
		if a, err := netip.ParseAddr(text); err == nil {
			found = append(found, a)
		}
	}
	return found
}

func (c *Conn) foreign(ctx context.Context, n Network, src *Source) (forwards []Forward, publics []Public, err error) {
	e, err := c.Extensions(ctx, n, n.Active, src)
	if err != nil {
		return nil, nil, err
	}
	var s State
	if n.Active {
		s.Phase = Waiting
	}
	for _, f := range e.Forwards {
		forwards = append(forwards, Forward{f, s})
	}
	for _, p := range e.Publics {
		publics = append(publics, Public{p, s})
	}
	return forwards, publics, nil
}

// Extensions returns those of the running or of the persistent definition.
func (c *Conn) Extensions(ctx context.Context, n Network, live bool, src *Source) (*xml.Extensions, error) {
	affect := AffectConfig
	if live {
		affect = AffectLive
	}
	e, known, err := c.metadata(ctx, n, affect)
	if err != nil || known && !e.IsZero() {
		return e, err
	}
	// Metadata wins over the file, which virbrd does not read.
	if has, err := c.HasExtensions(ctx); err != nil || has {
		return &xml.Extensions{}, err
	}
	return src.read(n.Name)
}
