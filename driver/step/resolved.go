package step

import (
	"fmt"
	"net/netip"
)

var resolvedOps = []Op{RegisterDNS{}}

// RegisterDNS tells systemd-resolved that a domain is served on a link.
type RegisterDNS struct {
	Link, Domain string
	Server       netip.Addr
}

func (o RegisterDNS) kind() kind {
	return kind{tag: "register-dns", key: "resolved " + word(o.Link), scope: ScopeService}
}

func (o RegisterDNS) String() string {
	return fmt.Sprintf("resolved register %s server %s dev %s", word(o.Domain), o.Server, word(o.Link))
}
