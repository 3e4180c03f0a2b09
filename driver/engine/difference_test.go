package engine_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/engine"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

func TestDifference(t *testing.T) {
	t.Parallel()
	steps := func(def, ext string) []step.Step {
		t.Helper()
		d, err := xml.ParseNetwork([]byte("<network><name>net</name><forward mode='nat'/><bridge name='virbr0'/>" + def + "</network>"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := xml.ParseExtensions([]byte("<network>" + ext + "</network>"))
		if err != nil {
			t.Fatal(err)
		}
		list, err := plan.Firewall(d, plan.NewResolution(d, e, plan.Observations{Routes: []step.Route{{Dest: netip.MustParsePrefix("203.0.113.0/24"), Link: "eth0"}}}, plan.Memory{}))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	const ip = "<ip address='10.1.0.1' prefix='24'/>"
	for name, c := range map[string]struct {
		before, after []step.Step
		want          []string
	}{
		"nothing":  {steps(ip, ""), steps(ip, ""), nil},
		"a public": {steps(ip, ""), steps(ip, "<address public='203.0.113.7' guest='10.1.0.9'/>"), []string{"firewall replace virbr0", "firewall of others: accept virbr0", "route add 203.0.113.7 dev virbr0", "neighbour proxy 203.0.113.7 dev eth0"}},
		"no public": {steps(ip, "<address public='203.0.113.7' guest='10.1.0.9'/>"), steps(ip, ""),
			[]string{"firewall replace virbr0", "firewall of others: accept virbr0", "neighbour unproxy 203.0.113.7 dev eth0", "route delete 203.0.113.7 dev virbr0"}},
		"coexist='no'": {steps(ip, ""), steps(ip, "<firewall coexist='no'/>"), []string{"zone set virbr0 libvirt (if firewalld runs)", "firewall of others: forget virbr0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, tr := range engine.Difference(c.before, c.after) {
				if tr.Same {
					continue
				}
				got = append(got, tr.Op().String())
				if tr.Back() == nil {
					t.Errorf("nothing takes %q back", tr.Do)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
