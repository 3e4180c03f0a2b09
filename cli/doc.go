// Package cli is the commands of virbr, the tool for people. What is here works
// on files alone: it needs no daemon, no root and no libvirt.
package cli
