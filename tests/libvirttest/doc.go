// Package libvirttest makes Debian's libvirtd run in namespaces of a test's or a
// benchmark's own.
package libvirttest
