// Package dnsmasq turns a network definition into the files that its dnsmasq
// reads (configuration, dhcp-hostsfile, addn-hosts), and reads and writes the
// lease files that dnsmasq's helper keeps.
//
// [Compile] is pure. The line order follows libvirt's
// networkDnsmasqConfContents, so that a host can move between the two with
// dnsmasq running.
package dnsmasq
