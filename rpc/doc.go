// Package rpc is the server side of libvirt's remote protocol for the network
// driver: connections, dispatch, authentication, events, and the one table that
// turns errors into libvirt's codes.
//
// Facts about the protocol: https://libvirt.org/kbase/internals/rpc.html and
// libvirt's remote_protocol.x.
package rpc
