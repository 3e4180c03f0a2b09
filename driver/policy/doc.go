// Package policy says which rules and routes of routing (ip-rule(8), ip-route(8))
// running networks need, so that
//
//   - packets for guests find them although a VPN's rules catch everything,
//   - answers to connections leave by the link that the connection came in by,
//   - guests of networks that have uplinks leave by these and by nothing else.
//
// On a host whose own routing has one way out and no rules but the kernel's, and
// without uplinks, that is none at all.
//
// The package is pure: what a host has goes in, what it should have comes out; the
// difference is somebody else's to make. Numbers are chosen so that who looks at the
// kernel sees whose a rule is: priorities and tables of fixed ranges, and a protocol.
package policy
