package qemutest

import (
	"strings"
	"testing"
)

// TestRun boots a guest that loads a module with dependencies and runs a
// program with libraries.
func TestRun(t *testing.T) {
	t.Parallel()
	out := Run(t, Guest{
		Modules:  []string{"bridge", "act_csum", "sch_ingress"},
		Programs: []string{"ip", "tc"},
		Files:    map[string]string{"/etc/greeting": "hello from the initramfs\n"},
		Init:     "cat /etc/greeting && ip link add br0 type bridge && ip -o link show br0 && tc qdisc add dev br0 clsact",
	})
	for _, want := range []string{"hello from the initramfs\n", "br0: <BROADCAST,MULTICAST>"} {
		if !strings.Contains(out, want) {
			t.Errorf("the console does not show %q:\n%s", want, out)
		}
	}
}
