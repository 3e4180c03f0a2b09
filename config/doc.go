// Package config reads the files that configure virbrd: libvirt's own
// virtnetworkd.conf and network.conf, with the same keys and meanings, and
// virbrd.conf in the same syntax.
//
// Every value is checked before a daemon starts, all errors of a file are
// reported at once, and each names its file and line. Keys of libvirt's files
// that have no meaning here (TLS, SASL, worker threads, auditing) are accepted
// and ignored, so that a file written for virtnetworkd works as it is; an
// unknown key of virbrd.conf is refused, with a hint where one is near.
package config
