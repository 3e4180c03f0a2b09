package netlink_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vnetlink "github.com/vishvananda/netlink"

	"github.com/virbr/virbr/tests/netnstest"
)

// The packet table: who may open a connection to whom, and what source the other
// side sees. Rows send, columns receive:
//
//	same  it arrives with the sender's own address
//	nat   it arrives with the router's address on the receiver's side
//	pool  it arrives with an address of the range in <nat><address>
//	no    it is rejected with port-unreachable
//
// What is answered comes back, so every entry but "no" holds for both ways.
// The networks are named after their modes; "-dev" is limited to up0. up0 and
// up1 are hosts outside. Rows and columns of libvirt are the same, but that
// there none, nat-dev and route-dev can send into route (and over IPv6 into nat
// and pool), without an answer.
const (
	packets4 = `
           none  nat  nat-dev  nat66  pool  route  route-dev  open  up0   up1
none       -     no   no       no     no    no     no         no    no    no
nat        no    -    no       no     no    nat    no         nat   nat   nat
nat-dev    no    no   -        no     no    no     no         no    nat   no
nat66      no    no   no       -      no    nat    no         nat   nat   nat
pool       no    no   no       no     -     pool   no         pool  pool  pool
route      no    no   no       no     no    -      no         same  same  same
route-dev  no    no   no       no     no    no     -          no    same  no
open       no    no   no       no     no    same   no         -     same  same
up0        no    no   no       no     no    same   same       same  -     same
up1        no    no   no       no     no    same   no         same  same  -
`
	// Without <nat ipv6='yes'> a NAT network is routed over IPv6.
	packets6 = `
           none  nat   nat-dev  nat66  pool  route  route-dev  open  up0   up1
none       -     no    no       no     no    no     no         no    no    no
nat        no    -     no       no     same  same   no         same  same  same
nat-dev    no    no    -        no     no    no     no         no    same  no
nat66      no    nat   no       -      nat   nat    no         nat   nat   nat
pool       no    same  no       no     -     same   no         same  same  same
route      no    same  no       no     same  -      no         same  same  same
route-dev  no    no    no       no     no    no     -          no    same  no
open       no    same  no       no     same  same   no         -     same  same
up0        no    same  same     no     same  same   same       same  -     same
up1        no    same  no       no     same  same   no         same  same  -
`
)

func TestPackets(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) { packetTable(t, lab(t)) })
}

// packetTable wants the packet table, and what else holds for all networks.
func packetTable(t *testing.T, hosts []*host) {
	t.Helper()
	for _, c := range []struct {
		family, want string
		address      func(*host) netip.Addr
	}{
		{"IPv4", packets4, func(h *host) netip.Addr { return h.ip4 }},
		{"IPv6", packets6, func(h *host) netip.Addr { return h.ip6 }},
	} {
		if diff := cmp.Diff(c.want, matrix(t, hosts, c.address)); diff != "" {
			t.Errorf("%s packets (-want +got):\n%s", c.family, diff)
		}
	}
	ports(t, hosts)
	pings(t, hosts)
	spoofed(t, hosts)
	neighbours(t, hosts)
	if t.Failed() {
		t.Log(nft(t, "", "list", "ruleset"))
	}
}

// matrix has every host knock at every other one, by UDP and by TCP, and prints
// what came of it in the form of the table.
func matrix(t *testing.T, hosts []*host, address func(*host) netip.Addr) string {
	t.Helper()
	cells := make([][]string, len(hosts))
	var all sync.WaitGroup
	limit := make(chan struct{}, 32)
	for i, from := range hosts {
		cells[i] = make([]string, len(hosts))
		for j, to := range hosts {
			if i == j {
				cells[i][j] = "-"
				continue
			}
			all.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				udp := verdict(from, to, "udp", address)
				if tcp := verdict(from, to, "tcp", address); tcp != udp {
					udp += "/" + tcp
				}
				cells[i][j] = udp
			})
		}
	}
	all.Wait()
	return layout(hosts, cells)
}

// verdict is one entry of the table.
func verdict(from, to *host, network string, address func(*host) netip.Addr) string {
	seen, err := from.knock(network, netip.AddrPort{}, netip.AddrPortFrom(address(to), to.port))
	switch {
	case errors.Is(err, errRejected):
		return "no"
	case err != nil:
		return err.Error()
	case seen.Addr() == address(from):
		return "same"
	case seen.Addr() == to.gateway4 || seen.Addr() == to.gateway6:
		return "nat"
	case netip.MustParsePrefix("198.18.0.0/24").Contains(seen.Addr()):
		return "pool"
	}
	return seen.String()
}

// pick returns the host with a name.
func pick(t *testing.T, hosts []*host, name string) *host {
	t.Helper()
	i := slices.IndexFunc(hosts, func(h *host) bool { return h.name == name })
	if i < 0 {
		t.Fatalf("no host %q", name)
	}
	return hosts[i]
}

// ports: a privileged source port does not show outside, whatever the range is.
func ports(t *testing.T, hosts []*host) {
	t.Helper()
	out := pick(t, hosts, "up1")
	for _, c := range []struct {
		from     string
		v6       bool
		min, max uint16
	}{
		{"nat", false, 1024, 65535},
		{"nat66", true, 1024, 65535},
		{"pool", false, 20000, 20099},
		{"route", false, 500, 500},
		{"nat", true, 500, 500},
	} {
		h := pick(t, hosts, c.from)
		own, to := h.ip4, out.ip4
		if c.v6 {
			own, to = h.ip6, out.ip6
		}
		for _, network := range []string{"udp", "tcp"} {
			seen, err := h.knock(network, netip.AddrPortFrom(own, 500), netip.AddrPortFrom(to, out.port))
			if err != nil || seen.Port() < c.min || seen.Port() > c.max {
				t.Errorf("%s, %s from %s port 500 arrives from %v, %v; want a port from %d to %d",
					c.from, network, own, seen, err, c.min, c.max)
			}
		}
	}
}

// pings: protocols without ports are translated and rejected, too.
func pings(t *testing.T, hosts []*host) {
	t.Helper()
	out := pick(t, hosts, "up1")
	for from, want := range map[string]func(netip.Addr) bool{
		"nat":   func(a netip.Addr) bool { return a == out.gateway4 },
		"pool":  netip.MustParsePrefix("198.18.0.0/24").Contains,
		"route": func(a netip.Addr) bool { return a == pick(t, hosts, "route").ip4 },
	} {
		seen, err := ping(pick(t, hosts, from), out)
		if err != nil || !want(seen) {
			t.Errorf("ping from %s arrives from %v, %v", from, seen, err)
		}
	}
}

// ping sends an ICMP echo request and returns its source as the other sees it.
func ping(from, to *host) (netip.Addr, error) {
	var in, out net.PacketConn
	err := to.guest.Do(func() (err error) { in, err = net.ListenPacket("ip4:icmp", to.ip4.String()); return err })
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = in.Close() }()
	err = from.guest.Do(func() (err error) { out, err = net.ListenPacket("ip4:icmp", from.ip4.String()); return err })
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = out.Close() }()
	request := []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0} // echo request (RFC 792) and its checksum
	if _, err := out.WriteTo(request, &net.IPAddr{IP: to.ip4.AsSlice()}); err != nil {
		return netip.Addr{}, err
	}
	_ = in.SetReadDeadline(time.Now().Add(patience))
	for buf := make([]byte, 256); ; {
		n, source, err := in.ReadFrom(buf)
		if err != nil {
			return netip.Addr{}, err
		}
		if n >= len(request) && buf[0] == 8 {
			addr, _ := netip.AddrFromSlice(source.(*net.IPAddr).IP)
			return addr.Unmap(), nil
		}
	}
}

// spoofed: a source that is not the network's own is rejected, where routes
// would carry it.
func spoofed(t *testing.T, hosts []*host) {
	t.Helper()
	out := pick(t, hosts, "up1")
	foreign := netip.MustParseAddr("10.9.9.9")
	for _, name := range []string{"route", "nat", "open"} {
		h := pick(t, hosts, name)
		h.guest.Address(t, netip.PrefixFrom(foreign, 32))
		link, err := vnetlink.LinkByName("br-" + name)
		if err != nil {
			t.Fatal(err)
		}
		back := &vnetlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: foreign.AsSlice(), Mask: net.CIDRMask(32, 32)}}
		if err := vnetlink.RouteReplace(back); err != nil {
			t.Fatal(err)
		}
		_, err = h.knock("udp", netip.AddrPortFrom(foreign, 0), netip.AddrPortFrom(out.ip4, out.port))
		if open := name == "open"; open != (err == nil) || !open && !errors.Is(err, errRejected) {
			t.Errorf("%s: a foreign source outside: %v", name, err)
		}
	}
}

// neighbours: guests of one bridge in two subnets reach each other through the
// router in every mode. NAT shows, as in libvirt.
func neighbours(t *testing.T, hosts []*host) {
	t.Helper()
	for n, c := range []struct {
		name string
		nat  bool
	}{{"none", false}, {"route", false}, {"route-dev", false}, {"nat", true}, {"nat-dev", false}} {
		h := pick(t, hosts, c.name)
		other := newHost(t, 200+n, c.name+"2", func() *netnstest.Guest {
			return netnstest.NewGuest(t, c.name+"2", "br-"+c.name)
		})
		addAddress(t, "br-"+c.name, netip.PrefixFrom(other.gateway4, 24), netip.PrefixFrom(other.gateway6, 64))
		other.echo(t)
		want := h.ip4
		if c.nat {
			want = other.gateway4
		}
		seen, err := h.knock("udp", netip.AddrPort{}, netip.AddrPortFrom(other.ip4, other.port))
		if err != nil || seen.Addr() != want {
			t.Errorf("%s: a neighbour sees %v, %v; want %v", c.name, seen, err, want)
		}
		seen, err = h.knock("tcp", netip.AddrPort{}, netip.AddrPortFrom(other.ip6, other.port))
		if err != nil || seen.Addr() != h.ip6 {
			t.Errorf("%s: a neighbour sees %v, %v; want %v", c.name, seen, err, h.ip6)
		}
	}
}

// layout prints the table with columns as wide as they must be.
func layout(hosts []*host, cells [][]string) string {
	width := func(j int) int {
		w := len(hosts[j].name)
		for i := range cells {
			w = max(w, len(cells[i][j]))
		}
		return w
	}
	var b strings.Builder
	line := func(first string, cell func(int) string) {
		row := fmt.Sprintf("%-9s", first)
		for j := range hosts {
			row += fmt.Sprintf("  %-*s", width(j), cell(j))
		}
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	b.WriteByte('\n')
	line("", func(j int) string { return hosts[j].name })
	for i, h := range hosts {
		line(h.name, func(j int) string { return cells[i][j] })
	}
	return b.String()
}
