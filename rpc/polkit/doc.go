// Package polkit asks polkit over the system bus whether a process may do
// something.
//
// Interface: https://www.freedesktop.org/software/polkit/docs/latest/eggdbus-interface-org.freedesktop.PolicyKit1.Authority.html
package polkit
