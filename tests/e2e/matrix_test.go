package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// updateEnv=1 writes the packet table that was seen to docs/packets.md. (Flags do
// not reach the process in namespaces.)
const updateEnv = "VIRBR_E2E_UPDATE"

// place is somewhere that packets come from and go to: a guest on a network, or
// the host outside.
type place struct {
	name  string
	guest *netnstest.Guest
	addr  map[int]netip.Addr // by IP version
	host  map[int]netip.Addr // the host's own address there
}

// matrixNetworks are one network of every kind. $N is its number, which is in
// its bridge's name and its subnets.
var matrixNetworks = []struct{ name, xml string }{
	{"isolated", `<network><name>isolated</name>BRIDGE IPS</network>`},
	{"nat", `<network><name>nat</name><forward mode='nat'/>BRIDGE IPS</network>`},
	{"nat dev", `<network><name>nat dev</name><forward mode='nat' dev='uplink'/>BRIDGE IPS</network>`},
	{"nat ipv6", `<network><name>nat ipv6</name><forward mode='nat'><nat ipv6='yes'/></forward>BRIDGE IPS</network>`},
	{"route", `<network><name>route</name><forward mode='route'/>BRIDGE IPS</network>`},
	{"route dev", `<network><name>route dev</name><forward mode='route' dev='uplink'/>BRIDGE IPS</network>`},
	{"open", `<network><name>open</name><forward mode='open'/>BRIDGE IPS</network>`},
	{"bridge", `<network><name>bridge</name><forward mode='bridge'/><bridge name='virbr8'/></network>`},
}

// TestPacketTable sends a UDP datagram from every kind of network to every
// other, to and from external hosts, over IPv4 and IPv6, and holds what becomes of it
// against the tables of docs/packets.md.
func TestPacketTable(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		places := matrixPlaces(t)
		got := "# What passes between networks\n\n" + matrixIntro
		for _, version := range []int{4, 6} {
			got += fmt.Sprintf("\n## IPv%d\n\n%s", version, matrixTable(t, places, version))
		}
		const doc = "../../docs/packets.md"
		if os.Getenv(updateEnv) == "1" {
			if err := os.WriteFile(doc, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("docs/packets.md (-) is not what happens (+); VIRBR_E2E_UPDATE=1 writes it:\n%s", diff)
		}
	})
}

const matrixIntro = `One UDP datagram from a guest on a network of one kind (row) to a guest on a
network of another (column), a new connection each. *external* is a host beyond
the uplink. virbr's tests send these datagrams and hold this page against what
becomes of them.

- **yes**: it arrives, with the sender's own address.
- **NAT**: it arrives; the receiver sees the address that the host has towards it.
- **reject**: the sender is told at once, by an ICMP port unreachable.

A datagram passes only where the network that it leaves and the network that it
enters both allow it. *nat dev* and *route dev* are limited to the uplink
(` + "`<forward dev='...'>`" + `). *nat* translates IPv4 only, as in libvirt: its IPv6
addresses are routed unless it is *nat ipv6* (` + "`<nat ipv6='yes'/>`" + `). virbr has no
rules for *open* networks and for *bridge*; what other firewalls of the host say
comes on top of this.
`

// matrixPlaces starts the networks, with a guest on each, and the outside.
func matrixPlaces(t *testing.T) []place {
	out := newOutside(t)
	d := startVirbrd(t)
	run(t, "ip", "link", "add", "virbr8", "type", "bridge")
	run(t, "ip", "link", "set", "virbr8", "up")
	run(t, "ip", "addr", "add", "10.8.0.1/24", "dev", "virbr8")
	run(t, "ip", "addr", "add", "2001:db8:8::1/64", "dev", "virbr8", "nodad")
	var places []place
	for i, n := range matrixNetworks {
		number := i + 1
		xml := strings.NewReplacer(
			"BRIDGE", fmt.Sprintf("<bridge name='virbr%d'/>", number),
			"IPS", fmt.Sprintf("<ip address='10.%[1]d.0.1' prefix='24'/><ip family='ipv6' address='2001:db8:%[1]d::1' prefix='64'/>", number),
		).Replace(n.xml)
		d.up(n.name, xml)
		g := netnstest.NewGuest(t, fmt.Sprintf("g%d", number), fmt.Sprintf("virbr%d", number))
		p := place{name: n.name, guest: g, addr: map[int]netip.Addr{
			4: netip.MustParseAddr(fmt.Sprintf("10.%d.0.10", number)),
			6: netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::10", number)),
		}, host: map[int]netip.Addr{
			4: netip.MustParseAddr(fmt.Sprintf("10.%d.0.1", number)),
			6: netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", number)),
		}}
		for _, command := range []string{ // no address but the ones that the table is about
			"sysctl -qw net.ipv6.conf.eth0.accept_ra=0", "ip -6 addr flush dev eth0 scope global", "ip -6 route flush proto ra",
		} {
			args := strings.Fields(command)
			if _, err := g.Output(t.Context(), args[0], args[1:]...); err != nil {
				t.Fatal(err)
			}
		}
		g.Address(t, netip.PrefixFrom(p.addr[4], 24))
		g.Address(t, netip.PrefixFrom(p.addr[6], 64))
		g.Route(t, netip.MustParsePrefix("0.0.0.0/0"), p.host[4])
		g.Route(t, netip.MustParsePrefix("::/0"), p.host[6])
		places = append(places, p)
	}
	// Every refusal is to be heard, and a bridge with STP forwards after a while.
	// (Kernels before 6.10 have the last two for the machine as a whole only.)
	run(t, "sysctl", "-qew", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
		"net.ipv4.icmp_msgs_per_sec=100000", "net.ipv4.icmp_msgs_burst=100000")
	for _, p := range places {
		netnstest.Wait(t, "guest "+p.name+" reaches its host", func() error {
			return pings(p.guest, t, p.host[4].String())
		})
	}
	out.Route(t, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParseAddr(uplink4))
	out.Route(t, netip.MustParsePrefix("2001:db8::/32"), netip.MustParseAddr(uplink6))
	return append(places, place{name: "external", guest: out, addr: map[int]netip.Addr{
		4: netip.MustParseAddr(outside4), 6: netip.MustParseAddr(outside6),
	}, host: map[int]netip.Addr{
		4: netip.MustParseAddr(uplink4), 6: netip.MustParseAddr(uplink6),
	}})
}

// matrixTable sends every datagram of one IP version and returns the table.
func matrixTable(t *testing.T, places []place, version int) string {
	cells := make([][]string, len(places))
	var wait sync.WaitGroup
	slots := make(chan struct{}, 8)
	for row := range places {
		cells[row] = make([]string, len(places))
		for col := range places {
			if row == col {
				continue
			}
			wait.Go(func() {
				slots <- struct{}{}
				cells[row][col] = verdict(t, places[row], places[col], version)
				<-slots
			})
		}
	}
	wait.Wait()
	var b strings.Builder
	head, rule := "| from \\ to |", "|---|"
	for _, p := range places {
		head, rule = head+" "+p.name+" |", rule+"---|"
	}
	b.WriteString(head + "\n" + rule + "\n")
	for i, p := range places {
		b.WriteString("| **" + p.name + "** | " + strings.Join(cells[i], " | ") + " |\n")
	}
	return b.String()
}

// verdict sends one datagram and says in a word what became of it.
func verdict(t *testing.T, from, to place, version int) string {
	return verdictAt(t, from, to, version, 0)
}

// verdictAt sends it to a port; 0: any.
func verdictAt(t *testing.T, from, to place, version int, port uint16) string {
	at := netip.AddrPortFrom(to.addr[version], port)
	seen, err := datagramAt(t.Context(), to.guest, from.guest, at)
	if errors.Is(err, errSilent) { // the kernel tells a limited number of refusals in a moment
		seen, err = datagramAt(t.Context(), to.guest, from.guest, at)
	}
	return outcome(from, to, version, seen, err)
}

// outcome says what became of a datagram that was seen to come from an address.
func outcome(from, to place, version int, seen netip.Addr, err error) string {
	switch {
	case errors.Is(err, errRejected):
		return "reject"
	case err != nil:
		return err.Error()
	case seen == from.addr[version]:
		return "yes"
	case seen == to.host[version]:
		return "NAT"
	default:
		return "from " + seen.String()
	}
}
