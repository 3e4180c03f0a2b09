// Package systems holds tests on whole machines of users: Debian 12 and 13,
// booted by systemd in QEMU with their own kernel, libvirt, nftables and
// dnsmasq, on which virbr's packages are installed and used as the docs say.
package systems
