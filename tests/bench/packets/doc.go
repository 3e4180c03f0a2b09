// Command packets measures what a packet of a guest costs on its way out, and on its
// way in by a port forward, beside how many other networks and forwards, with
// virbrd and with Debian's libvirtd, on the same machine, in the same run, in
// turns. It prints a table: medians of what each host does in a second, and medians
// of the ratios within one round. docs/benchmarks.md holds one with the method.
//
//	go run ./tests/bench/packets -virbrd bin/virbrd
package main
