// Package wording has sessions of virsh, one a file in testdata, by which a daemon's
// answers are compared with libvirt's own.
package wording
