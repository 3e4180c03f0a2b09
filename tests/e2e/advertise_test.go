package e2e

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// easyXML is a network as a person would write it who wants both families.
const easyXML = `<network>
  <name>default</name><forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
  <ipv6 advprefix='ula'/>
</network>`

// prefix returns the prefix that a running network advertises, by its live XML.
func (d *daemon) prefix(name string) netip.Prefix {
	d.t.Helper()
	out := d.virsh("net-dumpxml", name)
	m := regexp.MustCompile(`<ipv6 advprefix='([^']*)'`).FindStringSubmatch(out)
	if m == nil {
		d.t.Fatalf("no prefix in live XML:\n%s", out)
	}
	p, err := netip.ParsePrefix(m[1])
	if err != nil {
		d.t.Fatalf("live XML:\n%s%v", out, err)
	}
	return p
}

// linkLocal waits until a guest may use its link-local address, which a DHCPv6
// client needs.
func linkLocal(t *testing.T, g *netnstest.Guest) {
	t.Helper()
	netnstest.Wait(t, "the guest has a link-local address", func() error {
		if out := g.Run(t, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link", "-tentative"); out == "" {
			return errors.New("it has none")
		}
		return nil
	})
}

// TestLocalPrefix: with advprefix='ula' guests have both families, on a host
// that has both: a prefix of the host's own behind NAT66, which nobody outside
// gets into, and which stays the same when the network or the daemon restarts.
func TestLocalPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		d := startVirbrd(t)
		d.up("default", easyXML)
		prefix := d.prefix("default")
		local := netip.MustParsePrefix(read(t, "/var/lib/virbr/ula"))
		if !local.Contains(prefix.Addr()) || prefix.Bits() != 64 || local.Bits() != 48 || !netip.MustParsePrefix("fd00::/8").Contains(local.Addr()) {
			t.Errorf("prefix %s of the host's own %s", prefix, local)
		}
		if got := d.virsh("net-dumpxml", "--inactive", "default"); !strings.Contains(got, "<ipv6 advprefix='ula'/>") {
			t.Errorf("inactive XML:\n%s", got)
		}
		g := netnstest.NewGuest(t, "g", "virbr0")
		lease, err := g.DHCP(t, "-x", "hostname:alpha").Address()
		if err != nil {
			t.Fatal(err)
		}
		own := slaac(t, g, prefix)
		netnstest.Wait(t, "the guest has an IPv6 default route", func() error {
			_, err := g.Output(t.Context(), "ip", "-6", "route", "get", outside6)
			return err
		})
		if got := hears(t, out, g, outside4); got != uplink4 {
			t.Errorf("outside sees a guest's IPv4 datagram come from %s, want %s", got, uplink4)
		}
		if got := hears(t, out, g, outside6); got != uplink6 {
			t.Errorf("outside sees a guest's IPv6 datagram come from %s, want %s", got, uplink6)
		}
		bridge := prefix.Addr().Next().String()
		if got := digs(t, g, bridge, "alpha"); got != lease.String() {
			t.Errorf("dig alpha at %s: %q, want %s", bridge, got, lease)
		}
		out.Route(t, prefix, netip.MustParseAddr(uplink6))
		if got := hears(t, g, out, own.String()); got != errRejected.Error() {
			t.Errorf("a datagram from outside: %s, want %v", got, errRejected)
		}
		d.stop()
		if err := pings(g, t, outside6); err != nil {
			t.Errorf("while no daemon runs: %v", err)
		}
		d = startVirbrd(t)
		if got := d.prefix("default"); got != prefix {
			t.Errorf("after the daemon's restart the prefix is %s, was %s", got, prefix)
		}
		if got := hears(t, out, g, outside6); got != uplink6 {
			t.Errorf("after the daemon's restart outside sees %s, want %s", got, uplink6)
		}
		d.virsh("net-destroy", "default")
		d.virsh("net-start", "default")
		if got := d.prefix("default"); got != prefix {
			t.Errorf("after the network's restart the prefix is %s, was %s", got, prefix)
		}
		d.up("other", strings.NewReplacer("default", "other", "virbr0", "virbr1", "192.168.122", "192.168.123").Replace(easyXML))
		if got := d.prefix("other"); got.Overlaps(prefix) || !local.Contains(got.Addr()) {
			t.Errorf("another network has %s beside %s", got, prefix)
		}
	})
}

// TestLocalPrefixAlone: on a host without IPv6 of its own the same network gives
// guests IPv4 to the outside, IPv6 among themselves and to the host, and says at
// once that there is no more.
func TestLocalPrefixAlone(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := netnstest.NewOutside(t, "outside", "uplink", netip.MustParsePrefix(uplink4+"/24"), netip.MustParsePrefix(outside4+"/24"))
		run(t, "sysctl", "-qw", "net.ipv6.conf.uplink.disable_ipv6=1")
		d := startVirbrd(t)
		d.up("default", easyXML)
		prefix := d.prefix("default")
		a, b := netnstest.NewGuest(t, "a", "virbr0"), netnstest.NewGuest(t, "b", "virbr0")
		a.DHCP(t)
		slaac(t, a, prefix)
		ownB := slaac(t, b, prefix)
		if got := hears(t, out, a, outside4); got != uplink4 {
			t.Errorf("outside sees a guest's IPv4 datagram come from %s, want %s", got, uplink4)
		}
		for _, to := range []string{ownB.String(), prefix.Addr().Next().String()} {
			if err := pings(a, t, to); err != nil {
				t.Error(err)
			}
		}
		if err := pings(a, t, outside6); err == nil || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("a ping to where no route leads: %v", err)
		}
	})
}

// routedXML is a network with a prefix that is routed to the host.
const routedXML = `<network>
  <name>routed</name><uuid>6f6c0c1e-7d1b-4c52-9a52-0000000000a1</uuid><forward mode='nat'/><bridge name='virbr1'/>
  <ip address='192.168.131.1' prefix='24'><dhcp><range start='192.168.131.2' end='192.168.131.9'/></dhcp></ip>
  <ipv6 advprefix='2001:db8:31::/64'/>
</network>`

// TestPublicPrefix: guests with public addresses are not translated, and are
// reached from outside only where the network accepts that.
func TestPublicPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		d := startVirbrd(t)
		d.up("routed", routedXML)
		prefix := netip.MustParsePrefix("2001:db8:31::/64")
		out.Route(t, prefix, netip.MustParseAddr(uplink6))
		g := netnstest.NewGuest(t, "g", "virbr1")
		own := slaac(t, g, prefix)
		if got := hears(t, out, g, outside6); got != own.String() {
			t.Errorf("outside sees a guest's datagram come from %s, want %s", got, own)
		}
		if got := hears(t, g, out, own.String()); got != errRejected.Error() {
			t.Errorf("a datagram from outside: %s, want %v", got, errRejected)
		}
		d.virsh("net-destroy", "routed")
		d.up("routed", strings.Replace(routedXML, "/64'", "/64' dhcp='stateful' lifetime='7200' inbound='accept'", 1))
		guest := netnstest.NewGuest(t, "h", "virbr1")
		linkLocal(t, guest)
		lease, err := guest.DHCP6(t).Address()
		if err != nil || !prefix.Contains(lease) {
			t.Fatalf("DHCPv6 gave %s, %v", lease, err)
		}
		if got := hears(t, guest, out, lease.String()); got != outside6 {
			t.Errorf("the guest hears %s, want %s", got, outside6)
		}
		ra := guest.Run(t, "rdisc6", "-1", "eth0")
		for _, want := range []string{`Stateful address conf\. *: +Yes`, `Prefix +: 2001:db8:31::/64`, `Autonomous address conf\.: +No`, `Valid time +: +7200 `} {
			if !regexp.MustCompile(want).MatchString(ra) {
				t.Errorf("the advertisement has no %q:\n%s", want, ra)
			}
		}
	})
}

// TestPrefixRefused: what cannot be advertised is refused, with the reason, and
// nothing is left of the start.
func TestPrefixRefused(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		file := t.TempDir() + "/net.xml"
		for prefix, want := range map[string]string{
			"fe80:1::/64":        "link-local address",
			"ff05::/64":          "multicast address",
			"::1/64":             "loopback address",
			"::/64":              "unspecified address",
			"::ffff:10.0.0.0/96": "",
			"2001:db8:31::/80":   "a prefix longer than /64 needs dhcp='stateful' or hostid='ipv4'",
			"2001:db8:31::/48":   "shorter than /64",
			"10.0.0.0/24":        "IPv4",
		} {
			write(t, file, strings.Replace(routedXML, "2001:db8:31::/64", prefix, 1))
			if _, err := d.try("net-define", file); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("advprefix %s: %v", prefix, err)
			}
		}
		write(t, file, routedXML)
		d.virsh("net-define", file)
		write(t, file, strings.NewReplacer("routed", "twin", "00a1<", "00a2<", "virbr1", "virbr2", "131", "132", "::/64", ":0:0::9").Replace(routedXML))
		if _, err := d.try("net-define", file); err == nil || !strings.Contains(err.Error(), "IPv6 prefix 2001:db8:31::/64 of network 'twin' is in use: network 'routed' has 2001:db8:31::/64") {
			t.Errorf("another network's prefix: %v", err)
		}
		before := netnstest.Snapshot(t)
		if _, err := d.try("net-start", "routed"); err == nil || !strings.Contains(err.Error(), "is a global prefix, but the host has no IPv6 default route; force='yes' advertises it all the same") {
			t.Errorf("without a default route: %v", err)
		}
		same(t, before, netnstest.Snapshot(t), "the start failed")
		write(t, file, strings.Replace(routedXML, "2001:db8:31::/64", "2001:db8:ffff::/64", 1))
		d.virsh("net-define", file)
		if _, err := d.try("net-start", "routed"); err == nil || !strings.Contains(err.Error(), "interface uplink has 2001:db8:ffff::/64") {
			t.Errorf("the prefix of a link: %v", err)
		}
		write(t, file, strings.Replace(routedXML, "/64'", "/64' force='yes'", 1))
		d.virsh("net-define", file)
		d.virsh("net-start", "routed")
	})
}

// TestFreeSubnet: in a guest whose own network is 192.168.122.0/24 a network
// with <ip type='auto'> takes another one, and keeps it.
func TestFreeSubnet(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NewOutside(t, "hypervisor", "uplink", netip.MustParsePrefix("192.168.122.77/24"), netip.MustParsePrefix("192.168.122.1/24"))
		// On this cable somebody has 192.168.123.1, and the host no address yet.
		quiet := netnstest.NewOutside(t, "neighbour", "quiet", netip.MustParsePrefix("10.99.0.1/24"), netip.MustParsePrefix("10.99.0.2/24"))
		quiet.Address(t, netip.MustParsePrefix("192.168.123.1/24"))
		d := startVirbrd(t)
		const auto = `<network><name>n1</name><forward/><bridge name='virbr1'/><ip type='auto'/></network>`
		d.up("n1", auto)
		d.up("n2", strings.NewReplacer("n1", "n2", "virbr1", "virbr2").Replace(auto))
		for _, want := range []struct{ network, address string }{{"n1", "192.168.124.1"}, {"n2", "192.168.125.1"}} {
			if got := d.virsh("net-dumpxml", want.network); !strings.Contains(got, "<ip address='"+want.address+"' prefix='24'>") {
				t.Errorf("%s should have %s:\n%s", want.network, want.address, got)
			}
			if got := d.virsh("net-dumpxml", "--inactive", want.network); !strings.Contains(got, "<ip type='auto'>") {
				t.Errorf("inactive XML:\n%s", got)
			}
		}
		g := netnstest.NewGuest(t, "g", "virbr1")
		lease, err := g.DHCP(t).Address()
		if err != nil || !netip.MustParsePrefix("192.168.124.0/24").Contains(lease) {
			t.Errorf("lease %s, %v", lease, err)
		}
		if err := pings(g, t, "192.168.122.1"); err != nil {
			t.Errorf("guest to the hypervisor outside: %v", err)
		}
		run(t, "ip", "link", "del", "uplink")
		d.stop()
		d = startVirbrd(t)
		d.virsh("net-destroy", "n1")
		d.virsh("net-start", "n1")
		if got := d.virsh("net-dumpxml", "n1"); !strings.Contains(got, "<ip address='192.168.124.1'") {
			t.Errorf("the subnet was not kept:\n%s", got)
		}
	})
}

// TestCreatedBridge: in mode bridge with create='yes' virbr makes the bridge,
// serves addresses and names on it, puts no rule anywhere, and takes all away.
func TestCreatedBridge(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		before := netnstest.Snapshot(t)
		d := startVirbrd(t)
		d.up("lan", `<network>
  <name>lan</name><forward mode='bridge'/><bridge name='lan0' create='yes'/><domain name='lan.example'/>
  <ip address='10.22.0.1' prefix='24'><dhcp><range start='10.22.0.10' end='10.22.0.99'/></dhcp></ip>
  <ipv6 advprefix='ula'/>
</network>`)
		if got := run(t, "nft", "list", "ruleset"); strings.Contains(got, "lan0") {
			t.Errorf("there are rules:\n%s", got)
		}
		if got := read(t, "/proc/sys/net/ipv4/ip_forward"); got != "0" {
			t.Errorf("the host became a router: %s", got)
		}
		g := netnstest.NewGuest(t, "g", "lan0")
		lease, err := g.DHCP(t, "-x", "hostname:alpha").Address()
		if err != nil || !netip.MustParsePrefix("10.22.0.0/24").Contains(lease) {
			t.Errorf("lease %s, %v", lease, err)
		}
		if got := digs(t, g, "10.22.0.1", "alpha.lan.example"); got != lease.String() {
			t.Errorf("dig alpha: %q", got)
		}
		slaac(t, g, d.prefix("lan"))
		d.stop()
		d = startVirbrd(t)
		if got := d.virsh("net-list", "--name"); strings.TrimSpace(got) != "lan" {
			t.Errorf("active networks after the daemon's restart: %q", got)
		}
		run(t, "ip", "link", "del", "vnet-g")
		d.virsh("net-destroy", "lan")
		same(t, before, netnstest.Snapshot(t), "the network stopped")
	})
}

// TestHostID: guests with a static or a leased IPv4 address have the same number
// by DHCPv6, and the number follows the lease; a host that would collide is
// refused at definition and live.
func TestHostID(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d, dir := startVirbrd(t), t.TempDir()
		d.up("numbers", `<network>
  <name>numbers</name><bridge name='virbr1'/>
  <ipv6 advprefix='fd00:31::/120' hostid='ipv4'/>
  <ip address='192.168.131.1' prefix='24'><dhcp>
    <range start='192.168.131.2' end='192.168.131.9'/>
  </dhcp></ip>
</network>`)
		static, a, b, c := netnstest.NewGuest(t, "static", "virbr1"), netnstest.NewGuest(t, "a", "virbr1"),
			netnstest.NewGuest(t, "b", "virbr1"), netnstest.NewGuest(t, "c", "virbr1")
		host := func(mac, last string) string { return "<host mac='" + mac + "' ip='192.168.131." + last + "'/>" }
		d.virsh("net-update", "numbers", "add", "ip-dhcp-host", host(static.MAC.String(), "50"), "--live")
		for last, owner := range map[string]string{"1": "the bridge", "0": "routers of the subnet"} {
			if _, err := d.try("net-update", "numbers", "add", "ip-dhcp-host", host("52:54:00:00:00:99", last), "--live"); err == nil ||
				!strings.Contains(err.Error(), "it belongs to "+owner) {
				t.Errorf("a host with the number of %s: %v", owner, err)
			}
		}
		for _, g := range []*netnstest.Guest{static, a, b, c} {
			linkLocal(t, g)
		}
		numbered(t, dir, static, "192.168.131.50")
		first := numbered(t, dir, a, "")
		if second := numbered(t, dir, b, ""); second == first {
			t.Errorf("two guests have %s", first)
		}

		// The first guest leaves, and comes back with another number; a third one
		// gets its old one.
		release6(t, dir, a, first)
		release4(t, a, first)
		helper := "/var/lib/libvirt/dnsmasq/virbr/"
		for _, path := range []string{helper + "virbr1.hosts6/" + first, helper + "virbr1.reload"} { // dnsmasq's to read, the daemon's to do
			netnstest.Wait(t, "the released number is gone", func() error {
				if _, err := os.Stat(path); err == nil {
					return errors.New(path + " is there")
				}
				return nil
			})
		}
		numbered(t, dir, c, first)
		if again := numbered(t, dir, a, ""); again == first {
			t.Errorf("two guests have %s", first)
		}

		// The numbers survive a start of dnsmasq.
		d.virsh("net-update", "numbers", "add", "ip-dhcp-range", "<range start='192.168.131.60' end='192.168.131.69'/>", "--live")
		release6(t, dir, c, first)
		numbered(t, dir, c, first)
	})
}

// numbered gives a guest leases of both families, and returns the IPv4 address;
// they must have one number. In dir is what the guest keeps of its DHCPv6 leases. v4 is what the guest asks for, if not empty.
func numbered(t *testing.T, dir string, g *netnstest.Guest, v4 string) string {
	t.Helper()
	var args []string
	if v4 != "" {
		args = []string{"-r", v4}
	}
	four := g.DHCP(t, args...)["ip"]
	if v4 != "" && four != v4 {
		t.Errorf("guest %q has %s, want %s", g.Name, four, v4)
	}
	want := xml.Embed(netip.MustParsePrefix("fd00:31::/120"), netip.MustParseAddr(four))
	if six, err := g.DHCP6(t, "-lf", filepath.Join(dir, g.Name)).Address(); err != nil || six != want {
		t.Errorf("guest %q with %s has %s, %v, want %s", g.Name, four, six, err, want)
	}
	return four
}

// release6 gives up the DHCPv6 lease that a guest has by numbered, and has the
// guest forget it.
func release6(t *testing.T, dir string, g *netnstest.Guest, v4 string) {
	t.Helper()
	kept := filepath.Join(dir, g.Name)
	g.Run(t, "dhclient", "-6", "-r", "-cf", "/dev/null", "-sf", "/bin/true", "-lf", kept, "-pf", kept+".pid", "eth0")
	six := xml.Embed(netip.MustParsePrefix("fd00:31::/120"), netip.MustParseAddr(v4))
	netnstest.Wait(t, "the DHCPv6 lease is gone", func() error {
		if strings.Contains(read(t, "/var/lib/libvirt/dnsmasq/virbr1.status"), `"`+six.String()+`"`) {
			return errors.New(six.String() + " is leased")
		}
		return nil
	})
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
}

// release4 gets a lease and gives it up: the client's script tells it to.
func release4(t *testing.T, g *netnstest.Guest, address string) {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	write(t, script, `#!/bin/sh
case "$1" in
bound) ip addr replace "$ip/$mask" dev "$interface"; touch `+dir+`/bound; kill -USR2 $PPID;;
deconfig) [ ! -e `+dir+`/bound ] || kill -TERM $PPID;;
esac
`)
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	_, _ = g.Output(t.Context(), "busybox", "udhcpc", "-i", "eth0", "-f", "-s", script, "-r", address) // it ends by a signal
	if _, err := os.Stat(filepath.Join(dir, "bound")); err != nil {
		t.Fatal(err)
	}
}
