// Command virbrd serves libvirt's virtual networks in the place of
// virtnetworkd.
package main
