// Command packets measures what a packet of a guest costs on its way out, beside
// how many other networks and port forwards, with virbrd and with Debian's
// libvirtd, on the same machine, in the same run, in turns. It prints a table of
// medians and ratios; docs/benchmarks.md holds one with the method.
//
//	go run ./tests/bench/packets -virbrd bin/virbrd
package main
