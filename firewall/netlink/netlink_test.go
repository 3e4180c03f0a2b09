package netlink_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// natDef returns a NAT network with the subnets given.
func natDef(bridge string, subnets ...string) *xml.Network {
	def := &xml.Network{
		Name:    bridge,
		Bridge:  xml.Bridge{Name: bridge},
		Forward: xml.Forward{Mode: xml.ForwardNAT, NAT: xml.NAT{IPv6: xml.Yes}},
	}
	for _, s := range subnets {
		p := netip.MustParsePrefix(s)
		def.IPs = append(def.IPs, xml.IP{Address: p.Addr(), Prefix: uint32(p.Bits())})
	}
	return def
}

func compile(t *testing.T, def *xml.Network) *firewall.Network {
	t.Helper()
	n, err := firewall.Compile(def)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func open(t *testing.T) *netlink.Conn {
	t.Helper()
	conn, err := netlink.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return conn
}

func install(t *testing.T, nets ...*firewall.Network) {
	t.Helper()
	if err := netlink.Install(open(t), nets...); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, bridge string) {
	t.Helper()
	if err := netlink.Remove(open(t), bridge); err != nil {
		t.Fatal(err)
	}
}

// nft runs the program and returns its output.
func nft(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nft", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s\n%s", strings.Join(args, " "), err, out, numbered(stdin))
	}
	return string(out)
}

// numbered gives a script the line numbers that nft's messages name.
func numbered(script string) string {
	var b strings.Builder
	for i, line := range strings.Split(script, "\n") {
		fmt.Fprintf(&b, "%3d %s\n", i+1, line)
	}
	return b.String()
}

// table returns what nft says about our table, sorted, without handles; nil: no
// such table.
func table(t *testing.T) []string {
	t.Helper()
	return listing(t, false)
}

// listing returns one line of JSON an object of our table.
func listing(t *testing.T, handles bool) []string {
	t.Helper()
	if !strings.Contains(nft(t, "", "list", "tables"), "table inet "+firewall.TableName+"\n") {
		return nil
	}
	var doc struct{ Nftables []map[string]map[string]any }
	if err := json.Unmarshal([]byte(nft(t, "", "-j", "list", "table", "inet", firewall.TableName)), &doc); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{} // position of a rule in its chain
	var lines []string
	for _, object := range doc.Nftables {
		for kind, o := range object {
			if kind == "metainfo" {
				continue
			}
			if !handles {
				delete(o, "handle")
			}
			if kind == "rule" {
				chain := o["chain"].(string)
				count[chain]++
				o["position"] = count[chain]
			}
			if elements, ok := o["elem"].([]any); ok { // hash order
				slices.SortFunc(elements, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			line, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line))
		}
	}
	slices.Sort(lines)
	return lines
}

// corpus returns the networks that both forms are compared with: by name.
func corpus(t *testing.T) map[string]*xml.Network {
	t.Helper()
	route := natDef("br-route", "10.1.2.1/9", "2001:db8:7::1/61")
	route.Forward = xml.Forward{Mode: xml.ForwardRoute, Interfaces: []xml.ForwardInterface{{Dev: "eth0.100"}}}
	none := natDef("virbr9")
	none.Forward = xml.Forward{}
	snat := natDef("a+b@c=d", "172.16.0.1/12", "172.17.0.1/16", "10.0.0.1/8", "fd00::1/128")
	snat.Forward.NAT.AddressStart = netip.MustParseAddr("203.0.113.1")
	snat.Forward.NAT.AddressEnd = netip.MustParseAddr("203.0.113.9")
	single := natDef("virbr.1-2_", "192.168.7.1/32", "255.0.0.1/8")
	single.Forward.NAT.AddressStart = netip.MustParseAddr("203.0.113.1")
	single.Forward.NAT.AddressEnd = netip.MustParseAddr("203.0.113.1")
	single.Forward.NAT.PortStart, single.Forward.NAT.PortEnd = 5000, 5000
	single.Forward.Interfaces = []xml.ForwardInterface{{Dev: "wlan0"}}
	return map[string]*xml.Network{
		"nat": natDef("virbr0", "192.168.122.1/24", "2001:db8::1/64"), "route": route,
		"none": none, "snat": snat, "single": single,
	}
}

// TestFormsAgree loads each network as text and as values; nft must list the
// same table. The text comes with the base chains, so both start from nothing.
func TestFormsAgree(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "nft")
		for name, def := range corpus(t) {
			n := compile(t, def)
			nft(t, n.String(), "-c", "-f", "-")
			nft(t, n.String(), "-f", "-")
			want := table(t)
			nft(t, "", "flush", "ruleset")
			install(t, n)
			if diff := cmp.Diff(want, table(t)); diff != "" {
				t.Errorf("%s: values differ from text (-text +values):\n%s", name, diff)
			}
			install(t, n)
			if diff := cmp.Diff(want, table(t)); diff != "" {
				t.Errorf("%s: installed twice (-text +values):\n%s", name, diff)
			}
			remove(t, n.Bridge)
			if got := table(t); got != nil {
				t.Errorf("%s: removing left %q", name, got)
			}
			nft(t, n.String(), "-f", "-")
			remove(t, n.Bridge)
			if got := table(t); got != nil {
				t.Errorf("%s: removing what was loaded as text left %q", name, got)
			}
		}
	})
}

var _ = os.Stat
var _ = filepath.Join
