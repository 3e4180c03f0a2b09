package firewall_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// guardPort returns a port that is kept from everything.
func guardPort(link string) firewall.GuardPort {
	return firewall.GuardPort{
		Link: link, Stops: firewall.Causes(), MACs: []xml.MAC{{0x52, 0x54, 0, 0, 0, 1}},
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.122.5/32"), netip.MustParsePrefix("fe80::1/128")},
	}
}

// TestGuardIsValidated: what another process wrote down cannot become another rule.
func TestGuardIsValidated(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*firewall.Guard)
		want   string
	}{
		"as compiled": {func(*firewall.Guard) {}, ""},
		"owner":       {func(g *firewall.Guard) { g.Owner = `a"b` }, "device name"},
		"link":        {func(g *firewall.Guard) { g.Ports[0].Link = "a b" }, "device name"},
		"twice":       {func(g *firewall.Guard) { g.Ports = append(g.Ports, guardPort("vnet0")) }, "guarded twice"},
		"cause":       {func(g *firewall.Guard) { g.Ports[0].Stops = []firewall.Cause{"x"} }, "not a cause"},
		"host bits":   {func(g *firewall.Guard) { g.Ports[0].Addrs[0] = netip.MustParsePrefix("10.0.0.1/8") }, "not an address"},
		"overlap": {func(g *firewall.Guard) {
			g.Ports[0].Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16")}
		}, "overlaps"},
		"asks": {func(g *firewall.Guard) { g.Ports[0].Asks = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }, "not an address"},
	}
	for name, test := range tests {
		g := &firewall.Guard{Owner: "virbr0", Ports: []firewall.GuardPort{guardPort("vnet0")}}
		test.change(g)
		err := (&firewall.Network{Bridge: g.Owner, Guard: g}).Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// TestGuardChangeIsSmall: a guest that takes an address costs two elements.
func TestGuardChangeIsSmall(t *testing.T) {
	t.Parallel()
	from := &firewall.Guard{Owner: "virbr0", Ports: []firewall.GuardPort{guardPort("vnet0"), guardPort("vnet1")}}
	to := &firewall.Guard{Owner: "virbr0", Ports: []firewall.GuardPort{guardPort("vnet0"), guardPort("vnet1")}}
	to.Ports[1].Addrs = append(to.Ports[1].Addrs, netip.MustParsePrefix("192.168.122.6/32"))
	take, bring := firewall.GuardDifference(from, to)
	if len(take) != 0 || len(bring) != 2 || bring[1].String() != `192.168.122.6 . "vnet1" comment "virbr0"` {
		t.Errorf("took %v, brought %v", take, bring)
	}
	if take, bring = firewall.GuardDifference(to, nil); len(take) != len(to.Data()) || len(bring) != 0 {
		t.Errorf("took %d of %d, brought %d", len(take), len(to.Data()), len(bring))
	}
}
