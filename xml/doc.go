// Package xml reads, validates, completes, edits and writes libvirt's network
// and network-port documents.
//
// A document becomes a [Network] or a [Port] by [ParseNetwork] and [ParsePort];
// what these accept and how they refuse the rest follows libvirt 11.3.0
// (formatnetwork.html, formatnetworkport.html). [Network.Format] writes the
// canonical form byte for byte as libvirt does, so files written here can be
// read and compared by libvirt's own tools.
//
// The package is pure: it reads no file, no clock and no randomness. Values
// that libvirt generates (uuid, MAC address, bridge name) are left unset and
// are filled in by the caller before a definition is compiled.
package xml
