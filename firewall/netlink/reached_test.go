package netlink_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// from limits a forward to some sources.
func from(f xml.PortForward, sources ...string) xml.PortForward {
	f.From, _ = xml.ParseSources(strings.Join(sources, ","))
	return f
}

// TestOthersTranslate: what another program translates to guests enters no network
// that is closed to it, whatever forwards and public addresses that has.
func TestOthersTranslate(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		s := newSite(t)
		callBridge(t, "0")
		for _, name := range []string{"web", "peer", "lone"} {
			s.hosts[name].echo(t)
		}
		nft(t, `table inet other {
			chain raw { type filter hook prerouting priority -300; udp dport 9 ip daddr 10.0.0.3 notrack; udp sport 9 notrack; }
			chain pre { type nat hook prerouting priority -110;
				meta l4proto { tcp, udp } th dport 3000 dnat ip to 10.0.0.3:7
				meta l4proto { tcp, udp } th dport 3001 dnat ip to 10.0.4.2:7
				meta l4proto { tcp, udp } th dport 3002 dnat ip to 10.0.4.2:7
				meta l4proto { tcp, udp } th dport 3003 ip daddr 192.0.2.1 dnat ip to 10.0.4.2:7
				meta l4proto { tcp, udp } th dport 3001 meta nfproto ipv6 dnat ip6 to [fd00:0:0:4::2]:7
			}
		}`, "-f", "-")
		open := at("192.0.2.1", forward("tcp", "lone", 4000, 4100, 0))
		s.install(t, map[string]*xml.Extensions{
			"nat": {
				Forwards: []xml.PortForward{forward("tcp", "peer", 3000, 0, 7), forward("tcp", "peer", 3001, 0, 7), forward("udp", "peer", 3010, 0, 7)},
				Publics:  []xml.PublicAddress{{Public: addr("203.0.113.7"), Guest: "web", Stateless: true}},
			},
			"none": {Forwards: []xml.PortForward{open, forward("tcp", "lone", 3002, 0, 8), at("192.0.2.9", forward("tcp", "lone", 3003, 0, 7))}},
		})
		for _, c := range []struct {
			name, to string
			open     string // the protocols that our own maps translate the same way
		}{
			{"as ours", "10.0.100.1:3000", "tcp"},
			{"our port, another guest", "10.0.100.1:3001", ""},
			{"our port and guest, another port of it", "10.0.100.1:3002", ""},
			{"our port and guest, at another address", "192.0.2.1:3003", ""},
			{"IPv6", "[fd00:0:0:64::1]:3001", ""},
		} {
			for _, network := range []string{"tcp", "udp"} {
				_, err := s.hosts["outside"].ask(network, netip.AddrPort{}, netip.MustParseAddrPort(c.to), 5*time.Second)
				if strings.Contains(c.open, network) && err != nil || !strings.Contains(c.open, network) && !errors.Is(err, errRejected) {
					t.Errorf("%s, %s: %s: %v", c.name, network, c.to, err)
				}
			}
		}
		s.untracked(t)
		if t.Failed() {
			t.Log(nft(t, "", "list", "ruleset"))
		}
	})
}

// untracked sends what somebody has excepted from tracking to guests of a network in
// which one has a stateless public address.
func (s *site) untracked(t *testing.T) {
	t.Helper()
	arrived := listen(t, s.hosts["peer"], ":9")
	err := s.hosts["outside"].do(func() error { return sendTo("10.0.0.3:9") })
	if err != nil {
		t.Fatal(err)
	}
	if who := arrives(arrived, 300*time.Millisecond); who != nil {
		t.Errorf("an untracked packet of %s reaches a guest without a public address", who)
	}
	if err := (&host{}).do(func() error { return sendTo("10.0.0.3:9") }); err != nil {
		t.Fatal(err)
	}
	if arrives(arrived, patience) == nil {
		t.Error("nothing arrives: nothing is tested here")
	}
}

// sendTo sends one UDP packet.
func sendTo(to string) error {
	c, err := net.Dial("udp", to)
	if err != nil {
		return fmt.Errorf("sending to %s: %w", to, err)
	}
	defer func() { _ = c.Close() }()
	_, err = c.Write([]byte("x"))
	return err
}
