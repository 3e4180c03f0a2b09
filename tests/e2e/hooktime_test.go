package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestHookTime prints what calls of the hook take, from the start of the process to
// its end, and wants that each of them succeeds: for a network that has no
// extensions, for one that begins to have some, and for one that has them.
func TestHookTime(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		d := startHooked(t)
		d.up("default", hookedXML)
		live := "<hookData>\n" + d.virsh("net-dumpxml", "default") + "</hookData>"
		script := "/etc/libvirt/hooks/network.d/50-virbr"
		call := func(op string) time.Duration {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), script, "default", op, "begin", "-")
			cmd.Stdin = strings.NewReader(live)
			begin := time.Now()
			out, err := cmd.CombinedOutput()
			took := time.Since(begin)
			if err != nil {
				t.Fatalf("%s: %v\n%s", op, err, out)
			}
			return took
		}
		median := func(op string) time.Duration {
			var list []time.Duration
			for range 21 {
				list = append(list, call(op))
			}
			return middle(list)
		}
		lines := []string{fmt.Sprintf("no extensions, port-created  %v", median("port-created"))}
		for name, elements := range map[string]string{
			"prefix":  "<virbr:ipv6 advprefix='fd00:5::/64'/>",
			"forward": "<virbr:portForward proto='tcp' guest='192.168.122.9'><virbr:range start='8080'/></virbr:portForward>",
		} {
			extendFile(t, "default", elements)
			var started, stopped []time.Duration
			for range 5 {
				started = append(started, call("started"))
				stopped = append(stopped, call("stopped"))
			}
			call("started")
			lines = append(lines, fmt.Sprintf("%-8s started %v, stopped %v, port-created %v", name, middle(started), middle(stopped), median("port-created")))
			call("stopped")
		}
		t.Log("calls of the hook (median):\n" + strings.Join(lines, "\n"))
		d.virsh("net-destroy", "default")
		nothingAdded(t)
	})
}

// middle returns the median.
func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2].Round(10 * time.Microsecond)
}
