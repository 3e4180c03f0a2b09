// Package wire is the lowest layer of libvirt's remote protocol: frames, and
// XDR (RFC 4506) with caps.
//
// Nothing here trusts a length: a frame's size is checked before anything is
// allocated for it and its payload is read in growing pieces, and an array's or
// string's length is checked against its limit and against the bytes that are
// really there.
package wire
