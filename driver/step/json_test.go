package step_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// samples holds one op of each type, with every field set.
func samples(t testing.TB) []step.Op {
	t.Helper()
	def, err := xml.ParseNetwork([]byte("<network><name>net</name><forward dev='eth1' mode='nat'><nat ipv6='yes'><address start='192.0.2.1' end='192.0.2.9'/><port start='5' end='6'/></nat></forward>" +
		"<bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'/><ip family='ipv6' address='fd00::1' prefix='64'/></network>"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := firewall.Compile(def, nil, firewall.Where{})
	if err != nil {
		t.Fatal(err)
	}
	mac := xml.MAC{0x52, 0x54, 0, 1, 2, 3}
	rate := &xml.Rate{Average: 1, Peak: 2, Floor: 3, Burst: 4}
	return []step.Op{
		step.AddBridge{Name: "virbr0", MAC: mac}, step.DelLink{Name: "virbr0"}, step.SetMTU{Link: "virbr0", MTU: 1400},
		step.SetBridge{Bridge: "virbr0", Attr: "stp_state", Value: 1},
		step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1", IfExists: true},
		step.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("10.1.0.1/24"), Broadcast: netip.MustParseAddr("10.1.0.255")},
		step.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00::1/64")},
		step.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00:1::1/64"), Deprecated: true},
		step.DelAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00::1/64")},
		step.RaiseLimit{Key: "fs/inotify/max_user_instances", Value: 256},
		step.PlugMember{Bridge: "virbr0", Member: step.Member{Name: "vnet0", Index: 7, MAC: mac, Settings: []step.PortSetting{{ID: 33, Value: []byte{1}}},
			VLANs: []step.PortVLAN{{Flags: 6, ID: 1}}, Entries: []step.PortEntry{{MAC: mac, VLAN: 1, State: 64}}, Guests: []xml.MAC{mac}}},
		step.SetUp{Link: "virbr0"}, step.SetDown{Link: "virbr0"},
		step.AddRoute{Link: "virbr0", Dest: netip.MustParsePrefix("10.2.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.2"), Metric: 7},
		step.DelRoute{Link: "virbr0", Dest: netip.MustParsePrefix("10.2.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.2"), Metric: 7},
		step.AddRules{Rules: rules}, step.DelRules{Bridge: "virbr0"},
		step.FillChecksums{Bridge: "virbr0"}, step.UnfillChecksums{Bridge: "virbr0"},
		step.SetZone{Link: "virbr0", Zone: "dmz", Routed: true, Network: "net"}, step.UnsetZone{Link: "virbr0"},
		step.WriteFile{Path: "/a b", Mode: 0o600, Data: "x\n\"<&>\u2028é"},
		step.StartDnsmasq{Conf: "/c", PidFile: "/p", Bridge: "virbr0", Wide: true, Aside: true}, step.AwaitDnsmasq{PidFile: "/p"},
		step.SignalDnsmasq{PidFile: "/p"}, step.StopDnsmasq{PidFile: "/p"},
		step.RegisterDNS{Link: "virbr0", Domain: "a.test", Server: netip.MustParseAddr("fd00::1")},
		step.ShapeNetwork{Bridge: "virbr0", Bandwidth: xml.Bandwidth{Inbound: rate, Outbound: rate, ClassID: 5}},
		step.UnshapeNetwork{Bridge: "virbr0"},
		step.ShapePort{Bridge: "virbr0", Class: 3, MAC: mac, Floor: 1, Ceil: 2, Average: 3},
		step.UnshapePort{Bridge: "virbr0", Class: 3},
		step.SetDefaultRate{Bridge: "virbr0", Rate: 9, Inbound: *rate},
		step.DropLibvirtRules{}, step.DropLibvirtQueue{Bridge: "virbr0"}, step.DropRules{},
		step.ReplaceRules{From: rules, To: rules}, step.RestoreRules{Rules: []*firewall.Network{rules}, Checksums: []string{"virbr0"}},
		step.ProxyNeighbour{Link: "eth0", Address: netip.MustParseAddr("2001:db8::7")}, step.UnproxyNeighbour{Link: "eth0", Address: netip.MustParseAddr("192.0.2.7")},
		step.RouteGuest{Bridge: "virbr0", Address: netip.MustParseAddr("2001:db8::7")}, step.UnrouteGuest{Bridge: "virbr0", Address: netip.MustParseAddr("192.0.2.7")},
		step.RouteLoopback{Bridge: "virbr0"}, step.UnrouteLoopback{Bridge: "virbr0"},
		step.EndConnections{Proto: "tcp", Listen: netip.MustParseAddr("192.0.2.1"), Start: 80, End: 90, Guest: netip.MustParseAddr("10.1.0.9")},
		step.EndConnections{Guest: netip.MustParseAddr("fd00::9")},
		step.EndUntranslated{Taken: []step.Taken{{Proto: "udp", Listen: netip.MustParseAddr("0.0.0.0"), Start: 80, End: 90}, {Listen: netip.MustParseAddr("192.0.2.1")}}},
		step.HearRouters{Bridge: "virbr0"}, step.UnhearRouters{Bridge: "virbr0"},
		step.RetractPrefixes{Link: "virbr0", Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00::/64")}},
		step.AcceptInForeignTables{Bridge: "virbr0", Forward: true, Serve: []step.Served{{Proto: "udp", Port: 67}}}, step.UnacceptInForeignTables{Bridge: "virbr0"}, step.RepairForeignTables{},
		step.SnoopGuests{Bridge: "virbr0"}, step.UnsnoopGuests{Bridge: "virbr0"},
		step.AcceptInLibvirtChains{Bridge: "virbr0", Own: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Stray: []netip.Addr{netip.MustParseAddr("10.1.0.9")}},
		step.UnacceptInLibvirtChains{Bridge: "virbr0"},
		step.RouteNetwork{
			Bridge: "virbr0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}, Through: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")},
			IPv4: &step.Way{Link: "eth1", Gateway: netip.MustParseAddr("192.0.2.1"), Guard: true}, IPv6: &step.Way{Guard: true},
		}, step.UnrouteNetwork{Bridge: "virbr0"},
	}
}

// declared returns the names of all types with the method kind, from the source.
func declared(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "kind" {
				names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	return names
}

func TestOpsSurviveJSON(t *testing.T) {
	t.Parallel()
	want := samples(t)
	have := map[string]bool{}
	for _, op := range want {
		have[strings.TrimPrefix(fmt.Sprintf("%T", op), "step.")] = true
	}
	for _, name := range declared(t) {
		if !have[name] {
			t.Errorf("op %s has no sample in this test", name)
		}
	}
	data, err := step.MarshalOps(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := step.UnmarshalOps(data)
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, got, equal, prefix, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestRecordOfAnOlderVersion: a record as it lies on disks is read for ever.
func TestRecordOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	const record = `[
  {"op": "unshape-network", "args": {"Bridge": "virbr0"}},
  {"op": "stop-dnsmasq", "args": {"PidFile": "/run/libvirt/network/net.pid"}},
  {"op": "set-down", "args": {"Link": "virbr0"}},
  {"op": "unfill-checksums", "args": {"Bridge": "virbr0"}},
  {"op": "del-rules", "args": {"Bridge": "virbr0"}},
  {"op": "unset-zone", "args": {"Link": "virbr0"}},
  {"op": "del-link", "args": {"Name": "virbr0"}}
]`
	got, err := step.UnmarshalOps([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	want := []step.Op{
		step.UnshapeNetwork{Bridge: "virbr0"}, step.StopDnsmasq{PidFile: "/run/libvirt/network/net.pid"}, step.SetDown{Link: "virbr0"},
		step.UnfillChecksums{Bridge: "virbr0"}, step.DelRules{Bridge: "virbr0"}, step.UnsetZone{Link: "virbr0"}, step.DelLink{Name: "virbr0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestBrokenRecords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{``, "reading ops: "},
		{`{}`, "reading ops: "},
		{`[{"op": "set-up", "args": {"Link": "a"}}, {"op": "fly"}]`, `reading op 1: unknown op "fly"`},
		{`[{"op": "set-up", "args": {"Link": 7}}]`, `reading op 0 "set-up": `},
		{`[{}]`, `reading op 0: unknown op ""`},
	} {
		if ops, err := step.UnmarshalOps([]byte(tt.text)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want %q", tt.text, ops, err, tt.want)
		}
	}
}

// TestOneLineAnOp: whatever the values, an op is one printable line.
func TestOneLineAnOp(t *testing.T) {
	t.Parallel()
	hostile := []step.Op{
		step.DelLink{Name: "a\nb"}, step.DelLink{}, step.SetSysctl{Key: "a\x1b[2J", Value: "1\n"},
		step.WriteFile{Path: "/a\nb\u202e", Data: "x"}, step.RegisterDNS{Domain: "a\rb"}, step.AddRules{},
	}
	for _, op := range append(samples(t), hostile...) {
		if text := op.String(); text == "" || strings.ContainsAny(text, "\n\r\x1b\u202e") {
			t.Errorf("%#v prints as %q", op, text)
		}
	}
}

// TestKeys: an op that makes something and the one that takes it back are about the
// same thing, and ops whose values cannot be compared have keys like all others.
func TestKeys(t *testing.T) {
	t.Parallel()
	a := netip.MustParseAddr("fd00::9")
	for _, pair := range [][2]step.Op{
		{step.AddBridge{Name: "a"}, step.DelLink{Name: "a", MAC: xml.MAC{1}}},
		{step.SetUp{Link: "a"}, step.SetDown{Link: "a"}},
		{step.AddAddress{Link: "a", Address: netip.PrefixFrom(a, 64), Deprecated: true}, step.DelAddress{Link: "a", Address: netip.PrefixFrom(a, 64)}},
		{step.AddRules{Rules: &firewall.Network{Bridge: "a"}}, step.DelRules{Bridge: "a"}},
		{step.FillChecksums{Bridge: "a"}, step.UnfillChecksums{Bridge: "a"}},
		{step.SetZone{Link: "a", Zone: "dmz"}, step.UnsetZone{Link: "a"}},
		{step.StartDnsmasq{PidFile: "/a", Aside: true}, step.StopDnsmasq{PidFile: "/a"}},
		{step.ShapeNetwork{Bridge: "a"}, step.UnshapeNetwork{Bridge: "a"}},
		{step.ShapePort{Bridge: "a", Class: 3}, step.UnshapePort{Bridge: "a", Class: 3}},
		{step.ProxyNeighbour{Link: "a", Address: a}, step.UnproxyNeighbour{Link: "a", Address: a}},
		{step.RouteGuest{Bridge: "a", Address: a}, step.UnrouteGuest{Bridge: "a", Address: a}},
		{step.SnoopGuests{Bridge: "a"}, step.UnsnoopGuests{Bridge: "a"}},
		{step.HearRouters{Bridge: "a"}, step.UnhearRouters{Bridge: "a"}},
		{step.AcceptInForeignTables{Bridge: "a", Serve: []step.Served{{Proto: "udp"}}}, step.UnacceptInForeignTables{Bridge: "a"}},
		{step.AcceptInLibvirtChains{Bridge: "a", Stray: []netip.Addr{a}}, step.UnacceptInLibvirtChains{Bridge: "a"}},
	} {
		if x, y := step.Key(pair[0]), step.Key(pair[1]); x != y {
			t.Errorf("%s and %s have the keys %q and %q", pair[0], pair[1], x, y)
		}
	}
	slices := []step.Op{step.AcceptInForeignTables{Bridge: "a", Serve: []step.Served{{}}}, step.RetractPrefixes{Link: "a", Prefixes: []netip.Prefix{{}}}}
	if got := step.StopOrder(append(slices, slices...)); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	known := map[string]step.Op{}
	for _, op := range samples(t) {
		if key := step.Key(op); key == "" || strings.ContainsAny(key, "\n\r") {
			t.Errorf("%s has the key %q", op, key)
		} else {
			known[key] = op
		}
	}
	if len(known) < 30 {
		t.Errorf("%d keys", len(known))
	}
}
