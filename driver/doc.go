// Package driver is libvirt's virtual network driver: the networks, their
// lifecycle, their files on disk and their events.
//
// A definition is compiled to a plan (package plan) and applied through the
// small interface [System], which package host satisfies; nothing here touches
// the host's network itself. Each network has one lock; while a hook script or
// dnsmasq runs, other networks go on.
package driver
