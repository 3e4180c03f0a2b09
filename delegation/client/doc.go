// Package client learns which IPv6 prefixes upstream routers delegate to this host: from
// the program that holds the lease already (systemd-networkd, NetworkManager), or else by
// a DHCPv6 client of its own, which is package delegation's state machine on a socket.
package client
