// Package delegation is the requesting side of DHCPv6 prefix delegation (RFC 9915,
// which took the place of RFC 8415 and RFC 3633) as a state machine: bytes and the time
// go in, bytes and the time of the next step come out. It knows no clock, no socket and
// no randomness of its own; [Machine] is driven by package delegation/client.
//
// It asks for a prefix (IA_PD) and nothing else: the host's own addresses are the
// business of whoever configures the host.
package delegation
