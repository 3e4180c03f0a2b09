// Package collect reads the facts that package doctor judges, and changes nothing: files
// of the networks and of libvirt here, all else by the readers of driver/host, which are
// those of the daemon.
package collect
