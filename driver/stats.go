package driver

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/virbr/virbr/dnsmasq"
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

// counters are what is counted about a network since the daemon started.
type counters struct {
	started  atomic.Int64 // how long the last start took, nanoseconds
	restarts atomic.Int64 // of dnsmasq
	healings atomic.Int64
}

// Stats returns the numbers of all networks, by name. It reads lease files, and
// waits for nobody.
func (d *Driver) Stats() []NetworkStats {
	var list []NetworkStats
	for _, n := range d.networks() {
		if v := n.view.Load(); v != nil {
			list = append(list, d.stats(n, v))
		}
	}
	slices.SortFunc(list, func(a, b NetworkStats) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (d *Driver) stats(n *network, v *view) NetworkStats {
	def := v.def()
	s := NetworkStats{
		Name: n.ref.Name, UUID: n.ref.UUID, Bridge: def.Bridge.Name,
		Active: v.active(), Persistent: v.persistent(), Autostart: v.autostart, Ports: len(v.ports), Pool: def.Leasable(false), Pool6: def.Leasable(true),
		StartDuration:   time.Duration(n.counters.started.Load()),
		DnsmasqRestarts: int(n.counters.restarts.Load()),
		Healings:        int(n.counters.healings.Load()),
	}
	if entries, err := d.readLeases(def.Bridge.Name); err == nil { // a file that cannot be read is told by Leases
		leases, _ := dnsmasq.Query(entries, def, "", time.Now().Unix())
		s.Leases = len(leases)
		for _, l := range leases {
			if l.IPv6 {
				s.Leases6++
			}
		}
	}
	if ext, err := v.extensions(); err == nil {
		s.Forwards = len(ext.Forwards)
		for i := range ext.Forwards {
			if v.resolved() && !v.resolution.ForwardState(i).Active {
				s.Waiting++
			}
		}
	}
	return s
}
