package plan

import "net/netip"

// AcceptBeside has libvirt's own rules for a bridge let pass what our table has
// decided about: connections that were translated to guests, subnets that only we
// filter, and guests that are reached without connection tracking. It is
// idempotent, and repairs what is missing.
type AcceptBeside struct {
	Bridge string
	Own    []netip.Prefix `json:",omitempty"`
	Stray  []netip.Addr   `json:",omitempty"`
}

// UnacceptBeside removes the rules of AcceptBeside.
type UnacceptBeside struct{ Bridge string }

func (AcceptBeside) op()   {}
func (UnacceptBeside) op() {}

func (o AcceptBeside) String() string   { return "firewall of libvirt: accept " + word(o.Bridge) }
func (o UnacceptBeside) String() string { return "firewall of libvirt: forget " + word(o.Bridge) }
