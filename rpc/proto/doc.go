// Package proto holds the messages of libvirt's remote program that a network
// driver serves, as plain structs with their encodings, and what becomes of
// every other procedure.
//
// Arguments and results are in the order of libvirt's remote_protocol.x. Where
// several procedures have the same arguments they share a type.
package proto
