package firewall_test

import (
	"testing"

	"github.com/virbr/virbr/firewall"
)

func TestChainNames(t *testing.T) {
	t.Parallel()
	for bridge, want := range map[string]string{
		"virbr0":          "leave_virbr0",
		"br-lan.100_x":    "leave_br-lan.100_x",
		"a+b@c=d":         "leave_a/2bb/40c/3dd",
		"2b":              "leave_2b",
		"+":               "leave_/2b",
		"brücke":          "leave_br/c3/bccke",
		"br0:1#;&":        "leave_br0/3a1/23/3b/26",
		"===============": "leave_/3d/3d/3d/3d/3d/3d/3d/3d/3d/3d/3d/3d/3d/3d/3d",
	} {
		got := firewall.ChainName(firewall.LeaveMap, bridge)
		if got != want {
			t.Errorf("ChainName(%q) = %q, want %q", bridge, got, want)
		}
		if back, ok := firewall.ChainBridge(firewall.LeaveMap, got); !ok || back != bridge {
			t.Errorf("ChainBridge(%q) = %q, %v; want %q", got, back, ok, bridge)
		}
	}
	for _, chain := range []string{
		"", "leave_", "leave", "enter_virbr0", "forward", "leave_/", "leave_/2", "leave_/2B", "leave_/zz", "leave_/61", "leave_a b", "leave_0123456789abcdef",
	} {
		if bridge, ok := firewall.ChainBridge(firewall.LeaveMap, chain); ok {
			t.Errorf("ChainBridge(%q) = %q, but it is nobody's", chain, bridge)
		}
	}
}

// FuzzChainBridge: whatever the kernel calls a chain, one that is taken for a
// bridge's has exactly the name that the bridge's chain has.
func FuzzChainBridge(f *testing.F) {
	f.Add("leave_virbr0")
	f.Add("leave_/2b/3d")
	f.Fuzz(func(t *testing.T, chain string) {
		bridge, ok := firewall.ChainBridge(firewall.LeaveMap, chain)
		if ok && firewall.ChainName(firewall.LeaveMap, bridge) != chain {
			t.Errorf("%q is taken for a chain of %q", chain, bridge)
		}
	})
}
