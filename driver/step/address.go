package step

import (
	"net/netip"
)

var addressOps = []Op{AddAddress{}, DelAddress{}}

// AddAddress adds an address to a link. Broadcast is set for IPv4 only.
// IPv6 addresses skip duplicate address detection (IFA_F_NODAD): the bridge is
// ours alone, nobody can have the address. A Deprecated one, IPv6 only, is not
// what the host sends from unless asked to.
type AddAddress struct {
	Link       string
	Address    netip.Prefix
	Broadcast  netip.Addr
	Deprecated bool `json:",omitzero"`
	Routeless  bool `json:",omitzero"` // the subnet is not routed to the link (IFA_F_NOPREFIXROUTE): it is on another one
}

func (o AddAddress) kind() kind {
	return kind{tag: "add-address", key: "address " + word(o.Link) + " " + o.Address.String(), scope: ScopeAddress}
}

func (o AddAddress) String() string {
	text := "address add " + o.Address.String()
	if o.Broadcast.IsValid() {
		text += " broadcast " + o.Broadcast.String()
	}
	if o.Address.Addr().Is6() {
		text += " nodad"
	}
	if o.Deprecated {
		text += " deprecated"
	}
	if o.Routeless {
		text += " noprefixroute"
	}
	return text + " dev " + word(o.Link)
}

// DelAddress removes an address from a link; a missing one is no error.
type DelAddress struct {
	Link    string
	Address netip.Prefix
}

func (o DelAddress) kind() kind {
	return kind{tag: "del-address", key: "address " + word(o.Link) + " " + o.Address.String(), scope: ScopeAddress}
}

func (o DelAddress) String() string {
	return "address delete " + o.Address.String() + " dev " + word(o.Link)
}
