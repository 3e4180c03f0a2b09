package step

import (
	"net/netip"
)

var besideOps = []Op{AcceptBeside{}, UnacceptBeside{}}

// AcceptBeside has libvirt's own rules for a bridge let pass what our table has
// decided about: connections that were translated to guests, subnets that only we
// filter, and guests that are reached without connection tracking. It is
// idempotent, and repairs what is missing.
type AcceptBeside struct {
	Bridge string
	Own    []netip.Prefix `json:",omitempty"`
	Stray  []netip.Addr   `json:",omitempty"`
}

func (o AcceptBeside) kind() kind {
	return kind{tag: "accept-beside", key: "beside " + word(o.Bridge), scope: ScopeGuests}
}

func (o AcceptBeside) String() string { return "firewall of libvirt: accept " + word(o.Bridge) }

// UnacceptBeside removes the rules of AcceptBeside.
type UnacceptBeside struct{ Bridge string }

func (o UnacceptBeside) kind() kind {
	return kind{tag: "unaccept-beside", key: "beside " + word(o.Bridge), scope: ScopeGuests}
}

func (o UnacceptBeside) String() string { return "firewall of libvirt: forget " + word(o.Bridge) }
