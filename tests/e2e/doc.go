// Package e2e tests virbrd from outside, as its users meet it: Debian's
// unpatched virsh, real dnsmasq, DHCP clients, DNS queries and packets, each
// test in network and mount namespaces of its own. Where libvirt's wording
// matters, the same commands are put to Debian's libvirtd and the answers are
// compared.
package e2e
