package host

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	fwnetlink "github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestLegacy: what is done with iptables-legacy is done here with iptables-nft,
// which speaks the same language; kernels without the old tables are common.
func TestLegacy(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "iptables-nft", "iptables-nft-restore")
	netnstest.Run(t, func(t *testing.T) {
		iptables := func(args ...string) string {
			t.Helper()
			out, err := exec.CommandContext(t.Context(), "iptables-nft", args...).CombinedOutput()
			if err != nil {
				t.Fatalf("iptables-nft %q: %v\n%s", args, err, out)
			}
			return string(out)
		}
		l := legacy{program: "iptables-nft"}
		iptables("-P", "INPUT", "DROP")
		iptables("-N", "MINE")
		iptables("-A", "FORWARD", "-m", "comment", "--comment", `it's -j LIBVIRT_FWI "x"`, "-j", "MINE")
		before := iptables("-S")
		for _, chain := range []string{"LIBVIRT_INP", "LIBVIRT_FWI"} {
			iptables("-N", chain)
			iptables("-A", chain, "-i", "virbr0", "-j", "ACCEPT")
		}
		iptables("-I", "INPUT", "-j", "LIBVIRT_INP")
		iptables("-I", "FORWARD", "-m", "comment", "--comment", `a "quoted" word`, "-g", "LIBVIRT_FWI")
		iptables("-A", "MINE", "-s", "10.0.0.0/8", "-j", "LIBVIRT_FWI")
		for range 2 { // the second time there is nothing to do
			var dropped fwnetlink.Dropped
			for _, table := range []string{"filter", "nat", "raw", "no such table"} {
				if err := l.drop(t.Context(), table, &dropped); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(before, iptables("-S")); diff != "" {
				t.Errorf("rules of others (-before +after):\n%s", diff)
			}
			if !slices.Equal(dropped.Closed, []string{"policy of INPUT"}) {
				t.Errorf("closed: %q", dropped.Closed)
			}
			if dropped.Input != (len(dropped.Parts) > 0) {
				t.Errorf("dropped: %+v", dropped)
			}
		}
		l.program = "iptables-nobody-has"
		var none fwnetlink.Dropped
		if err := l.drop(t.Context(), "nat", &none); err == nil || !strings.Contains(err.Error(), "iptables-nobody-has -t nat -S | grep LIBVIRT") {
			t.Errorf("without the program: %v", err)
		}
	})
}
