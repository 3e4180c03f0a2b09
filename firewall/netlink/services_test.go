package netlink_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// TestServices: guests of a network that asks for it reach of the host what the
// network serves, and no more; of others everything. Who may be reached beyond the
// host, and whom the host reaches, does not change.
func TestServices(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		s := newSite(t)
		callBridge(t, "0")
		for _, port := range []uint16{7, 53, 67, 69, 547} {
			(&host{name: "host", port: port}).echo(t)
		}
		s.hosts["web"].echo(t)
		s.hosts["outside"].echo(t)
		limited := xml.Firewall{Services: true}
		s.defs["nat"].IPs[0].Ranges = []xml.Range{{Start: addr("10.0.0.50"), End: addr("10.0.0.60")}}
		s.install(t, map[string]*xml.Extensions{
			"nat":  {Firewall: limited, Forwards: []xml.PortForward{forward("tcp", "web", 8080, 0, 7), forward("udp", "web", 8080, 0, 7)}},
			"none": {Firewall: limited},
		})
		for _, c := range []struct {
			name, from, to string
			tcp, udp       bool
		}{
			{"names", "web", "10.0.0.1:53", true, true},
			{"names, IPv6", "web", "[fd00::1]:53", true, true},
			{"names elsewhere", "web", "10.0.100.1:53", false, false},
			{"addresses", "web", "10.0.0.1:67", false, true},
			{"no DHCPv6", "web", "[fd00::1]:547", false, false},
			{"no TFTP", "web", "10.0.0.1:69", false, false},
			{"another service", "web", "10.0.0.1:7", false, false},
			{"another service, IPv6", "web", "[fd00::1]:7", false, false},
			{"another service, the uplink's address", "web", "10.0.100.1:7", false, false},
			{"another service, another network's address", "web", "10.0.3.1:7", false, false},
			{"isolated, names", "lone", "10.0.4.1:53", true, true},
			{"isolated, another service", "lone", "10.0.4.1:7", false, false},
			{"isolated, addresses", "lone", "10.0.4.1:67", false, false},
			{"a forward", "peer", "10.0.100.1:8080", true, true},
			{"outside", "web", "10.0.100.2:7", true, true},
			{"from the host", "", "10.0.0.2:7", true, true},
			{"without the limit", "far", "10.0.3.1:7", true, true},
		} {
			from := s.hosts[c.from]
			if from == nil {
				from = &host{}
			}
			for network, open := range map[string]bool{"tcp": c.tcp, "udp": c.udp} {
				_, err := from.ask(network, netip.AddrPort{}, netip.MustParseAddrPort(c.to), 5*time.Second)
				if open && err != nil || !open && !errors.Is(err, errRejected) {
					t.Errorf("%s, %s: %s: %v", c.name, network, c.to, err)
				}
			}
		}
		for _, to := range []string{"10.0.0.1", "10.0.100.1", "fd00::1", "10.0.100.2"} {
			if out, err := s.hosts["web"].guest.Output(t.Context(), "ping", "-c", "1", "-W", "2", to); err != nil {
				t.Errorf("ping %s: %v\n%s", to, err, out)
			}
		}
		if t.Failed() {
			t.Log(nft(t, "", "list", "ruleset"))
		}
	})
}
