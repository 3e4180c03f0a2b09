package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestPublicAddress: an address of the provider's link belongs to one guest, in
// both directions and both ways of translating it; the stateless way tracks no
// connection. When it is taken back, or the network stops, nobody answers.
func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"stateful", "stateless"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				programs(t)
				out := newOutside(t)
				d := startVirbrd(t)
				d.up("one", forwardNetwork("one", "br-one", "91"))
				g, v4, _ := addressed(t, "g", "br-one")
				tellsCaller(t, g, ":80")
				publics := []struct{ public, world string }{{"203.0.113.8", outside4}, {"2001:db8:ffff::8", outside6}}
				for _, p := range publics {
					if err := pings(out, t, p.public); err == nil {
						t.Errorf("%s answers before it is anybody's", p.public)
					}
					add := []string{"address", "add", "one", p.public, "g"}
					if mode == "stateless" {
						add = append(add, "--stateless")
					}
					mustVirbr(t, add...)
				}
				for _, p := range publics {
					if err := pings(out, t, p.public); err != nil {
						t.Errorf("from outside: %v", err)
					}
					before := tracked(t)
					wantCall(t, "from outside", out, netip.AddrPortFrom(netip.MustParseAddr(p.public), 80).String(), "g "+p.world)
					if got := hears(t, out, g, p.world); got != p.public {
						t.Errorf("outside hears %s, want %s", got, p.public)
					}
					if mode == "stateless" && tracked(t) > before {
						t.Errorf("%s: %d connections are tracked, were %d", p.public, tracked(t), before)
					}
				}
				if text := mustVirbr(t, "address", "list", "one"); !strings.Contains(text, "203.0.113.8") || !strings.Contains(text, v4.String()) {
					t.Errorf("address list:\n%s", text)
				}
				out.Run(t, "ip", "neigh", "flush", "dev", "eth0")
				mustVirbr(t, "address", "remove", "one", publics[0].public)
				if err := pings(out, t, publics[0].public); err == nil {
					t.Error("a removed address answers")
				}
				if err := pings(out, t, publics[1].public); err != nil {
					t.Errorf("the other address: %v", err)
				}
				d.virsh("net-destroy", "one")
				for _, family := range []string{"-4", "-6"} {
					if text := run(t, "ip", family, "neigh", "show", "proxy"); text != "" {
						t.Errorf("still answered for:\n%s", text)
					}
				}
			})
		})
	}
}

// TestPublicAddressFromWithin: a stateless public address is spoken to also by
// those whose own addresses are translated, which only what tracks connections
// can: guests of another network, containers of somebody else, and the host. It
// stays stateless for clients outside, also when they come by another way.
func TestPublicAddressFromWithin(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		run(t, "ip", "route", "add", "default", "via", outside4)
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		d.up("two", forwardNetwork("two", "br-two", "92"))
		g, _, _ := addressed(t, "g", "br-one")
		other, _, _ := addressed(t, "other", "br-two")
		box := container(t)
		tellsCaller(t, g, ":80")
		publics := []struct{ public, world string }{
			{"203.0.113.8", outside4}, {"2001:db8:ffff::8", outside6},
		}
		for _, p := range publics {
			mustVirbr(t, "address", "add", "one", p.public, "g", "--stateless")
		}
		works := func(when string, out *netnstest.Guest) {
			t.Helper()
			for _, p := range publics {
				to := netip.AddrPortFrom(netip.MustParseAddr(p.public), 80).String()
				before := tracked(t)
				wantCall(t, when+": from outside", out, to, "g "+p.world)
				if n := tracked(t); n > before {
					t.Errorf("%s: %d connections are tracked, were %d", when, n, before)
				}
				for name, from := range map[string]*netnstest.Guest{"another network": other, "the host": nil, "a container": box} {
					if from == box && p.world == outside6 { // which it cannot speak to
						continue
					}
					if got := calls(from, to); !strings.HasPrefix(got, "g ") {
						t.Errorf("%s: from %s: %s answers %q", when, name, to, got)
					}
				}
			}
		}
		works("at first", out)

		// The default route goes another way, by which nobody outside came before.
		far := netnstest.NewOutside(t, "far", "second", netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.2/24"))
		far.Route(t, netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("198.51.100.1"))
		run(t, "ip", "route", "replace", "default", "via", "198.51.100.2")
		netnstest.Wait(t, "what comes by another way is not tracked", func() error {
			before := tracked(t)
			if got := calls(far, "203.0.113.8:80"); got != "g 198.51.100.2" {
				return fmt.Errorf("the guest answers %q", got)
			}
			if n := tracked(t); n > before {
				return fmt.Errorf("%d connections are tracked, were %d", n, before)
			}
			return nil
		})
		works("by another way", out)
	})
}

// container is a namespace behind a bridge of somebody else, who translates its
// addresses as Docker does.
func container(t *testing.T) *netnstest.Guest {
	t.Helper()
	run(t, "ip", "link", "add", "docker0", "type", "bridge")
	run(t, "ip", "addr", "add", "10.77.0.1/24", "dev", "docker0")
	run(t, "ip", "link", "set", "docker0", "up")
	run(t, "nft", "add table ip theirs; add chain ip theirs post { type nat hook postrouting priority 100; }; "+
		"add rule ip theirs post ip saddr 10.77.0.0/24 oifname != docker0 masquerade")
	box := netnstest.NewGuest(t, "box", "docker0")
	box.Address(t, netip.MustParsePrefix("10.77.0.9/24"))
	box.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.77.0.1"))
	return box
}

// tracked returns how many connections the host tracks.
func tracked(t *testing.T) (n int) {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(data), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestProxiedPrefix: a prefix that the provider takes to be on the link is served
// guest by guest: the host answers for those who are there, and for nobody else.
func TestProxiedPrefix(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		out := newOutside(t)
		prefix := netip.MustParsePrefix("2001:db8:31::/64")
		out.Run(t, "ip", "-6", "route", "add", prefix.String(), "dev", "eth0") // on-link
		run(t, "ip", "-6", "route", "add", "default", "via", outside6)
		d := startVirbrd(t)
		d.up("one", `<network><name>one</name><metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
<virbr:ipv6 advprefix='2001:db8:31::/64' inbound='accept' proxyndp='uplink'/></virbr:network></metadata>
<forward mode='nat'/><bridge name='br-one' stp='off'/><ip address='10.91.0.1' prefix='24'><dhcp><range start='10.91.0.2' end='10.91.0.99'/></dhcp></ip></network>`)
		g := netnstest.NewGuest(t, "g", "br-one")
		address := slaac(t, g, prefix).String()
		netnstest.Wait(t, "the guest's address is answered for", func() error {
			_ = pings(g, t, outside6) // guests are known when they speak
			return pings(out, t, address)
		})
		if err := pings(out, t, "2001:db8:31::4711"); err == nil {
			t.Error("an address that nobody has answers")
		}
		out.Run(t, "ip", "neigh", "flush", "dev", "eth0")
		d.stop()
		d = startVirbrd(t)
		if err := pings(out, t, address); err != nil {
			t.Errorf("after the daemon's restart: %v", err)
		}
		run(t, "ip", "link", "del", g.Tap)
		netnstest.Wait(t, "a guest that is gone is not answered for", func() error {
			if text := run(t, "ip", "-6", "neigh", "show", "proxy"); strings.Contains(text, address) {
				return errors.New(text)
			}
			return nil
		})
		d.virsh("net-destroy", "one")
		if text := run(t, "ip", "-6", "neigh", "show", "proxy"); text != "" {
			t.Errorf("still answered for:\n%s", text)
		}
	})
}
