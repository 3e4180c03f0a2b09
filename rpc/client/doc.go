// Package client is the other side of rpc: a small client of libvirt's remote
// protocol over a Unix socket, for the tool virbr. It speaks to virbrd, whose
// extension program it knows, and to libvirt's own daemons.
//
// It is not libvirt.org/go/libvirt, which loads the C library: that library must
// be there, and be new enough. The one of Debian 12, libvirt 9.0, has no call for
// the metadata of networks, which is where forwards are kept, and none knows the
// extension program. The protocol itself is in rpc/wire and rpc/proto anyway.
package client
