package netlink_test

import (
	"os"
	"strings"
	"testing"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/qemutest"
	"github.com/virbr/virbr/xml"
)

// TestPacketsOffloaded: the packet table is the same for networks whose
// connections go by the flowtable, on a kernel that has such.
func TestPacketsOffloaded(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules: []string{"bridge", "veth", "nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_reject_inet",
			"nf_conntrack_netlink", "nf_flow_table_inet", "nft_flow_offload"},
		Programs: []string{"nft"},
	}, func(t *testing.T) {
		defs := networks()
		hosts := labOf(t, defs)
		if has, err := netlink.Flowtables(open(t)); !has || err != nil {
			t.Fatalf("the kernel has flowtables: %v, %v", has, err)
		}
		offload := &xml.Extensions{Firewall: xml.Firewall{Offload: true}}
		for range 2 { // again: nothing to do
			for _, def := range defs {
				n, err := firewall.Compile(def, offload, firewall.Where{Links: []string{"up0", "up1"}})
				if err != nil {
					t.Fatal(err)
				}
				install(t, n)
			}
		}
		flows := nft(t, "", "list", "flowtable", "inet", firewall.TableName, firewall.FlowtableName)
		for _, link := range []string{"up0", "up1", "br-nat", "br-none"} {
			if !strings.Contains(flows, link) {
				t.Errorf("%s is not in the flowtable:\n%s", link, flows)
			}
		}
		packetTable(t, hosts)
		known, err := os.ReadFile("/proc/net/nf_conntrack")
		if err != nil || !strings.Contains(string(known), "[OFFLOAD]") {
			t.Errorf("no connection went by the flowtable (%v):\n%s", err, known)
		}
		for _, def := range defs {
			remove(t, def.Bridge.Name)
		}
		if left := nft(t, "", "list", "ruleset"); left != "" {
			t.Errorf("of all networks is left:\n%s", left)
		}
	})
}

// TestFlowtableText: what nft makes of the text is what the batch makes.
func TestFlowtableText(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules:  []string{"bridge", "nf_tables", "nft_ct", "nft_chain_nat", "nft_masq", "nft_reject_inet", "nf_flow_table_inet", "nft_flow_offload"},
		Programs: []string{"nft"},
	}, func(t *testing.T) {
		addBridge(t, "virbr0")
		addBridge(t, "up0")
		n, err := firewall.Compile(&xml.Network{Name: "n", Bridge: xml.Bridge{Name: "virbr0"}},
			&xml.Extensions{Firewall: xml.Firewall{Offload: true}}, firewall.Where{Links: []string{"up0"}})
		if err != nil {
			t.Fatal(err)
		}
		install(t, n)
		batch := nft(t, "", "-s", "list", "ruleset")
		remove(t, n.Bridge)
		nft(t, n.String(), "-f", "-")
		if text := nft(t, "", "-s", "list", "ruleset"); text != batch {
			t.Errorf("by the text:\n%s\nby the batch:\n%s", text, batch)
		}
	})
}
