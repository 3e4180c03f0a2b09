// Package firewall compiles a network definition to nftables rules as typed
// values, and prints them.
//
// All networks share one table, "inet virbr". What a packet costs does not
// depend on how many networks there are: the base chains hold verdict-map
// look-ups only, keyed by interface name or by subnet, and each network has
// small chains of its own. A packet is forwarded only when the network that it
// leaves and the network that it enters both allow it.
//
// The chains of a network are named after its bridge (see [ChainName]):
//
//	leave_BR    what its guests send: forward, iifname BR
//	enter_BR    what is sent to its guests: forward, oifname BR
//	nat4_BR     source NAT: postrouting, source in one of its IPv4 subnets
//	nat6_BR     the same for IPv6
//	hairpin_BR  source NAT of what is forwarded to its guests: postrouting, oifname BR
//	local_BR    keeps its guests off the host's loopback: prerouting, iifname BR
//	inward_BR   to a stateless public address of its guests: prerouting
//	outward_BR  from such a guest: prerouting
//	ingress_BR  notes by which link connections to its guests come: forward, oifname BR
//	guard_BR    keeps its guests off links that are not their uplinks: forward, iifname BR
//	fast_BR     what of its connections goes by the flowtable: forward, after all filters
//
// leave and enter return what is allowed and reject the rest with
// port-unreachable. Interfaces are matched by name, never by index, so rules
// stay right when a bridge is made again.
//
// Port forwards and public addresses are elements of maps that all networks
// share, not rules: their ordered list is flattened to disjoint keys (see
// [Entry]). Whose an element is, its comment says. Connections that have been
// translated to a guest may enter his network, if they come the way that its
// definition allows; only root of the host can have them translated. The parts of
// the table that forwards and stateless addresses need are there as long as some
// network has such (see [Parts]).
//
// Established connections of networks that ask for it go by a flowtable: from the
// link on which a packet arrives straight to the one that it leaves by. Only what
// the rules of everybody have let pass comes that far.
//
// The package is pure and knows no netlink; package firewall/netlink encodes
// the same values as one batch.
package firewall
