package kernel

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
	"github.com/virbr/virbr/xml"
)

// TestLimits: limits in both directions, and checksum filters on the same qdisc.
// Each goes without taking the other along, and in the end nothing is left.
func TestLimits(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules:  []string{"bridge", "nf_tables", "sch_ingress", "sch_htb", "sch_sfq", "cls_u32", "cls_fw", "act_csum", "act_police"},
		Programs: []string{"ip", "tc", "nft"},
	}, func(t *testing.T) {
		h, _ := newHost(t)
		do(t, h, step.AddBridge{Name: bridge})
		before := netnstest.Snapshot(t)
		shape := step.ShapeNetwork{Bridge: bridge, Bandwidth: xml.Bandwidth{
			Inbound: &xml.Rate{Average: 1000, Peak: 5000}, Outbound: &xml.Rate{Average: 1000, Peak: 2000, Burst: 512},
		}}
		police := " rate 8Mbit burst 512Kb mtu 64Kb action drop"
		limits := []string{police, "class htb 1:1 root rate 8Mbit ceil 40Mbit", "leaf 2:", "fw chain 0 handle 0x1 classid 1:1"}
		for _, c := range []struct {
			name         string
			ops          []step.Op
			limited, sum bool
		}{
			{"limits", []step.Op{shape}, true, false},
			{"and checksums", []step.Op{step.FillChecksums{Bridge: bridge}}, true, true},
			{"both again", []step.Op{shape, step.FillChecksums{Bridge: bridge}}, true, true},
			{"limits lifted", []step.Op{step.UnshapeNetwork{Bridge: bridge}}, false, true},
			{"and back", []step.Op{shape}, true, true},
			{"no checksums", []step.Op{step.UnfillChecksums{Bridge: bridge}}, true, false},
		} {
			do(t, h, c.ops...)
			text := netnstest.Snapshot(t)["tc "+bridge]
			for _, limit := range limits {
				if strings.Contains(text, limit) != c.limited {
					t.Errorf("%s: %q is there: %v, want %v", c.name, limit, !c.limited, c.limited)
				}
			}
			if strings.Contains(text, "csum (iph, udp)") != c.sum {
				t.Errorf("%s: the checksum filter is there: %v, want %v", c.name, !c.sum, c.sum)
			}
			if n := strings.Count(text, police); n > 1 {
				t.Errorf("%s: %d policers", c.name, n)
			}
			if t.Failed() {
				t.Fatalf("tc shows\n%s", text)
			}
		}
		do(t, h, step.UnshapeNetwork{Bridge: bridge})
		same(t, before, netnstest.Snapshot(t))
	})
}

// same wants two snapshots to be equal.
func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what is left behind (-before +after):\n%s", diff)
	}
}
