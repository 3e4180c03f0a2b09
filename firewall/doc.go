// Package firewall compiles a network definition to nftables rules as typed
// values, and prints them.
//
// All networks share one table, "inet virbr". What a packet costs does not
// depend on how many networks there are: the base chains hold verdict-map
// look-ups only, keyed by interface name or by subnet, and each network has
// small chains of its own. A packet is forwarded only when the network that it
// leaves and the network that it enters both allow it.
//
// A network has up to four chains, named after its bridge (see [ChainName]):
//
//	leave_BR  what its guests send: forward, iifname BR
//	enter_BR  what is sent to its guests: forward, oifname BR
//	nat4_BR   source NAT: postrouting, source in one of its IPv4 subnets
//	nat6_BR   the same for IPv6
//
// leave and enter return what is allowed and reject the rest with
// port-unreachable. Interfaces are matched by name, never by index, so rules
// stay right when a bridge is made again.
//
// The package is pure and knows no netlink; package firewall/netlink encodes
// the same values as one batch.
package firewall
