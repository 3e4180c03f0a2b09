package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// Phase is what a forward does at the moment.
type Phase uint8

// The phases of a forward.
const (
	Inactive Phase = proto.PhaseInactive // the network does not run
	Waiting  Phase = proto.PhaseWaiting  // for an address of the guest, or of the interface to listen on
	Active   Phase = proto.PhaseActive
)

// Forward is one forward of a network.
type Forward struct {
	xml.PortForward
	Phase     Phase
	Addresses []netip.Addr // of the guest
}

// Forwards returns the forwards of a network in their order: those of the
// running definition, or else of the persistent one. Of a daemon that is not
// virbrd only what is asked for is known; what it comes to is worked out from its
// leases.
func (c *Conn) Forwards(ctx context.Context, n Network, src *Source) ([]Forward, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil {
		return nil, err
	}
	if !has {
		return c.foreignForwards(ctx, n, src)
	}
	var list proto.Forwards
	if err := c.extension(ctx, proto.ForwardList, n.ref, &list); err != nil {
		return nil, err
	}
	forwards := make([]Forward, 0, len(list.Forwards))
	for _, f := range list.Forwards {
		made, err := forwardOf(n, f)
		if err != nil {
			return nil, err
		}
		forwards = append(forwards, *made)
	}
	return forwards, nil
}

func forwardOf(n Network, f proto.Forward) (*Forward, error) {
	made, err := xml.ParsePortForward([]byte(f.XML))
	if err != nil {
		return nil, fmt.Errorf("reading the forwards of network %q: %w", n.Name, err)
	}
	return &Forward{PortForward: *made, Phase: Phase(f.Phase), Addresses: addresses(f.Addresses)}, nil
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

func (c *Conn) foreignForwards(ctx context.Context, n Network, src *Source) ([]Forward, error) {
	e, err := c.Extensions(ctx, n, n.Active, src)
	if err != nil {
		return nil, err
	}
	var guests []Lease
	if n.Active && len(e.Forwards) > 0 {
		if guests, err = c.Guests(ctx, n); err != nil {
			return nil, err
		}
	}
	forwards := make([]Forward, 0, len(e.Forwards))
	for _, f := range e.Forwards {
		state := Forward{PortForward: f, Addresses: Locate(f.Guest, guests)}
		switch {
		case !n.Active:
		case f.Ignore || len(state.Addresses) > 0:
			state.Phase = Active
		default:
			state.Phase = Waiting
		}
		forwards = append(forwards, state)
	}
	return forwards, nil
}

// Locate returns the addresses of a guest that is one of these, or that is named
// by its address.
func Locate(guest string, guests []Lease) []netip.Addr {
	if a, err := netip.ParseAddr(guest); err == nil {
		return []netip.Addr{a}
	}
	var found []netip.Addr
	for _, l := range guests {
		a, err := netip.ParseAddr(l.Address)
		if err == nil && (strings.EqualFold(l.Name, guest) || strings.EqualFold(l.MAC, guest)) && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	return found
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

// Healing says that somebody removed rules of a network, and that they were put
// back.
type Healing struct {
	Network string
	Time    time.Time
	By      string // the program that did it; "": not known
}

// Healings returns the last ones since the daemon started, the oldest first;
// none, if the daemon is not virbrd.
func (c *Conn) Healings(ctx context.Context) ([]Healing, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil || !has {
		return nil, err
	}
	var list proto.Healings
	if err := c.extension(ctx, proto.HealingList, nil, &list); err != nil {
		return nil, err
	}
	found := make([]Healing, 0, len(list.Healings))
	for _, h := range list.Healings {
		found = append(found, Healing{Network: h.Network.Name, Time: time.Unix(0, h.Time), By: h.By})
	}
	return found, nil
}
