package firewall

import "net/netip"

// Where is what forwards and public addresses refer to by name, resolved: the
// addresses of guests and of the host's own interfaces. What is not known now is
// absent, and rules that need it are left out until it is.
type Where struct {
	Guests  map[string][]netip.Addr // by guest, as written in the definition
	Devices map[string][]netip.Addr // by host interface

	// Withheld are claims, or parts of them, that somebody else has: what would be
	// forwarded there is left alone. No two of one protocol and address overlap.
	Withheld []Claim `json:",omitempty"`

	// Uplinks are the host's interfaces to which guests send from their public
	// addresses, and beyond which a stateless one is spoken to without connection
	// tracking. From anywhere else, such as other networks of the host, whose own
	// addresses are translated, it is tracked.
	// None: the forward device of the network; without one, guests send from no
	// public address, and stateless ones are untracked beyond all but the bridge.
	Uplinks []string

	// Shut are the links by which guests must not leave, though the host itself
	// does: they are not the uplinks that the network has.
	Shut []Shut `json:",omitempty"`

	// Narrower are subnets of other networks that lie within one of this network's.
	// libvirt lets such networks run beside each other, and takes the sources of both
	// for translated: each of ours translates its own.
	Narrower []netip.Prefix

	// Ports are the ports of the bridge that are guarded, in the order of their links.
	Ports []GuardPort `json:",omitempty"`

	// Links are the host's interfaces that packets are routed between, for the
	// flowtable. None: the forward device of the network, if it has one.
	Links []string
}
