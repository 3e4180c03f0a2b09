//go:build libvirt_dlopen

// Command bench measures virbrd against Debian's libvirtd: the same calls by the
// same client library, on the same machine, in the same run, in turns. Each
// daemon lives in network and mount namespaces of its own. It prints a table of
// medians and ratios; docs/benchmarks.md holds one with the method.
//
//	go run -tags libvirt_dlopen ./tests/bench -virbrd bin/virbrd
package main
