package topology

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/xml"
)

// Sample is what has been counted up to a moment.
type Sample struct {
	Time        time.Time
	Connections []Connection
	Bridges     map[string]Counters
}

// Counters are those of a bridge and its rules. Received is what its guests sent.
type Counters struct {
	Received, Sent           Count
	ReceivedDrops, SentDrops uint64 // by the link: no room, or switched off
	Leaving, Entering        uint64 // packets that the rules rejected
}

// Rate is what passed in a second.
type Rate struct {
	Packets float64 `json:"packets"`
	Bytes   float64 `json:"bytes"`
}

// Top is who sent how much to whom between two samples, the most first. Its JSON form
// is stable: fields are only added, and Version says when that is not enough.
type Top struct {
	Version  int       `json:"version"` // 1
	Seconds  float64   `json:"seconds"` // between the samples
	Counted  bool      `json:"counted"` // the host counts packets of connections
	Networks []Traffic `json:"networks"`
	Flows    []Flow    `json:"flows"`
}

// Traffic is what passed a network's bridge, in a second, and what was dropped.
type Traffic struct {
	Network string `json:"network"`
	Sent    Rate   `json:"sent"` // by its guests, to the host and through it
	Got     Rate   `json:"received"`
	New     int    `json:"new"` // connections
	Now     int    `json:"connections"`
	Drops   Drops  `json:"drops"`
}

// Drops are packets that did not get through, in a second, by cause.
type Drops struct {
	Leaving  float64 `json:"rejected_leaving"`  // the network does not let its guests send there
	Entering float64 `json:"rejected_entering"` // the network does not let that in
	Link     float64 `json:"link"`              // the bridge had no room, or was switched off
}

// Flow is all connections between a guest and a peer at a port.
type Flow struct {
	Network string     `json:"network"`
	Guest   string     `json:"guest"` // its name, or else its address
	Address netip.Addr `json:"address"`
	Peer    string     `json:"peer"` // an address, or a guest: "lab/db"
	Proto   string     `json:"proto"`
	Port    uint16     `json:"port"`    // where the connections were made to
	Inbound bool       `json:"inbound"` // the peer opened them
	Sent    Rate       `json:"sent"`    // by the guest
	Got     Rate       `json:"received"`
	Now     int        `json:"connections"`
	New     int        `json:"new"`
}

// Rates compares two samples, for some networks, or all where none is named. What began before the first one counts by what it grew.
func (f *Facts) Rates(before, after *Sample, names ...string) *Top {
	t := &topper{
		f: f, names: names, seconds: max(after.Time.Sub(before.Time).Seconds(), 0.001), flows: map[flowKey]*Flow{}, old: map[connectionKey]*Connection{},
		top: &Top{Version: 1, Networks: []Traffic{}, Flows: []Flow{}},
	}
	t.top.Seconds = t.seconds
	for i := range before.Connections {
		c := &before.Connections[i]
		t.old[keyOf(c)] = c
	}
	for _, n := range f.running() {
		if t.wanted(n) {
			t.bridge(n, before, after)
		}
	}
	for i := range after.Connections {
		t.connection(&after.Connections[i])
	}
	for _, flow := range t.flows {
		t.top.Flows = append(t.top.Flows, *flow)
	}
	slices.SortFunc(t.top.Flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(b.Sent.Bytes+b.Got.Bytes, a.Sent.Bytes+a.Got.Bytes), cmp.Compare(b.New, a.New), cmp.Compare(b.Now, a.Now),
			a.Address.Compare(b.Address), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto))
	})
	return t.top
}

type topper struct {
	f       *Facts
	names   []string
	seconds float64
	old     map[connectionKey]*Connection
	flows   map[flowKey]*Flow
	top     *Top
}

type flowKey struct {
	guest, peer netip.Addr
	proto       uint8
	port        uint16
	inbound     bool
}

// connectionKey is what a connection is known by: the kernel gives a number again.
type connectionKey struct {
	id       uint32
	from, to netip.AddrPort
}

func keyOf(c *Connection) connectionKey { return connectionKey{c.ID, c.From, c.To} }

func (t *topper) wanted(n *doctor.Network) bool {
	return len(t.names) == 0 || slices.Contains(t.names, n.Name)
}

func (t *topper) bridge(n *doctor.Network, before, after *Sample) {
	a, b := before.Bridges[n.Def.Bridge.Name], after.Bridges[n.Def.Bridge.Name]
	t.top.Networks = append(t.top.Networks, Traffic{
		Network: nameOf(n.Name), Sent: t.rate(a.Received, b.Received), Got: t.rate(a.Sent, b.Sent),
		Drops: Drops{Leaving: t.per(a.Leaving, b.Leaving), Entering: t.per(a.Entering, b.Entering), Link: t.per(a.ReceivedDrops+a.SentDrops, b.ReceivedDrops+b.SentDrops)},
	})
}

// per is how fast a counter grew. One that was made anew begins at zero.
func (t *topper) per(a, b uint64) float64 {
	if b < a {
		a = 0
	}
	return float64(b-a) / t.seconds
}

func (t *topper) rate(a, b Count) Rate {
	return Rate{t.per(a.Packets, b.Packets), t.per(a.Bytes, b.Bytes)}
}

// connection adds one to the flows of the guests at its ends.
func (t *topper) connection(c *Connection) {
	was, known := t.old[keyOf(c)]
	if !known {
		was = &Connection{}
	}
	t.top.Counted = t.top.Counted || c.Sent.Packets > 0
	sent, back := t.rate(was.Sent, c.Sent), t.rate(was.Back, c.Back)
	if n := t.f.network(c.From.Addr()); n != nil && t.wanted(n) {
		t.add(n, c, false, sent, back, !known)
	}
	if n := t.f.network(c.By.Addr()); n != nil && t.wanted(n) {
		t.add(n, c, true, back, sent, !known)
	}
}

func (t *topper) add(n *doctor.Network, c *Connection, inbound bool, sent, got Rate, fresh bool) {
	guest, peer, port := c.From.Addr(), c.By.Addr(), c.To.Port()
	if inbound {
		guest, peer, port = peer, guest, c.By.Port()
	}
	if slices.ContainsFunc(n.Def.Subnets(), func(ip xml.IP) bool { return ip.Address == guest }) {
		return // the host itself
	}
	key := flowKey{guest, peer, c.Proto, port, inbound}
	flow := t.flows[key]
	if flow == nil {
		flow = &Flow{
			Network: nameOf(n.Name), Guest: t.name(n, guest), Address: guest, Peer: peer.String(), Proto: protoName(c.Proto), Port: port, Inbound: inbound,
		}
		if other := t.f.network(peer); other != nil {
			flow.Peer = nameOf(other.Name) + "/" + t.name(other, peer)
		}
		t.flows[key] = flow
	}
	flow.Now++
	flow.Sent = Rate{flow.Sent.Packets + sent.Packets, flow.Sent.Bytes + sent.Bytes}
	flow.Got = Rate{flow.Got.Packets + got.Packets, flow.Got.Bytes + got.Bytes}
	if fresh {
		flow.New++
	}
	for i := range t.top.Networks {
		if traffic := &t.top.Networks[i]; traffic.Network == flow.Network {
			traffic.Now++
			traffic.New += btoi(fresh)
		}
	}
}

// name is that of a guest, or else its address.
func (t *topper) name(n *doctor.Network, a netip.Addr) string {
	return cmp.Or(guestName(n, a), a.String())
}

// protoName is the name of a protocol (IANA).
func protoName(n uint8) string {
	switch n {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(int(n))
}
