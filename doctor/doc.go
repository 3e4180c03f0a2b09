// Package doctor says what is in the way of guests' packets. Facts about the
// host and its networks go in, findings come out, each with what was seen and the
// command that mends it. It walks the way that a packet takes: from the guest to
// the bridge, to DHCP and DNS, through the firewalls of everybody, along the
// host's routes, and back in.
//
// The package is pure: what it knows it was told in [Facts].
package doctor
