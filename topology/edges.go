package topology

import (
	"net/netip"
	"slices"

	"github.com/virbr/virbr/firewall/coexist"
)

// families are the words for families, IPv4 first.
var families = [2]string{"ipv4", "ipv6"}

// edges draws an edge between all places between which packets may pass. The outside
// does not talk to itself through the host.
func (b *builder) edges() {
	var places []Place
	for i := range b.g.Networks {
		if p := b.g.Networks[i].place; p != nil {
			places = append(places, *p)
		}
	}
	b.walks = Between(places...)
	for i := range b.g.Networks {
		from := &b.g.Networks[i]
		if from.place == nil {
			continue
		}
		for j := range b.g.Networks {
			if to := &b.g.Networks[j]; i != j && to.place != nil {
				b.edge(End{Network: from.Name}, End{Network: to.Name}, *from.place, *to.place, [2]bool{true, true})
			}
		}
		for _, link := range from.Uplinks {
			if link == from.Bridge {
				continue // guests are on the outside's own network
			}
			out, ends := Outside(link), [2]bool{from.exits[0] == link, from.exits[1] == link}
			b.edge(End{Network: from.Name}, End{Uplink: link}, *from.place, out, ends)
			b.edge(End{Uplink: link}, End{Network: from.Name}, out, *from.place, ends)
		}
	}
}

// edge adds one if packets may pass in a family that is asked for.
func (b *builder) edge(from, to End, source, dest Place, wanted [2]bool) {
	e := Edge{From: from, To: to, Blocks: []Block{}}
	for i, six := range []bool{false, true} {
		if !wanted[i] {
			continue
		}
		v := b.walks.May(source, dest, six)
		*[]*Verdict{&e.IPv4, &e.IPv6}[i] = v
		if v.Arrives() {
			b.blocks(&e, packet(&source, &dest, six))
		}
	}
	if e.IPv4.Arrives() || e.IPv6.Arrives() {
		b.g.Edges = append(b.g.Edges, e)
	}
}

// blocks finds rules of others that stop a packet. libvirt's own are those of networks.
func (b *builder) blocks(e *Edge, p coexist.Packet) {
	if b.f.Host.Filters == nil {
		return
	}
	for _, step := range p.Journey("", nil) {
		list, _ := b.f.Host.Filters.Trace(step)
		for _, o := range list {
			block := Block{Family: families[btoi(p.IPv6)], Owner: Printable(string(o.Owner)), Why: Printable(o.Why), Mend: Printable(o.Mend)}
			if o.Owner != coexist.Libvirt && !slices.Contains(e.Blocks, block) {
				e.Blocks = append(e.Blocks, block)
			}
		}
	}
}

// flows counts the connections that there are between places now. Those that forwards
// let in are of the forward, not of an edge.
func (b *builder) flows() {
	for i := range b.f.Connections {
		c := &b.f.Connections[i]
		from, to := b.where(c.From.Addr()), b.where(c.By.Addr())
		if from == to || c.From.Addr().IsUnspecified() { // or who asks for a lease
			continue
		}
		at := slices.IndexFunc(b.g.Edges, func(e Edge) bool { return from.is(e.From) && to.is(e.To) })
		if at >= 0 {
			b.g.Edges[at].Connections++
		}
	}
}

// outside is the end of addresses that are in no network.
var outside = End{Uplink: "*"}

// is reports whether an end is that of an edge. Which uplink a connection takes is not
// known of it.
func (e End) is(o End) bool { return e == o || e == outside && o.Uplink != "" }

// where returns the network that an address is in.
func (b *builder) where(a netip.Addr) End {
	for i := range b.g.Networks {
		n := &b.g.Networks[i]
		if n.place != nil && slices.ContainsFunc(n.place.subnets, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return End{Network: n.Name}
		}
	}
	return outside
}
