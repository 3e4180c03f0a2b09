package e2e

import (
	"encoding/json"

	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// kea is ISC's DHCPv6 server on a host outside: a provider's router.
type kea struct {
	t     *testing.T
	on    *netnstest.Guest
	dir   string
	renew int // T1 in seconds; 0: the client's choice
	log   *binaries.Log
	cmd   *exec.Cmd
	done  chan struct{}
}

// pool is a prefix of which Kea delegates parts.
type pool struct {
	Prefix    string `json:"prefix"`
	Len       int    `json:"prefix-len"`
	Delegated int    `json:"delegated-len"`
	Excluded  string `json:"excluded-prefix,omitempty"`
	ExLen     int    `json:"excluded-prefix-len,omitempty"`
}

// startKea has a host outside delegate, with lifetimes in seconds. Leases are in memory, so
// that it knows nobody after a restart.
func startKea(t *testing.T, on *netnstest.Guest, renew, preferred, valid int, pools ...pool) *kea {
	t.Helper()
	netnstest.NeedProgram(t, "kea-dhcp6")
	k := &kea{t: t, on: on, dir: t.TempDir(), renew: renew}
	k.start(preferred, valid, pools...)
	return k
}

func (k *kea) start(preferred, valid int, pools ...pool) {
	k.t.Helper()
	conf, err := json.Marshal(map[string]any{"Dhcp6": map[string]any{
		"interfaces-config":  map[string]any{"interfaces": []string{"eth0"}, "re-detect": false},
		"lease-database":     map[string]any{"type": "memfile", "persist": false},
		"preferred-lifetime": preferred, "valid-lifetime": valid, "renew-timer": k.renew,
		"server-id": map[string]any{"type": "LL", "persist": false},
		"subnet6":   []any{map[string]any{"subnet": "2001:db8:ffff::/64", "interface": "eth0", "pd-pools": pools}},
		"loggers": []any{map[string]any{"name": "kea-dhcp6", "severity": "DEBUG", "debuglevel": 40,
			"output_options": []any{map[string]any{"output": "stdout"}}}},
	}})
	if err != nil {
		k.t.Fatal(err)
	}
	file := filepath.Join(k.dir, "kea.json")
	write(k.t, file, string(conf))
	k.log, k.done = &binaries.Log{}, make(chan struct{})
	k.cmd = exec.Command("kea-dhcp6", "-c", file)
	k.cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+k.dir, "KEA_LOCKFILE_DIR="+k.dir)
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	netnstest.Wait(k.t, "the router has a link-local address", func() error {
		if out := k.on.Run(k.t, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link", "-tentative"); out == "" {
			return fmt.Errorf("none")
		}
		return nil
	})
	if err := k.on.Start(k.cmd); err != nil {
		k.t.Fatalf("starting Kea: %v", err)
	}
	done := k.done
	cmd := k.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	k.t.Cleanup(k.stop)
	netnstest.Wait(k.t, "Kea serves", func() error {
		select {
		case <-done:
			k.t.Fatalf("Kea ended:\n%s", k.log)
		default:
		}
		if !strings.Contains(k.log.String(), "DHCP6_STARTED") {
			return fmt.Errorf("it says\n%s", k.log)
		}
		return nil
	})
}

func (k *kea) stop() {
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	<-k.done
}

// delegatedXML is a network whose prefix its uplink's router delegates.
const delegatedXML = `<network>
  <name>routed</name><uuid>6f6c0c1e-7d1b-4c52-9a52-0000000000a1</uuid><forward mode='nat'/><bridge name='virbr1'/>
  <ip address='192.168.131.1' prefix='24'><dhcp><range start='192.168.131.2' end='192.168.131.9'/></dhcp></ip>
  <ipv6 advprefix='auto' uplink='uplink'/>
</network>`

// gets waits until a running network has a prefix out of another one.
func (d *daemon) gets(name, whole string) netip.Prefix {
	d.t.Helper()
	var got netip.Prefix
	netnstest.Wait(d.t, fmt.Sprintf("network %s has a prefix of %s", name, whole), func() error {
		if got = d.prefix(name); !netip.MustParsePrefix(whole).Contains(got.Addr()) {
			return fmt.Errorf("it has %s\n%s", got, d.log)
		}
		return nil
	})
	return got
}

// TestDelegatedPrefix: a network's prefix is one that the router of its uplink delegates.
// It is the same after a restart, and when the router delegates another one guests move.
func TestDelegatedPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "rdisc6")
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		k := startKea(t, out, 0, 3000, 4000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 56})
		d := startVirbrd(t)
		d.up("routed", delegatedXML)
		prefix := d.gets("routed", "2001:db8:100::/48")
		out.Route(t, prefix, netip.MustParseAddr(uplink6))
		g := netnstest.NewGuest(t, "g", "virbr1")
		old := slaac(t, g, prefix)
		seenAs(t, out, g, old.String())
		if got := run(t, "ip", "-6", "route", "show", "type", "unreachable"); !strings.Contains(got, "unreachable 2001:db8:1") || !strings.Contains(got, "/56") {
			t.Errorf("what is no guest's of the delegated prefix is sent back to the router: %q", got)
		}

		d.stop()
		d = startVirbrd(t)
		if got := d.prefix("routed"); got != prefix {
			t.Errorf("after a restart the network has %s, had %s", got, prefix)
		}
		k.stop()
		k.start(3000, 4000, pool{Prefix: "2001:db8:200::", Len: 48, Delegated: 56})
		d.stop() // it asks whether its prefix is still right when it starts
		d = startVirbrd(t)
		next := d.gets("routed", "2001:db8:200::/48")
		out.Route(t, next, netip.MustParseAddr(uplink6))
		fresh := slaac(t, g, next)
		netnstest.Wait(t, "the former prefix is advertised as deprecated", func() error {
			ra := g.Run(t, "rdisc6", "-1", "eth0")
			if a, b := lifetimes(ra, prefix.String()), lifetimes(ra, next.String()); a != "1800 0" || b != "1500 1500" {
				return fmt.Errorf("lifetimes %q and %q:\n%s", a, b, ra)
			}
			return nil
		})
		seenAs(t, out, g, fresh.String())
		if err := pings(g, t, outside6, old.String()); err != nil {
			t.Errorf("from the former address: %v", err)
		}
		if t.Failed() {
			t.Logf("virbrd:\n%s\nKea:\n%s", d.log, k.log)
		}
	})
}

// seenAs waits until outside sees a guest as an address: an advertisement has to reach it first.
func seenAs(t *testing.T, out, g *netnstest.Guest, want string) {
	t.Helper()
	netnstest.Wait(t, "outside sees the guest as "+want, func() error {
		if got := hears(t, out, g, outside6); got != want {
			return fmt.Errorf("it sees %s", got)
		}
		return nil
	})
}

// echoes has a host outside send back what it gets by TCP, and connects a guest to it.
func echoes(t *testing.T, out, g *netnstest.Guest, from netip.Addr) *net.TCPConn {
	t.Helper()
	var l *net.TCPListener
	err := out.Do(func() (err error) {
		l, err = net.ListenTCP("tcp6", &net.TCPAddr{IP: netip.MustParseAddr(outside6).AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	var c *net.TCPConn
	err = g.Do(func() (err error) {
		c, err = net.DialTCP("tcp6", &net.TCPAddr{IP: from.AsSlice()}, l.Addr().(*net.TCPAddr))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// says sends a line by a connection and wants it back.
func says(t *testing.T, c *net.TCPConn, line string) {
	t.Helper()
	got := make([]byte, len(line))
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, line); err != nil {
		t.Errorf("sending %q: %v", line, err)
	} else if _, err := io.ReadFull(c, got); err != nil || string(got) != line {
		t.Errorf("of %q there came back %q, %v", line, got, err)
	}
}

// second returns the XML of a further network whose prefix is delegated.
func second(name, bridge, subnet string) string {
	return strings.NewReplacer("<name>routed", "<name>"+name, "virbr1", bridge, "192.168.131", subnet,
		"<uuid>6f6c0c1e-7d1b-4c52-9a52-0000000000a1</uuid>", "").Replace(delegatedXML)
}

// TestDelegationChanges: a router delegates another prefix while guests are connected, one
// with a part that stays its own, one too small for all networks, and none.
func TestDelegationChanges(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "rdisc6")
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		for _, p := range []string{"2001:db8:100::/48", "2001:db8:200::/48", "2001:db8:300::/48"} {
			out.Route(t, netip.MustParsePrefix(p), netip.MustParseAddr(uplink6))
		}
		k := startKea(t, out, 10, 7000, 9000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 56})
		d := startVirbrd(t)
		d.up("routed", delegatedXML)
		first := d.gets("routed", "2001:db8:100::/48")
		d.up("other", second("other", "virbr2", "192.168.132"))
		beside := d.gets("other", "2001:db8:100::/48")
		if first == beside || !netip.PrefixFrom(first.Addr(), 56).Masked().Contains(beside.Addr()) {
			t.Errorf("two networks have %s and %s", first, beside)
		}
		g := netnstest.NewGuest(t, "g", "virbr1")
		old := slaac(t, g, first)
		stream := echoes(t, out, g, old)
		says(t, stream, "before")
		advertised := func(prefix netip.Prefix, want string) {
			t.Helper()
			netnstest.Wait(t, fmt.Sprintf("%s is advertised for %s", prefix, want), func() error {
				ra := g.Run(t, "rdisc6", "-1", "eth0")
				if got := lifetimes(ra, prefix.String()); got != want {
					return fmt.Errorf("it is for %q:\n%s", got, ra)
				}
				return nil
			})
		}
		advertised(first, "2700 2700") // RFC 9096, section 3.4: at most 2700 preferred, 5400 valid

		k.stop() // another prefix for a shorter time with the next renewal, of which the first /64 is the router's
		k.start(600, 900, pool{Prefix: "2001:db8:200::", Len: 56, Delegated: 60, Excluded: "2001:db8:200::", ExLen: 64})
		next := d.gets("routed", "2001:db8:200::/56")
		other := d.gets("other", "2001:db8:200::/56")
		if netip.MustParsePrefix("2001:db8:200::/64").Overlaps(next) || netip.MustParsePrefix("2001:db8:200::/64").Overlaps(other) {
			t.Errorf("%s or %s is what the router keeps", next, other)
		}
		if number := other.Addr().As16()[7] & 15; number != beside.Addr().As16()[7]&15 {
			t.Errorf("%s does not have the number of %s", other, beside)
		}
		fresh := slaac(t, g, next)
		advertised(next, "590 590") // what is left of 600 when the next renewal is over
		advertised(first, "1800 0")
		says(t, stream, "after")
		seenAs(t, out, g, fresh.String())

		k.stop() // too little for two
		k.start(7000, 9000, pool{Prefix: "2001:db8:300::", Len: 56, Delegated: 64})
		netnstest.Wait(t, "one network goes without", func() error {
			a, b := d.prefix("routed"), d.prefix("other")
			if small := netip.MustParsePrefix("2001:db8:300::/56"); small.Contains(a.Addr()) == small.Contains(b.Addr()) {
				return fmt.Errorf("they have %s and %s", a, b)
			}
			if !strings.Contains(d.log.String(), "too little for all networks") {
				return fmt.Errorf("nothing is said:\n%s", d.log)
			}
			return nil
		})
		says(t, stream, "and once more")
		found, err := output(t, bin("virbr"), "doctor")
		if !strings.Contains(strings.Join(strings.Fields(found), " "), "is too little for all networks: this one has a local prefix") {
			t.Errorf("doctor says %v\n%s", err, found)
		}
	})
}

// TestDelegationEnds: a network whose delegated prefix ran out has a local one, and goes
// back when there is one again. Without a way out the host is no router.
func TestDelegationEnds(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "rdisc6")
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		out.Route(t, netip.MustParsePrefix("2001:db8:100::/48"), netip.MustParseAddr(uplink6))
		conf := filepath.Join(t.TempDir(), "virbrd.conf")
		write(t, conf, `prefix_pool = [ "delegated:uplink/60" ]`)
		k := startKea(t, out, 0, 3000, 4000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 60})
		d := startVirbrd(t, "--virbrd-config", conf)
		d.up("routed", strings.Replace(delegatedXML, " uplink='uplink'", "", 1))
		first := d.gets("routed", "2001:db8:100::/48")
		g := netnstest.NewGuest(t, "g", "virbr1")
		slaac(t, g, first)
		router := func(want string) {
			t.Helper()
			netnstest.Wait(t, "the host is a router for "+want, func() error {
				ra := g.Run(t, "rdisc6", "-1", "eth0")
				if m := regexp.MustCompile(`Router lifetime +: +(\d+)`).FindStringSubmatch(ra); m == nil || (m[1] == "0") != (want == "nothing") {
					return fmt.Errorf("it says\n%s", ra)
				}
				return nil
			})
		}
		router("everything")
		run(t, "ip", "-6", "route", "del", "default")
		router("nothing")
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		router("everything")

		d.stop()
		k.stop()
		const file = "/var/lib/virbr/delegations.json" // as if the host had been off for long
		run(t, "sed", "-i", `s/"\(preferred\|valid\|renew\|rebind\)": "20[0-9]*/"\1": "2001/`, file)
		d = startVirbrd(t, "--virbrd-config", conf)
		local := d.gets("routed", "fd00::/8")
		slaac(t, g, local)
		seenAs(t, out, g, uplink6)
		k.start(3000, 4000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 60})
		if back := d.gets("routed", "2001:db8:100::/48"); back != first {
			t.Errorf("it has %s again, had %s", back, first)
		}
		d.stop() // nothing is given back
		if log := k.log.String(); strings.Contains(log, "RELEASE") {
			t.Errorf("the prefix was released:\n%s", log)
		}
	})
}

// networkd starts systemd-networkd on a bus of the test's own, where it has a prefix
// delegated on the uplink for a link of its own.
func networkd(t *testing.T, out *netnstest.Guest) {
	t.Helper()
	const daemon = "/lib/systemd/systemd-networkd"
	netnstest.NeedProgram(t, "dbus-daemon", daemon, "radvd")
	for _, dir := range []string{"/run/dbus", "/run/systemd/network", "/run/systemd/netif/links", "/run/systemd/netif/leases", "/run/systemd/netif/lldp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "chown", "-R", "systemd-network", "/run/systemd/netif")
	run(t, "mount", "-o", "remount,bind,ro", "/sys") // no udev is to tell of links
	write(t, "/run/systemd/network/10-uplink.network", "[Match]\nName=uplink\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=yes\nKeepConfiguration=yes\n[DHCPv6]\nWithoutRA=solicit\n")
	write(t, "/run/systemd/network/20-down.network", "[Match]\nName=down0\n[Network]\nDHCPPrefixDelegation=yes\nIPv6SendRA=no\nConfigureWithoutCarrier=yes\n")
	run(t, "ip", "link", "add", "down0", "type", "bridge")
	logs := &binaries.Log{}
	for _, args := range [][]string{{"dbus-daemon", "--system", "--nofork", "--nopidfile"}, {daemon}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = logs, logs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		netnstest.Wait(t, args[0]+" serves", func() error {
			if args[0] == daemon {
				_, err := output(t, "busctl", "--system", "call", "org.freedesktop.network1", "/org/freedesktop/network1", "org.freedesktop.DBus.Peer", "Ping")
				return err
			}
			_, err := os.Stat("/run/dbus/system_bus_socket")
			return err
		})
	}
	netnstest.Wait(t, "systemd-networkd was delegated a prefix", func() error {
		if got := run(t, "ip", "-6", "route", "show", "type", "unreachable"); !strings.Contains(got, "proto dhcp") {
			return fmt.Errorf("there is %q:\n%s", got, logs)
		}
		return nil
	})
}

// TestDelegatedToNetworkd: where systemd-networkd has the lease, networks have subnets of
// it, beside its own, and follow it; the router is not asked a second time.
func TestDelegatedToNetworkd(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		k := startKea(t, out, 10, 7000, 9000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 56})
		networkd(t, out)
		theirs := strings.Fields(run(t, "ip", "-6", "route", "show", "dev", "down0", "scope", "global", "proto", "kernel"))
		d := startVirbrd(t)
		d.up("routed", delegatedXML)
		got := d.gets("routed", "2001:db8:100::/48")
		whole := netip.PrefixFrom(got.Addr(), 56).Masked()
		if want := run(t, "ip", "-6", "route", "show", "type", "unreachable", "proto", "dhcp"); !strings.Contains(want, whole.String()) {
			t.Errorf("the network has %s, systemd-networkd was delegated %q", got, want)
		}
		if len(theirs) == 0 || got.String() == theirs[0] {
			t.Errorf("the network has systemd-networkd's own %v", theirs)
		}
		if status := run(t, bin("virbr"), "status", "routed"); !strings.Contains(status, "of "+whole.String()+", delegated by the router on uplink (systemd-networkd asked), valid for") {
			t.Errorf("status says\n%s", status)
		}
		k.stop()
		k.start(7000, 9000, pool{Prefix: "2001:db8:200::", Len: 48, Delegated: 56})
		d.gets("routed", "2001:db8:200::/48")
	})
}

// reached reports whether somebody outside who sends to an address gets it back.
func reached(out *netnstest.Guest, at string) error {
	var c net.Conn
	if err := out.Do(func() (err error) { c, err = net.Dial("udp6", at); return err }); err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing was kept back
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 16))
	return err
}

// TestTwoRouters: two networks have prefixes of two routers. When one changes its own, that
// network alone moves, and what is the guest's there follows: its number, its name and
// what is forwarded to it.
func TestTwoRouters(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		first := newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		second := netnstest.NewOutside(t, "second", "uplink2", netip.MustParsePrefix("2001:db8:fffe::1/64"), netip.MustParsePrefix("2001:db8:fffe::2/64"))
		startKea(t, first, 10, 7000, 9000, pool{Prefix: "2001:db8:100::", Len: 48, Delegated: 56})
		k := startKea(t, second, 10, 7000, 9000, pool{Prefix: "2001:db8:200::", Len: 48, Delegated: 56})
		d := startVirbrd(t)
		d.up("routed", delegatedXML)
		d.up("named", `<network xmlns:virbr='urn:virbr:network:1'><name>named</name>
  <metadata><virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:portForward proto='udp' family='ipv6' guest='web1'><virbr:range start='7777'/></virbr:portForward></virbr:network></metadata>
  <forward mode='nat'/><bridge name='virbr2'/><domain name='lab'/>
  <ip address='192.168.132.1' prefix='24'><dhcp><range start='192.168.132.2' end='192.168.132.9'/></dhcp></ip>
  <ipv6 advprefix='auto' uplink='uplink2' hostid='ipv4'/></network>`)
		g := netnstest.NewGuest(t, "web1", "virbr2")
		d.virsh("net-update", "named", "add", "ip-dhcp-host", "<host mac='"+g.MAC.String()+"' name='web1' ip='192.168.132.50'/>", "--live")
		linkLocal(t, g)
		other := d.gets("routed", "2001:db8:100::/48")
		named := func(whole string) {
			t.Helper()
			prefix := d.gets("named", whole)
			want := xml.Embed(prefix, netip.MustParseAddr("192.168.132.50"))
			g.DHCP(t)
			if got, err := g.DHCP6(t, "-lf", filepath.Join(t.TempDir(), "leases")).Address(); err != nil || got != want {
				t.Errorf("the guest has %s, %v, want %s", got, err, want)
			}
			netnstest.Wait(t, "the guest's name has its address", func() error {
				got, err := g.Output(t.Context(), "dig", "+short", "+tries=1", "+time=1", "@"+prefix.Addr().Next().String(), "web1.lab", "AAAA")
				if err == nil && strings.TrimSpace(got) != want.String() {
					err = fmt.Errorf("web1 is %q, want %s", got, want)
				}
				return err
			})
			echo(t, g, netip.AddrPortFrom(want, 7777).String())
			netnstest.Wait(t, "the forward targets the guest", func() error { return reached(first, net.JoinHostPort(uplink6, "7777")) })
		}
		named("2001:db8:200::/48")
		k.stop()
		k.start(7000, 9000, pool{Prefix: "2001:db8:300::", Len: 48, Delegated: 56})
		named("2001:db8:300::/48")
		if got := d.prefix("routed"); got != other {
			t.Errorf("the network of the other router moved to %s", got)
		}
	})
}

// TestUnroutedPrefix: who writes a prefix of which nothing here tells that it is routed to
// this host hears what to check, and of one that is on the link to the provider how
// guests are reached all the same.
func TestUnroutedPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		conf := filepath.Join(t.TempDir(), "virbrd.conf")
		write(t, conf, `prefix_pool = [ "2001:db8:100::/56" ]`)
		d := startVirbrd(t, "--virbrd-config", conf)
		link, file := netip.MustParsePrefix(uplink6+"/64").Masked(), filepath.Join(t.TempDir(), "routed.xml")
		for prefix, want := range map[string]string{
			"2001:db8:77::/64":  "the provider must route 2001:db8:77::/64 to an address of this host",
			link.String():       "write proxyndp='auto'",
			"2001:db8:100::/64": "", "ula": "", "auto": "",
		} {
			before := len(d.log.String())
			write(t, file, strings.Replace(routedXML, "2001:db8:31::/64", prefix, 1))
			d.virsh("net-define", file)
			if said := d.log.String()[before:]; want == "" && strings.Contains(said, "nothing here tells") || !strings.Contains(said, want) {
				t.Errorf("of %s it is said:\n%s", prefix, said)
			}
		}
	})
}
