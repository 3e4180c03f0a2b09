// Package daemontest is a daemon for tests of what talks to one: the real server
// and driver, on a host in memory, which can pass for older daemons and for
// libvirt's own.
package daemontest
