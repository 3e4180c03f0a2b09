// Command virbr_leaseshelper is dnsmasq's lease helper: "virbrd leases" without
// the daemon. dnsmasq starts a process for each lease that changes, and a small
// program starts in a third of the time.
package main
