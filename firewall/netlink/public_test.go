package netlink_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	vnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// publicExt gives guest web a public address of each family.
func publicExt(stateless bool) map[string]*xml.Extensions {
	return map[string]*xml.Extensions{
		"nat": {Publics: []xml.PublicAddress{
			{Public: addr("203.0.113.7"), Guest: "web", Stateless: stateless},
			{Public: addr("2001:db8:7::7"), Guest: "web", Stateless: stateless},
		}},
		"route": {Publics: []xml.PublicAddress{
			{Public: addr("203.0.113.8"), Guest: "far", Stateless: stateless},
			{Public: addr("2001:db8:7::8"), Guest: "far", Stateless: stateless},
		}},
	}
}

func TestPublics(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateless=%t", stateless), func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				s := newSite(t)
				callBridge(t, "0")
				for _, h := range s.hosts {
					h.echo(t)
				}
				s.install(t, publicExt(stateless))
				s.publics(t)
				if t.Failed() {
					t.Log(nft(t, "", "list", "ruleset"))
				}
			})
		})
	}
}

// publics has everybody speak with everybody who has a public address.
func (s *site) publics(t *testing.T) {
	t.Helper()
	ip := func(name string) string { return s.hosts[name].ip4.String() }
	ip6 := func(name string) string { return s.hosts[name].ip6.String() }
	for _, c := range []struct {
		name, from, to string
		seen           string // "": rejected
	}{
		{"in", "outside", "203.0.113.7:7", ip("outside")},
		{"in, IPv6", "outside", "[2001:db8:7::7]:7", ip6("outside")},
		{"out", "web", ip("outside") + ":7", "203.0.113.7"},
		{"out, IPv6", "web", "[" + ip6("outside") + "]:7", "2001:db8:7::7"},
		{"in, routed", "outside", "203.0.113.8:7", ip("outside")},
		{"out, routed", "far", ip("outside") + ":7", "203.0.113.8"},
		{"out, no uplink", "web", ip("outside2") + ":7", "10.0.101.1"},
		{"out, no uplink, IPv6", "web", "[" + ip6("outside2") + "]:7", ip6("web")},
		{"out, no uplink, routed", "far", ip("outside2") + ":7", ip("far")},
		{"out, another bridge", "web", ip("far") + ":7", "10.0.3.1"},
		{"own address", "outside", ip("web") + ":7", ""},
		{"same network", "peer", "203.0.113.7:7", "10.0.0.1"},
		{"same network, IPv6", "peer", "[2001:db8:7::7]:7", "fd00::1"},
		{"itself", "web", "203.0.113.7:7", "10.0.0.1"},
		{"another network", "other", "203.0.113.7:7", "10.0.0.1"},
		{"the host", "", "203.0.113.7:7", "10.0.100.1"},
		{"the host's own side", "", ip("web") + ":7", "10.0.0.1"},
		{"each other", "far", "203.0.113.7:7", "203.0.113.8"},
		{"each other, IPv6", "web", "[2001:db8:7::8]:7", "2001:db8:7::7"},
		{"to a neighbour", "web", ip("peer") + ":7", ip("web")},
		{"isolated", "lone", "203.0.113.7:7", ""},
	} {
		from := s.hosts[c.from]
		if from == nil {
			from = &host{}
		}
		for _, network := range []string{"tcp", "udp"} {
			seen, err := from.ask(network, netip.AddrPort{}, netip.MustParseAddrPort(c.to), 5*time.Second)
			if c.seen == "" && !errors.Is(err, errRejected) || c.seen != "" && (err != nil || seen.Addr() != addr(c.seen)) {
				t.Errorf("%s, %s: %s sees %v, %v; want %q", c.name, network, c.to, seen.Addr(), err, c.seen)
			}
		}
	}
	for _, to := range []string{"203.0.113.7", "2001:db8:7::7"} {
		if out, err := s.hosts["outside"].guest.Output(t.Context(), "ping", "-c", "1", "-W", "2", to); err != nil {
			t.Errorf("ping %s: %v\n%s", to, err, out)
		}
	}
}

// TestStatelessIsStateless: nobody keeps an account of who speaks with a stateless
// public address from outside, nor of whom its guest speaks with there.
func TestStatelessIsStateless(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		s := newSite(t)
		callBridge(t, "0")
		web, out := s.hosts["web"], s.hosts["outside"]
		web.echo(t)
		out.echo(t)
		count := func(stateless bool) int {
			s.install(t, publicExt(stateless))
			if err := vnetlink.ConntrackTableFlush(vnetlink.ConntrackTable); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				for _, network := range []string{"tcp", "udp"} {
					for _, c := range []struct {
						from *host
						to   netip.Addr
					}{{out, addr("203.0.113.7")}, {out, addr("2001:db8:7::7")}, {web, out.ip4}, {web, out.ip6}} {
						if _, err := c.from.knock(network, netip.AddrPort{}, netip.AddrPortFrom(c.to, 7)); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			out.guest.Run(t, "ping", "-c", "2", "-i", "0.1", "203.0.113.7")
			return tracked(t, web, out)
		}
		if n := count(true); n != 0 {
			t.Errorf("%d connections are tracked", n)
		}
		if n := count(false); n < 160 {
			t.Errorf("%d connections are tracked with stateful addresses: this test sees nothing", n)
		}
	})
}

// tracked returns how many tracked connections some hosts have a part in.
func tracked(t *testing.T, hosts ...*host) int {
	t.Helper()
	n := 0
	for _, family := range []vnetlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		flows, err := vnetlink.ConntrackTableList(vnetlink.ConntrackTable, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range flows {
			for _, h := range hosts {
				if a, _ := netip.AddrFromSlice(f.Forward.SrcIP); a.Unmap() == h.ip4 || a == h.ip6 {
					n++
				}
			}
		}
	}
	return n
}
