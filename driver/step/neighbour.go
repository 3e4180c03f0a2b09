package step

import (
	"net/netip"
)

var neighbourOps = []Op{ProxyNeighbour{}, UnproxyNeighbour{}}

// ProxyNeighbour has the host answer for an address on a link: ARP (RFC 826) for
// IPv4, neighbour discovery (RFC 4861 section 7.2.8) for IPv6, solicitations to
// one's own address included.
type ProxyNeighbour struct {
	Link    string
	Address netip.Addr
}

func (o ProxyNeighbour) kind() kind {
	return kind{tag: "proxy-neighbour", key: "proxy " + word(o.Link) + " " + o.Address.String(), scope: ScopeGuests}
}

func (o ProxyNeighbour) String() string {
	return "neighbour proxy " + o.Address.String() + " dev " + word(o.Link)
}

// UnproxyNeighbour undoes ProxyNeighbour; a missing one is no error.
type UnproxyNeighbour struct {
	Link    string
	Address netip.Addr
}

func (o UnproxyNeighbour) kind() kind {
	return kind{tag: "unproxy-neighbour", key: "proxy " + word(o.Link) + " " + o.Address.String(), scope: ScopeGuests}
}

func (o UnproxyNeighbour) String() string {
	return "neighbour unproxy " + o.Address.String() + " dev " + word(o.Link)
}
