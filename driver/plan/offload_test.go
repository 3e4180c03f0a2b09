package plan_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// TestOffloadedLinks: connections go between links on which the host has an address
// of its own, but for the bridges of networks, and not too many.
func TestOffloadedLinks(t *testing.T) {
	t.Parallel()
	def := &xml.Network{Name: "n", Bridge: xml.Bridge{Name: "virbr0"}}
	list := func(addrs ...string) []netip.Addr {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	seen := plan.Observations{
		Devices: map[string][]netip.Addr{
			"lo": list("127.0.0.1", "::1"), "eth0": list("192.0.2.1"), "ppp0": list("2001:db8::1"),
			"vnet0": list("fe80::1"), "virbr0": list("10.0.0.1"), "virbr1": list("10.0.1.1"),
		},
		Bridges: []string{"virbr0", "virbr1"},
	}
	links := func(offload bool) []string {
		return plan.NewResolution(def, &xml.Extensions{Firewall: xml.Firewall{Offload: offload}}, seen, plan.Memory{}).Where.Links
	}
	if got := links(false); got != nil {
		t.Errorf("without the option: %q", got)
	}
	if diff := cmp.Diff([]string{"eth0", "ppp0"}, links(true)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 300 {
		seen.Devices[fmt.Sprintf("ppp%d", i)] = list("203.0.113.1")
	}
	if got := links(true); len(got) != 64 {
		t.Errorf("of 300 links: %d", len(got))
	}
}
