package netlink_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

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
	n, err := firewall.Compile(def, nil, firewall.Where{})
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

// bytecode returns the rules that the kernel was given, as libnftnl prints them:
// nft's own listing does not tell all, the flags of masquerade for one.
func bytecode(t *testing.T) string {
	t.Helper()
	text := nft(t, "", "--debug=netlink", "list", "table", "inet", firewall.TableName)
	text, _, _ = strings.Cut(text, "\ntable ")
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "inet virbr ") && !strings.Contains(line, "@") {
			b.WriteString(strings.Join(strings.Fields(line)[:3], " ") + "\n") // handles follow
		}
		if strings.HasPrefix(line, "  [ ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// corpus returns the networks that both forms are compared with: odd ones, and
// all goldens with rules.
func corpus(t *testing.T) map[string]*xml.Network {
	t.Helper()
	route := natDef("br-route", "10.1.2.1/9", "2001:db8:7::1/61")
	route.Forward = xml.Forward{Mode: xml.ForwardRoute, Interfaces: []xml.ForwardInterface{{Dev: "eth0.100"}}}
	snat := natDef("a+b@c=d", "172.16.0.1/12", "172.17.0.1/16", "10.0.0.1/8", "fd00::1/128")
	snat.Forward.NAT.AddressStart = netip.MustParseAddr("203.0.113.1")
	snat.Forward.NAT.AddressEnd = netip.MustParseAddr("203.0.113.9")
	single := natDef("virbr.1-2_", "192.168.7.1/32", "255.0.0.1/8", "128.0.0.1/1", "8000::1/1")
	single.Forward.NAT.AddressStart = netip.MustParseAddr("203.0.113.1")
	single.Forward.NAT.AddressEnd = netip.MustParseAddr("203.0.113.1")
	single.Forward.NAT.PortStart, single.Forward.NAT.PortEnd = 5000, 5000
	single.Forward.Interfaces = []xml.ForwardInterface{{Dev: "wlan0"}}
	masq := natDef("fifteen-letters", "192.168.7.1/24")
	masq.Forward.NAT.PortStart, masq.Forward.NAT.PortEnd = 65535, 65535
	all := map[string]*xml.Network{"route": route, "snat": snat, "single": single, "masquerade": masq}
	paths, err := filepath.Glob("../../tests/corpus/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == "ruleset.nft" && len(f.Data) > 0 }) {
			continue
		}
		for _, f := range archive.Files {
			if f.Name != "in.xml" {
				continue
			}
			def, err := xml.ParseNetwork(f.Data)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			all[path] = def.Choose(xml.Choice{ // as the driver does before it compiles
				IPv4: netip.MustParsePrefix("192.168.122.0/24"), IPv6: netip.MustParsePrefix("fd00:0:0:1::/64"),
			})
		}
	}
	return all
}

// TestFormsAgree loads each network as text and as values; nft must list the
// same table, down to the bytecode. The text comes with the base chains, so
// both start from nothing.
func TestFormsAgree(t *testing.T) {
	t.Parallel()
	defs := corpus(t)
	netnstest.NeedProgram(t, "nft")
	netnstest.Run(t, func(t *testing.T) {
		for name, def := range defs {
			if n := compile(t, def); n != nil { // else it has a guard only: see TestGuardFormsAgree
				agree(t, name, n)
			}
		}
		for name, n := range reached(t) {
			agree(t, name, n)
		}
	})
}

func agree(t *testing.T, name string, n *firewall.Network) {
	t.Helper()
	nft(t, n.String(), "-c", "-f", "-")
	nft(t, n.String(), "-f", "-")
	want, code := table(t), bytecode(t)
	if !strings.Contains(code, "[ reject ") {
		t.Fatalf("%s: no rules in the bytecode:\n%s", name, code)
	}
	nft(t, "", "flush", "ruleset")
	for _, what := range []string{"installed", "installed twice"} {
		install(t, n)
		unspoken(t)
		if diff := cmp.Diff(want, table(t)); diff != "" {
			t.Errorf("%s: %s (-text +values):\n%s", name, what, diff)
		}
		if diff := cmp.Diff(code, bytecode(t)); diff != "" {
			t.Errorf("%s: %s (-text +values):\n%s", name, what, diff)
		}
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

// unspoken deletes the rules that nft's language has no words for, and that the
// text has as comments: those about the packets in ICMP errors, and what notes the
// link that a connection came in by.
func unspoken(t *testing.T) {
	t.Helper()
	var script strings.Builder
	var lastChain string
	for line := range strings.Lines(nft(t, "", "-a", "list", "table", "inet", firewall.TableName)) {
		text := strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(text, "chain "); ok {
			lastChain, _, _ = strings.Cut(name, " ")
		}
		if strings.HasPrefix(text, "icmp") && !strings.Contains(text, " return ") || strings.Contains(text, "untracked icmp") || strings.HasPrefix(text, "ct mark 0x00000000 ") {
			_, handle, _ := strings.Cut(text, "# handle ")
			fmt.Fprintf(&script, "delete rule inet virbr %s handle %s\n", lastChain, handle)
		}
	}
	nft(t, script.String(), "-f", "-")
}
