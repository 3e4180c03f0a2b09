// Package leases is dnsmasq's lease helper: it puts one event into a network's
// lease file, <bridge>.status, which libvirt's NSS modules and net-dhcp-leases
// read. dnsmasq starts a process of it for each event, so it is small and does
// little.
//
// # How a lease gets into the file
//
// Readers always see a whole file, and so does who comes after a crash: each
// event writes a new file beside the old one, forces it to disk, puts it in
// its place, and forces that to disk, too. Changing the file where it is would spare the copy, but a reader
// could see half of a change, and so could a host after a loss of power; a file
// that is not whole counts as one without leases. Copying is not what takes the
// time: 10,000 leases are 1.6 MB. Parsing them is, so the text is edited
// ([dnsmasq.Splice]) and not read, once it is known to be our own.
//
// # Who writes what
//
// The helper is not root: what a guest sends passes through dnsmasq's process that
// calls it. It writes to one directory ([dnsmasq.Dirs.Helper]), whose owner is its
// user. libvirt's place for a bridge's leases, which is root's, has a link to the file
// there. dnsmasq calls the helper as root once, at its start, before it has another
// user: then a file that libvirt's own helper left in that place is taken over, and
// the helper gives up root before it does anything else. Root reads what is in the
// directory by [Read] only.
//
// Events of one network wait for each other at a lock of its own, a file in the
// directory. What the lock file holds says which lease file was written last:
// its inode, size and times. A lease file that is another one was not, or may
// not have been, written here; it is parsed, and written anew. So a file of
// libvirt's own helper, or one that somebody edited, is taken as it is, and
// nothing depends on the lock file.
//
// A daemon is not needed for any of it.
//
// # What it costs
//
// Most of what is left is the start of a process: about 0.5 ms for the smallest
// that there is, 1.2 ms for this one, 12 to 19 ms for libvirt's helper, which is
// linked with all of libvirt. That is why there is a program of its own for it,
// beside "virbrd leases", which takes three times as long to start.
// tests/bench/leases compares whole events.
package leases
