package netlink_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// TestSources: a forward for some sources is used by them; others come to the next
// one, or to the host. Whether bridged frames pass the rules makes no difference.
func TestSources(t *testing.T) {
	t.Parallel()
	for _, bridged := range []string{"0", "1"} {
		t.Run("br_netfilter="+bridged, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				s := newSite(t)
				callBridge(t, bridged)
				s.sources(t)
			})
		})
	}
}

func (s *site) sources(t *testing.T) {
	t.Helper()
	s.hosts["web"].serve(t, 22, 23)
	s.hosts["peer"].serve(t, 22, 8005)
	s.hosts["lone"].serve(t, 22, 8105)
	(&host{name: "host"}).serve(t, 9000)
	out, out2 := s.hosts["outside"], s.hosts["outside2"]
	own := forward("tcp", "web", 4000, 0, 22)
	s.install(t, map[string]*xml.Extensions{
		"nat": {Forwards: []xml.PortForward{
			from(forward("tcp", "web", 2222, 0, 22), out.ip4.String(), out.ip6.String()),
			from(forward("tcp", "web", 2222, 0, 23), "127.0.0.0/8", "::1"),
			from(ignored(forward("tcp", "", 2222, 0, 0)), s.hosts["other"].ip4.String()),
			forward("tcp", "peer", 2222, 0, 22),
			from(forward("tcp", "peer", 8000, 8010, 0), "10.0.100.0/24", "fd00:0:0:64::/64"),
			from(at("192.0.2.1", own), "10.0.100.0/30"),
			from(forward("tcp", "web", 4001, 0, 22), "198.51.100.0/24"),
		}},
		"none": {Forwards: []xml.PortForward{
			from(forward("tcp", "lone", 8100, 8110, 0), "10.0.100.0/24"),
			from(at(s.hosts["lone"].ip4.String(), forward("tcp", "lone", 22, 0, 0)), "10.0.100.0/24"),
		}},
	})
	for _, c := range []struct {
		name     string
		from     *host
		to, want string
	}{
		{"its source", out, "10.0.100.1:2222", "web:22"},
		{"its source, IPv6", out, "[fd00:0:0:64::1]:2222", "web:22"},
		{"another", out2, "10.0.101.1:2222", "peer:22"},
		{"another, IPv6", out2, "[fd00:0:0:65::1]:2222", "peer:22"},
		{"the host's loopback", &host{}, "127.0.0.1:2222", "web:23"},
		{"the host's ::1", &host{}, "[::1]:2222", "web:23"},
		{"the host", &host{}, "10.0.100.1:2222", "peer:22"},
		{"an exception", s.hosts["other"], "10.0.100.1:2222", "nobody"},
		{"a range", out, "10.0.100.1:8005", "peer:8005"},
		{"a range, IPv6", out, "[fd00:0:0:64::1]:8005", "peer:8005"},
		{"a range, another", out2, "10.0.101.1:8005", "nobody"},
		{"a range, the host", &host{}, "127.0.0.1:8005", "nobody"},
		{"an address", out, "192.0.2.1:4000", "web:22"},
		{"an address, another", out2, "192.0.2.1:4000", "nobody"},
		{"another address", out, "10.0.100.1:4000", "nobody"},
		{"nobody's", out, "10.0.100.1:4001", "nobody"},
		{"isolated", out, "10.0.100.1:8105", "lone:8105"},
		{"isolated, another", out2, "10.0.101.1:8105", "nobody"},
		{"isolated, the guest's own address", out, "10.0.4.2:22", "lone:22"},
		{"isolated, the guest's own address, another", out2, "10.0.4.2:22", "nobody"},
		{"the host's own", out, "10.0.100.1:9000", "host:9000"},
	} {
		if got := c.from.who(c.to); got != c.want {
			t.Errorf("%s: %s answers at %s, want %s", c.name, got, c.to, c.want)
		}
	}
	// Others translate where only some sources are let in.
	nft(t, fmt.Sprintf(`table inet other { chain pre { type nat hook prerouting priority -110; tcp dport 8105 dnat ip to %s:8105; }; }`, s.hosts["lone"].ip4), "-f", "-")
	if _, err := out2.ask("tcp", netip.AddrPort{}, netip.MustParseAddrPort("10.0.101.1:8105"), 5*time.Second); !errors.Is(err, errRejected) {
		t.Errorf("another source, translated by another program: %v", err)
	}
	if t.Failed() {
		t.Log(nft(t, "", "list", "ruleset"))
	}
}
