package metrics

import (
	"github.com/virbr/virbr/driver"
)

// of is the label that all series of a network have.
func of(n *driver.NetworkStats) label { return label{"network", n.Name} }

// each writes one series for each network.
func each(t *text, networks []driver.NetworkStats, name string, k kind, help string, value func(*driver.NetworkStats) float64) {
	t.family(name, k, help)
	for i := range networks {
		t.series(name, value(&networks[i]), of(&networks[i]))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// states writes what networks there are and whether they run.
func states(t *text, networks []driver.NetworkStats) {
	const info = "virbr_network_info"
	t.family(info, gauge, "What identifies a network; always 1.")
	for i := range networks {
		n := &networks[i]
		t.series(info, 1, of(n), label{"uuid", n.UUID.String()}, label{"bridge", n.Bridge})
	}
	each(t, networks, "virbr_network_active", gauge, "Whether the network runs: 1 or 0.",
		func(n *driver.NetworkStats) float64 { return truth(n.Active) })
	each(t, networks, "virbr_network_persistent", gauge, "Whether the network has a definition on disk: 1 or 0.",
		func(n *driver.NetworkStats) float64 { return truth(n.Persistent) })
	each(t, networks, "virbr_network_autostart", gauge, "Whether the network starts with the host: 1 or 0.",
		func(n *driver.NetworkStats) float64 { return truth(n.Autostart) })
}

// guests writes who uses the networks.
func guests(t *text, networks []driver.NetworkStats) {
	each(t, networks, "virbr_network_ports", gauge, "Ports of the running network: network cards of guests.",
		func(n *driver.NetworkStats) float64 { return float64(n.Ports) })
	families(t, networks, "virbr_network_leases", "DHCP leases that have not ended.",
		func(n *driver.NetworkStats) (v4, v6 float64) {
			return float64(n.Leases - n.Leases6), float64(n.Leases6)
		})
	families(t, networks, "virbr_network_pool_addresses", "Addresses that DHCP can lease in the ranges of the network.",
		func(n *driver.NetworkStats) (v4, v6 float64) { return float64(n.Pool), float64(n.Pool6) })
	const forwards = "virbr_network_forwards"
	t.family(forwards, gauge, "Port forwards by state: ready, or waiting for the address of their guest.")
	for i := range networks {
		n := &networks[i]
		t.series(forwards, float64(n.Forwards-n.Waiting), of(n), label{"state", "ready"})
		t.series(forwards, float64(n.Waiting), of(n), label{"state", "waiting"})
	}
}

// families writes one series for each network and family of addresses.
func families(t *text, networks []driver.NetworkStats, name, help string, value func(*driver.NetworkStats) (v4, v6 float64)) {
	t.family(name, gauge, help)
	for i := range networks {
		n := &networks[i]
		v4, v6 := value(n)
		t.series(name, v4, of(n), label{"family", "ipv4"})
		t.series(name, v6, of(n), label{"family", "ipv6"})
	}
}

// events writes what happened to the networks.
func events(t *text, networks []driver.NetworkStats) {
	each(t, networks, "virbr_network_dnsmasq_restarts_total", counter, "How often the network's dnsmasq was started again after it had died.",
		func(n *driver.NetworkStats) float64 { return float64(n.DnsmasqRestarts) })
	each(t, networks, "virbr_network_healings_total", counter, "How often firewall rules were put back after somebody else had removed them.",
		func(n *driver.NetworkStats) float64 { return float64(n.Healings) })
	each(t, networks, "virbr_network_last_start_seconds", gauge, "How long the last start of the network took; 0: this daemon did not start it.",
		func(n *driver.NetworkStats) float64 { return n.StartDuration.Seconds() })
}

// starts writes how long starts took.
func starts(t *text, s driver.StartTimes) {
	const name = "virbr_network_start_seconds"
	t.family(name, histogram, "How long starts of networks took that succeeded.")
	total := uint64(0)
	for i, bound := range s.Bounds {
		total += s.Counts[i]
		t.series(name+"_bucket", float64(total), label{"le", string(appendNumber(nil, bound.Seconds()))})
	}
	total += s.Counts[len(s.Bounds)]
	t.series(name+"_bucket", float64(total), label{"le", "+Inf"})
	t.series(name+"_sum", s.Sum.Seconds())
	t.series(name+"_count", float64(total))
	const failed = "virbr_network_start_failures_total"
	t.family(failed, counter, "How many starts of networks failed.")
	t.series(failed, float64(s.Failed))
}

// traffic writes what passed the bridges of running networks.
func traffic(t *text, networks []driver.NetworkStats, passed map[string]Traffic) {
	for _, m := range []struct {
		name, help string
		value      func(Traffic) uint64
	}{
		{"receive_bytes", "Bytes that the bridge received from guests for the host and through it.", func(p Traffic) uint64 { return p.ReceivedBytes }},
		{"receive_packets", "Packets that the bridge received from guests for the host and through it.", func(p Traffic) uint64 { return p.ReceivedPackets }},
		{"receive_drops", "Packets of guests that the bridge dropped.", func(p Traffic) uint64 { return p.ReceivedDrops }},
		{"transmit_bytes", "Bytes that the host sent to guests on the bridge.", func(p Traffic) uint64 { return p.SentBytes }},
		{"transmit_packets", "Packets that the host sent to guests on the bridge.", func(p Traffic) uint64 { return p.SentPackets }},
		{"transmit_drops", "Packets to guests that the bridge dropped.", func(p Traffic) uint64 { return p.SentDrops }},
	} {
		name := "virbr_network_" + m.name + "_total"
		t.family(name, counter, m.help)
		for i := range networks {
			n := &networks[i]
			if p, ok := passed[n.Bridge]; ok && n.Active {
				t.series(name, float64(m.value(p)), of(n))
			}
		}
	}
}

// rejected writes what the firewall rules of running networks have rejected.
func rejected(t *text, networks []driver.NetworkStats, refused map[string]Rejected) {
	const name = "virbr_network_rejected_packets_total"
	t.family(name, counter, "Packets that the firewall rules of the network rejected: leaving it, from its guests, or entering it.")
	for i := range networks {
		n := &networks[i]
		if r, ok := refused[n.Bridge]; ok && n.Active {
			t.series(name, float64(r.Leaving), of(n), label{"direction", "leaving"})
			t.series(name, float64(r.Entering), of(n), label{"direction", "entering"})
		}
	}
}

// stopped writes what guards have dropped.
func stopped(t *text, networks []driver.NetworkStats, list []Stopped) {
	const name = "virbr_network_guard_dropped_packets_total"
	t.family(name, counter, "Frames of a guest that the guard of the network dropped, since its port is guarded, by guest and cause.")
	for i := range networks {
		n := &networks[i]
		for _, s := range list {
			if s.Bridge == n.Bridge && n.Active {
				t.series(name, float64(s.Packets), of(n), label{"guest", s.Guest}, label{"port", s.Link}, label{"cause", s.Cause})
			}
		}
	}
}
