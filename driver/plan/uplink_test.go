package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// TestOutwardLinks: who comes by which link is outside for guests with a public
// address.
func TestOutwardLinks(t *testing.T) {
	t.Parallel()
	const stateless = "<virbr:address public='203.0.113.7' guest='10.1.0.9' mode='stateless'/>"
	links := map[string]step.Link{
		"lo": {}, "eth0": {}, "eth1": {}, "eth2": {}, "eth3": {Master: "br0"}, "bond0": {Kind: "bond"}, "br0": {Kind: "bridge"},
		"virbr0": {Kind: "bridge"}, "virbr1": {Kind: "bridge"}, "docker0": {Kind: "bridge"}, "veth1": {Kind: "veth", Master: "docker0"},
		"wg0": {Kind: "wireguard"}, "up0": {Kind: "veth"}, `e"x`: {},
	}
	for _, tt := range []struct {
		name, extension, forward string
		routes                   []string // destination and link
		want                     []string
	}{
		{name: "no public address", routes: []string{"0.0.0.0/0 eth0"}},
		{name: "stateful", extension: "<virbr:address public='203.0.113.7' guest='10.1.0.9' mode='stateful'/>", routes: []string{"0.0.0.0/0 eth0", "10.8.0.0/16 wg0"}, want: []string{"eth0"}},
		{
			name: "a server", extension: stateless, want: []string{"eth0", "bond0", "br0", "eth1"},
			routes: []string{"0.0.0.0/0 eth0", "::/0 eth0", "192.0.2.0/24 eth0", "10.8.0.0/16 eth1", "10.9.0.0/16 bond0", "10.7.0.0/16 br0", "10.1.0.0/24 virbr0", "10.2.0.0/24 virbr1", "172.17.0.0/16 docker0", "10.200.0.0/24 wg0"},
		},
		{name: "default routes of two families", extension: stateless, want: []string{"br0", "wg0"}, routes: []string{"0.0.0.0/0 wg0", "::/0 br0"}},
		{name: "the link that the address is on", extension: stateless, want: []string{"docker0", "eth0"}, routes: []string{"203.0.113.0/24 docker0", "198.51.100.0/24 eth0"}},
		{name: "a container without a default route", extension: stateless, want: []string{"up0"}, routes: []string{"198.51.100.0/24 up0", "10.1.0.0/24 virbr0", "172.17.0.0/16 docker0"}},
		{name: "nothing", extension: stateless, routes: []string{"10.1.0.0/24 virbr0", "127.0.0.0/8 lo"}},
		{name: "a name that no rule can have", extension: stateless, routes: []string{`0.0.0.0/0 e"x`}},
		{name: "the network's own bridge", extension: stateless, routes: []string{"0.0.0.0/0 virbr0"}},
		{name: "a forward device", extension: stateless, forward: " dev='eth1'", routes: []string{"0.0.0.0/0 eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			def := parse(t, "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>"+tt.extension+"</virbr:network></metadata>"+
				"<forward mode='nat'"+tt.forward+"/><bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'/>")
			ext, err := def.Extensions()
			if err != nil {
				t.Fatal(err)
			}
			seen := plan.Observations{Links: links}
			for _, text := range tt.routes {
				r := step.Route{}
				dest, link, _ := strings.Cut(text, " ")
				r.Dest, r.Link = netip.MustParsePrefix(dest), link
				seen.Routes = append(seen.Routes, r)
			}
			r := plan.NewResolution(def, ext, seen, plan.Memory{})
			if diff := cmp.Diff(tt.want, r.Where.Uplinks); diff != "" {
				t.Errorf("uplinks (-want +got):\n%s", diff)
			}
			if other := plan.NewResolution(def, ext, plan.Observations{}, plan.Memory{}); r.Same(other) != (tt.want == nil) {
				t.Errorf("that the uplinks are others is seen: %v", !r.Same(other))
			}
		})
	}
}
