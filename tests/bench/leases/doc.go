// Command leases measures the lease helper against libvirt's: the same events,
// in turns, in the same run. It prints the processor time of both, of which
// starting the process is part, as dnsmasq starts one for each event.
//
//	go run ./tests/bench/leases -helper bin/virbr_leaseshelper
package main
