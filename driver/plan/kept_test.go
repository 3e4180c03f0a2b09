package plan_test

import (
	"testing"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// TestKept: whatever can change while a network runs is among what a daemon puts right after
// a crash.
func TestKept(t *testing.T) {
	t.Parallel()
	def, err := xml.ParseNetwork([]byte(`<network><name>net</name><forward mode='nat'/><bridge name='virbr0' stp='off' delay='3'/><mtu size='9000'/>
<bandwidth><inbound average='1000'/></bandwidth><ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>
<ip family='ipv6' address='fd00::1' prefix='64'/><route address='10.2.0.0' prefix='16' gateway='10.1.0.2'/></network>`))
	if err != nil {
		t.Fatal(err)
	}
	resolution := plan.NewResolution(def, &xml.Extensions{}, plan.Observations{}, plan.Memory{})
	dirs := plan.Dirs{Run: "/run", Dnsmasq: "/lib"}
	led, err := plan.Firewall(def, resolution)
	if err != nil {
		t.Fatal(err)
	}
	running, err := plan.Running(def, resolution, led, nil, dirs)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := plan.Kept(def, resolution, nil, dirs)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, s := range append(led, kept...) {
		have[s.Key()] = true
	}
	for _, s := range running {
		if !have[s.Key()] {
			t.Errorf("nobody puts this right: %s", s.Do)
		}
	}
}
