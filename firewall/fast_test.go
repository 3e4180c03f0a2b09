package firewall_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// fast compiles the rules of a network whose connections go by the flowtable, and
// of the same network without.
func fast(t *testing.T, forward xml.Forward) (with, without *firewall.Network) {
	t.Helper()
	def := &xml.Network{
		Name: "n", Bridge: xml.Bridge{Name: "virbr0"}, Forward: forward,
		IPs: []xml.IP{{Address: netip.MustParseAddr("10.0.0.1"), Prefix: 24}},
	}
	where := firewall.Where{Links: []string{"ppp0", "eth0"}}
	with, err := firewall.Compile(def, &xml.Extensions{Firewall: xml.Firewall{Offload: true}}, where)
	if err != nil {
		t.Fatal(err)
	}
	if without, err = firewall.Compile(def, nil, where); err != nil {
		t.Fatal(err)
	}
	return with, without
}

func TestFast(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		forward xml.Forward
		links   []string
	}{
		{"isolated", xml.Forward{}, []string{"eth0", "ppp0", "virbr0"}},
		{"nat", xml.Forward{Mode: xml.ForwardNAT}, []string{"eth0", "ppp0", "virbr0"}},
		{"of a device", xml.Forward{Mode: xml.ForwardRoute, Interfaces: []xml.ForwardInterface{{Dev: "wan"}}}, []string{"virbr0", "wan"}},
		{"open", xml.Forward{Mode: xml.ForwardOpen}, []string{"eth0", "ppp0", "virbr0"}},
	} {
		with, without := fast(t, tt.forward)
		if diff := cmp.Diff(tt.links, with.Fast); diff != "" {
			t.Errorf("%s: links (-want +got):\n%s", tt.name, diff)
		}
		if got, want := with.Plain().String(), without.String(); got != want {
			t.Errorf("%s, for a kernel without flowtables:\n%s\nwant\n%s", tt.name, got, want)
		}
		text := with.String()
		for _, want := range []string{
			"\tflowtable flows {\n\t\thook ingress priority 0\n\t\tdevices = { \"" + strings.Join(tt.links, `", "`) + "\" }\n\t}\n",
			"elements = { \"virbr0\" : jump fast_virbr0 }",
			"\tchain accelerate {\n\t\tflow add @flows\n\t}\n",
			"type filter hook forward priority 1000; policy accept;\n\t\tiifname vmap @fast\n\t\toifname vmap @fast\n",
			"meta l4proto tcp ct state established,related counter jump accelerate\n\t\tmeta l4proto udp ct state established,related counter jump accelerate\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: there is no %q in\n%s", tt.name, want, text)
			}
		}
		data, err := json.Marshal(with)
		back := &firewall.Network{}
		if err == nil {
			err = json.Unmarshal(data, back)
		}
		if err != nil || back.Validate() != nil || back.String() != text {
			t.Errorf("%s: through JSON (%v) it becomes\n%s", tt.name, err, back)
		}
		back.Fast = append(back.Fast, "eth0\" }")
		if back.Validate() == nil {
			t.Errorf("%s: the link %q is taken", tt.name, back.Fast)
		}
	}
}
