// Package rpc is the server side of libvirt's remote protocol for the network
// driver: connections, dispatch, authentication, events, and the one table that
// turns errors into libvirt's codes.
//
// Each connection has one goroutine that reads and one that writes. Calls that
// only concern the connection run in the reader, so that what follows sees
// their effect; all others run in goroutines of their own, as many of one client
// as Limits.MaxClientRequests and as many of all as there are workers, and their
// replies go out in the order in which they end. Nothing but the writer ever
// waits for a client: replies and events go into a queue, and a client whose
// queue is full, or that reads nothing for Limits.WriteTimeout, loses its
// connection. What clients share is divided among users (package quota), and each
// connection is accepted at once, to see whose it is: root never waits for others.
// What a call has begun is finished, though its client may be gone.
//
// What libvirt's protocol has no call for, such as forwards and what they come to,
// is a program of its own beside libvirt's (proto.ExtensionProgram), on the same
// sockets and behind the same authentication and access checks.
//
// Facts about the protocol: https://libvirt.org/kbase/internals/rpc.html and
// libvirt's remote_protocol.x.
package rpc
