package driver

import (
	"context"
	"net/netip"

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
	if _, _, err := d.find(net); err != nil {
		return nil, err
	}
	return nil, &Error{Kind: KindNoSupport, Msg: "forwards are not listed yet"}
}

// EditExtensions changes a network's extensions in the running definition, the
// persistent one or both, on the host and on disk; all of that, or nothing. The
// change is made under the network's turn, so none that somebody else makes at
// the same time is lost. An error of edit is returned as it is.
func (d *Driver) EditExtensions(_ context.Context, net Ref, _ Affect, _ func(*xml.Extensions) error) error {
	if _, _, err := d.find(net); err != nil {
		return err
	}
	return &Error{Kind: KindNoSupport, Msg: "extensions are not edited yet"}
}
