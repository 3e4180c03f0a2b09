package topology_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/topology"
)

// TestRates: growth counts, counters that begin anew too, and both ends of what goes
// between two networks.
func TestRates(t *testing.T) {
	t.Parallel()
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	count := func(packets uint64) topology.Count { return topology.Count{Packets: packets, Bytes: 100 * packets} }
	web := topology.Connection{ID: 1, Proto: 6, From: at("192.168.122.2:4000"), To: at("198.51.100.2:443"), By: at("198.51.100.2:443"), Sent: count(10), Back: count(20)}
	forwarded := topology.Connection{ID: 2, Proto: 6, From: at("192.0.2.80:5000"), To: at("192.0.2.1:8080"), By: at("192.168.122.2:80"), Sent: count(4), Back: count(6)}
	before := &topology.Sample{Time: time.Unix(100, 0), Connections: []topology.Connection{web}, Bridges: map[string]topology.Counters{
		"virbr0": {Received: count(100), Sent: count(50), Leaving: 3}, "virbr1": {Received: count(900)},
	}}
	web.Sent, web.Back = count(30), count(60)
	after := &topology.Sample{Time: time.Unix(102, 0), Connections: []topology.Connection{web, forwarded}, Bridges: map[string]topology.Counters{
		"virbr0": {Received: count(120), Sent: count(50), Leaving: 5, SentDrops: 2}, "virbr1": {Received: count(10)},
	}}
	rate := func(packets float64) topology.Rate { return topology.Rate{Packets: packets, Bytes: 100 * packets} }
	guest := netip.MustParseAddr("192.168.122.2")
	want := &topology.Top{
		Version: 1, Seconds: 2, Counted: true,
		Networks: []topology.Traffic{
			{Network: "default", Sent: rate(10), New: 1, Now: 2, Drops: topology.Drops{Leaving: 1, Link: 1}},
			{Network: "dmz", Sent: rate(5), Now: 1},
		},
		Flows: []topology.Flow{
			{Network: "default", Guest: "web1", Address: guest, Peer: "dmz/dmz-0", Proto: "tcp", Port: 443, Sent: rate(10), Got: rate(20), Now: 1},
			{Network: "dmz", Guest: "dmz-0", Address: netip.MustParseAddr("198.51.100.2"), Peer: "default/web1", Proto: "tcp", Port: 443, Inbound: true, Sent: rate(20), Got: rate(10), Now: 1},
			{Network: "default", Guest: "web1", Address: guest, Peer: "192.0.2.80", Proto: "tcp", Port: 80, Inbound: true, Sent: rate(3), Got: rate(2), Now: 1, New: 1},
		},
	}
	opts := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, office(t, 5).Rates(before, after, "default", "dmz"), opts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
