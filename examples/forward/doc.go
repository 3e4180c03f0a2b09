// Forward has a guest's port reached by the host's, as an operator or a provisioning
// program does: with libvirt's own client library, and package virbrxml for the words
// that virbr adds.
//
//	go run -tags libvirt_dlopen ./examples/forward qemu:///system default 8080 80 web1
//
// The tag has libvirt's library loaded when the program runs, so that building it needs
// no headers.
package main
