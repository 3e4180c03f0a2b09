package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// programs are what guests and hosts of these tests use.
func programs(t *testing.T) {
	t.Helper()
	netnstest.NeedProgram(t, "virsh", "dnsmasq", "nft", "ip", "ping", "dig", "busybox", "dhclient")
}

// TestNAT is the main job: guests on a NAT network get an IPv4 lease, an IPv6
// address by SLAAC or DHCPv6, names, and the outside; nobody outside reaches
// them over IPv4.
func TestNAT(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("default", `<network>
  <name>default</name>
  <forward mode='nat'><nat ipv6='yes'/></forward>
  <bridge name='virbr0'/>
  <domain name='guests.example' localOnly='yes'/>
  <dns><host ip='192.168.122.77'><hostname>printer</hostname></host><txt name='motd' value='hello'/></dns>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/><host mac='52:54:00:ab:cd:ef' name='fixed' ip='192.168.122.50'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:122::1' prefix='64'/>
</network>`)
		a, b := netnstest.NewGuest(t, "a", "virbr0"), netnstest.NewGuest(t, "b", "virbr0")
		leaseA, err := a.DHCP(t, "-x", "hostname:alpha").Address()
		if err != nil {
			t.Fatal(err)
		}
		leaseB, err := b.DHCP(t, "-x", "hostname:beta").Address()
		if err != nil {
			t.Fatal(err)
		}
		subnet := netip.MustParsePrefix("192.168.122.0/24")
		if !subnet.Contains(leaseA) || !subnet.Contains(leaseB) || leaseA == leaseB {
			t.Fatalf("leases %s and %s", leaseA, leaseB)
		}
		for query, want := range map[string]string{
			"beta.guests.example":    leaseB.String(),
			"printer.guests.example": "192.168.122.77",
			"-x 192.168.122.77":      "printer.guests.example.",
			"motd TXT":               `"hello"`,
		} {
			if got := digs(t, a, "192.168.122.1", strings.Fields(query)...); got != want {
				t.Errorf("dig %s: %q, want %q", query, got, want)
			}
		}
		for _, to := range []string{leaseB.String(), "192.168.122.1", outside4} {
			if err := pings(a, t, to); err != nil {
				t.Errorf("guest to %s: %v", to, err)
			}
		}
		if got := hears(t, out, a, outside4); got != uplink4 {
			t.Errorf("outside sees a guest's IPv4 datagram come from %s, want %s", got, uplink4)
		}
		slaac(t, a, netip.MustParsePrefix("fd00:122::/64"))
		if got := hears(t, out, a, outside6); got != uplink6 {
			t.Errorf("outside sees a guest's IPv6 datagram come from %s, want %s", got, uplink6)
		}
		out.Route(t, subnet, netip.MustParseAddr(uplink4))
		if got := hears(t, a, out, leaseA.String()); got != errRejected.Error() {
			t.Errorf("a datagram from outside: %s, want %v", got, errRejected)
		}
		d.virsh("net-destroy", "default")
		d.virsh("net-undefine", "default")
	})
}

// TestRoute is about a routed dual-stack network with DHCPv6: addresses are
// the guests' own outside, and outside reaches them.
func TestRoute(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("routed", `<network>
  <name>routed</name><forward mode='route'/><bridge name='virbr1'/>
  <ip address='198.51.100.1' prefix='24'><dhcp><range start='198.51.100.10' end='198.51.100.20'/></dhcp></ip>
  <ip family='ipv6' address='2001:db8:1::1' prefix='64'>
    <dhcp><range start='2001:db8:1::100' end='2001:db8:1::1ff'/></dhcp>
  </ip>
</network>`)
		out.Route(t, netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr(uplink4))
		out.Route(t, netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParseAddr(uplink6))
		g := netnstest.NewGuest(t, "g", "virbr1")
		lease4, err := g.DHCP(t).Address()
		if err != nil {
			t.Fatal(err)
		}
		lease6, err := g.DHCP6(t).Address()
		if err != nil {
			t.Fatal(err)
		}
		if !netip.MustParsePrefix("2001:db8:1::100/120").Contains(lease6) {
			t.Errorf("DHCPv6 gave %s", lease6)
		}
		netnstest.Wait(t, "the guest has a default route from the router advertisement", func() error {
			_, err := g.Output(t.Context(), "ip", "-6", "route", "get", outside6)
			return err
		})
		for _, c := range []struct{ to, from string }{{outside4, lease4.String()}, {outside6, lease6.String()}} {
			if err := pings(g, t, c.to, c.from); err != nil {
				t.Errorf("guest to outside: %v", err)
			}
			if err := pings(out, t, c.from); err != nil {
				t.Errorf("outside to guest: %v", err)
			}
		}
		if got := hears(t, out, g, outside4); got != lease4.String() {
			t.Errorf("outside sees the guest as %s, want %s", got, lease4)
		}
		if got := hears(t, g, out, lease4.String()); got != outside4 {
			t.Errorf("the guest sees outside as %s, want %s", got, outside4)
		}
	})
}

// TestIsolated: guests get leases and names and reach each other and the host,
// and nothing else; the router advertisement offers no default route.
func TestIsolated(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("alone", `<network>
  <name>alone</name><bridge name='virbr2'/>
  <ip address='192.168.140.1' prefix='24'><dhcp><range start='192.168.140.10' end='192.168.140.20'/></dhcp></ip>
  <ip family='ipv6' address='fd00:140::1' prefix='64'/>
</network>`)
		a, b := netnstest.NewGuest(t, "a", "virbr2"), netnstest.NewGuest(t, "b", "virbr2")
		leaseA := a.DHCP(t, "-x", "hostname:alpha")
		if leaseA["router"] != "" {
			t.Errorf("the lease names a router: %s", leaseA["router"])
		}
		leaseB, err := b.DHCP(t).Address()
		if err != nil {
			t.Fatal(err)
		}
		v6 := slaac(t, a, netip.MustParsePrefix("fd00:140::/64"))
		if route := a.Run(t, "ip", "-6", "route", "show", "default"); route != "" {
			t.Errorf("guest has an IPv6 default route: %s", route)
		}
		if err := pings(a, t, leaseB.String()); err != nil {
			t.Error(err)
		}
		if got := digs(t, b, "192.168.140.1", "alpha"); got != leaseA["ip"] {
			t.Errorf("dig alpha: %q", got)
		}
		a.Route(t, netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("192.168.140.1"))
		a.Route(t, netip.MustParsePrefix("2001:db8:ffff::/64"), netip.MustParseAddr("fd00:140::1"))
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		for _, to := range []string{outside4, outside6} {
			if got := hears(t, out, a, to); got != errRejected.Error() {
				t.Errorf("a datagram of an isolated guest to %s: %s, want %v", to, got, errRejected)
			}
		}
		out.Route(t, netip.MustParsePrefix("fd00:140::/64"), netip.MustParseAddr(uplink6))
		if got := hears(t, a, out, v6.String()); got != errRejected.Error() {
			t.Errorf("a datagram to an isolated guest: %s, want %v", got, errRejected)
		}
	})
}

// TestOpen: virbrd serves addresses and names and leaves the firewall alone.
func TestOpen(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		before := run(t, "nft", "list", "ruleset")
		d := startVirbrd(t)
		d.up("open", `<network>
  <name>open</name><forward mode='open'/><bridge name='virbr3'/>
  <ip address='198.51.100.1' prefix='24'><dhcp><range start='198.51.100.10' end='198.51.100.20'/></dhcp></ip>
</network>`)
		rules := run(t, "nft", "list", "ruleset")
		if rules != before && !onlyChecksums(rules) {
			t.Errorf("an open network changed the ruleset:\n%s", rules)
		}
		out.Route(t, netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr(uplink4))
		g := netnstest.NewGuest(t, "g", "virbr3")
		lease, err := g.DHCP(t).Address()
		if err != nil {
			t.Fatal(err)
		}
		if got := hears(t, out, g, outside4); got != lease.String() {
			t.Errorf("outside sees the guest as %s, want %s", got, lease)
		}
		if got := hears(t, g, out, lease.String()); got != outside4 {
			t.Errorf("the guest sees outside as %s, want %s", got, outside4)
		}
	})
}

// onlyChecksums reports whether a ruleset holds nothing but the filling of DHCP
// checksums, which is no verdict on any packet.
func onlyChecksums(ruleset string) bool {
	return !strings.Contains(ruleset, "table inet virbr")
}

// TestBridge: a network on a bridge of the host changes nothing on it.
func TestBridge(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		run(t, "ip", "link", "add", "hostbr", "type", "bridge")
		run(t, "ip", "addr", "add", "10.77.0.1/24", "dev", "hostbr")
		run(t, "ip", "link", "set", "hostbr", "up")
		before := netnstest.Snapshot(t)
		d := startVirbrd(t)
		d.up("lan", `<network><name>lan</name><forward mode='bridge'/><bridge name='hostbr'/></network>`)
		if got := d.virsh("net-info", "lan"); !strings.Contains(got, "hostbr") {
			t.Errorf("net-info:\n%s", got)
		}
		same(t, before, netnstest.Snapshot(t), "a bridge network was started")
		d.virsh("net-destroy", "lan")
		same(t, before, netnstest.Snapshot(t), "a bridge network was stopped")
	})
}
