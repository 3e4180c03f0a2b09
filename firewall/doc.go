// Package firewall compiles a network definition to nftables rules as typed
// values, and prints them.
//
// All networks share one table, "inet virbr". What a packet costs does not
// depend on how many networks there are: the base chains hold verdict-map
// look-ups only, keyed by interface name or by subnet, and each network has
// small chains of its own. A packet is forwarded only when the network that it
// leaves and the network that it enters both allow it.
//
// The package is pure and knows no netlink; package firewall/netlink encodes
// the same values as one batch.
package firewall
