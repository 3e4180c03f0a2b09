package step

import (
	"net/netip"
)

var libvirtChainOps = []Op{AcceptInLibvirtChains{}, UnacceptInLibvirtChains{}}

// AcceptInLibvirtChains has libvirt's own rules for a bridge let pass what our table has
// decided about: connections that were translated to guests, subnets that only we
// filter, and guests that are reached without connection tracking. It is
// idempotent, and repairs what is missing.
type AcceptInLibvirtChains struct {
	Bridge string
	Own    []netip.Prefix `json:",omitempty"`
	Stray  []netip.Addr   `json:",omitempty"`
}

func (o AcceptInLibvirtChains) kind() kind {
	return kind{tag: "accept-beside", key: "beside " + word(o.Bridge), scope: ScopeGuests}
}

func (o AcceptInLibvirtChains) String() string {
	return "firewall of libvirt: accept " + word(o.Bridge)
}

// UnacceptInLibvirtChains removes the rules of AcceptInLibvirtChains.
type UnacceptInLibvirtChains struct{ Bridge string }

func (o UnacceptInLibvirtChains) kind() kind {
	return kind{tag: "unaccept-beside", key: "beside " + word(o.Bridge), scope: ScopeGuests}
}

func (o UnacceptInLibvirtChains) String() string {
	return "firewall of libvirt: forget " + word(o.Bridge)
}
