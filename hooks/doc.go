// Package hooks runs people's scripts in /etc/libvirt/hooks with libvirt's
// arguments and stdin document, and (virbrd hook) is one itself.
//
// Protocol: https://libvirt.org/hooks.html, section "network".
package hooks
