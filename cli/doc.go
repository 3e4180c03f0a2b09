// Package cli is the commands of virbr, the tool for people. Some work on files
// alone: they need no daemon, no root and no libvirt. Others ask a daemon, over the
// wire and without libvirt's library.
package cli
