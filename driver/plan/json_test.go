package plan_test

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

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/xml"
)

// samples holds one op of each type, with every field set.
func samples(t testing.TB) []plan.Op {
	t.Helper()
	rules, err := firewall.Compile(parse(t, "<forward dev='eth1' mode='nat'><nat ipv6='yes'><address start='192.0.2.1' end='192.0.2.9'/><port start='5' end='6'/></nat></forward>"+
		"<bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'/><ip family='ipv6' address='fd00::1' prefix='64'/>"), nil, firewall.Where{})
	if err != nil {
		t.Fatal(err)
	}
	mac := xml.MAC{0x52, 0x54, 0, 1, 2, 3}
	rate := &xml.Rate{Average: 1, Peak: 2, Floor: 3, Burst: 4}
	return []plan.Op{
		plan.AddBridge{Name: "virbr0", MAC: mac}, plan.DelLink{Name: "virbr0"}, plan.SetMTU{Link: "virbr0", MTU: 1400},
		plan.SetBridge{Bridge: "virbr0", Attr: "stp_state", Value: 1},
		plan.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1", IfExists: true},
		plan.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("10.1.0.1/24"), Broadcast: netip.MustParseAddr("10.1.0.255")},
		plan.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00::1/64")},
		plan.AddAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00:1::1/64"), Deprecated: true},
		plan.DelAddress{Link: "virbr0", Address: netip.MustParsePrefix("fd00::1/64")},
		plan.RaiseLimit{Key: "fs/inotify/max_user_instances", Value: 256},
		plan.SetUp{Link: "virbr0"}, plan.SetDown{Link: "virbr0"},
		plan.AddRoute{Link: "virbr0", Dest: netip.MustParsePrefix("10.2.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.2"), Metric: 7},
		plan.AddRules{Rules: rules}, plan.DelRules{Bridge: "virbr0"},
		plan.FillChecksums{Bridge: "virbr0"}, plan.UnfillChecksums{Bridge: "virbr0"},
		plan.SetZone{Link: "virbr0", Zone: "dmz", Routed: true, Network: "net"}, plan.UnsetZone{Link: "virbr0"},
		plan.WriteFile{Path: "/a b", Mode: 0o600, Data: "x\n\"<&>\u2028é"},
		plan.StartDnsmasq{Conf: "/c", PidFile: "/p", Bridge: "virbr0", Wide: true, Aside: true}, plan.AwaitDnsmasq{PidFile: "/p"},
		plan.SignalDnsmasq{PidFile: "/p"}, plan.StopDnsmasq{PidFile: "/p"},
		plan.RegisterDNS{Link: "virbr0", Domain: "a.test", Server: netip.MustParseAddr("fd00::1")},
		plan.ShapeNetwork{Bridge: "virbr0", Bandwidth: xml.Bandwidth{Inbound: rate, Outbound: rate, ClassID: 5}},
		plan.UnshapeNetwork{Bridge: "virbr0"},
		plan.ShapePort{Bridge: "virbr0", Class: 3, MAC: mac, Floor: 1, Ceil: 2, Average: 3},
		plan.UnshapePort{Bridge: "virbr0", Class: 3},
		plan.SetDefaultRate{Bridge: "virbr0", Rate: 9, Inbound: *rate},
		plan.DropLibvirtRules{}, plan.DropLibvirtQueue{Bridge: "virbr0"}, plan.DropRules{},
		plan.ReplaceRules{From: rules, To: rules}, plan.RestoreRules{Rules: []*firewall.Network{rules}, Checksums: []string{"virbr0"}},
		plan.ProxyNeighbour{Link: "eth0", Address: netip.MustParseAddr("2001:db8::7")}, plan.UnproxyNeighbour{Link: "eth0", Address: netip.MustParseAddr("192.0.2.7")},
		plan.RouteGuest{Bridge: "virbr0", Address: netip.MustParseAddr("2001:db8::7")}, plan.UnrouteGuest{Bridge: "virbr0", Address: netip.MustParseAddr("192.0.2.7")},
		plan.RouteLoopback{Bridge: "virbr0"}, plan.UnrouteLoopback{Bridge: "virbr0"},
		plan.EndConnections{Proto: "tcp", Listen: netip.MustParseAddr("192.0.2.1"), Start: 80, End: 90, Guest: netip.MustParseAddr("10.1.0.9")},
		plan.EndConnections{Guest: netip.MustParseAddr("fd00::9")},
		plan.EndUntranslated{Taken: []plan.Taken{{Proto: "udp", Listen: netip.MustParseAddr("0.0.0.0"), Start: 80, End: 90}, {Listen: netip.MustParseAddr("192.0.2.1")}}},
		plan.HearRouters{Bridge: "virbr0"}, plan.UnhearRouters{Bridge: "virbr0"},
		plan.RetractPrefixes{Link: "virbr0", Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00::/64")}},
		plan.AcceptElsewhere{Bridge: "virbr0", Forward: true, Serve: []plan.Served{{Proto: "udp", Port: 67}}}, plan.UnacceptElsewhere{Bridge: "virbr0"},
		plan.SnoopGuests{Bridge: "virbr0"}, plan.UnsnoopGuests{Bridge: "virbr0"},
		plan.AcceptBeside{Bridge: "virbr0", Own: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Stray: []netip.Addr{netip.MustParseAddr("10.1.0.9")}},
		plan.UnacceptBeside{Bridge: "virbr0"},
	}
}

// declared returns the names of all types with the method op, from the source.
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
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "op" {
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
		have[strings.TrimPrefix(fmt.Sprintf("%T", op), "plan.")] = true
	}
	for _, name := range declared(t) {
		if !have[name] {
			t.Errorf("op %s has no sample in this test", name)
		}
	}
	data, err := plan.MarshalOps(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.UnmarshalOps(data)
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
	got, err := plan.UnmarshalOps([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Op{
		plan.UnshapeNetwork{Bridge: "virbr0"}, plan.StopDnsmasq{PidFile: "/run/libvirt/network/net.pid"}, plan.SetDown{Link: "virbr0"},
		plan.UnfillChecksums{Bridge: "virbr0"}, plan.DelRules{Bridge: "virbr0"}, plan.UnsetZone{Link: "virbr0"}, plan.DelLink{Name: "virbr0"},
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
		if ops, err := plan.UnmarshalOps([]byte(tt.text)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want %q", tt.text, ops, err, tt.want)
		}
	}
}

// TestOneLineAnOp: whatever the values, an op is one printable line.
func TestOneLineAnOp(t *testing.T) {
	t.Parallel()
	hostile := []plan.Op{
		plan.DelLink{Name: "a\nb"}, plan.DelLink{}, plan.SetSysctl{Key: "a\x1b[2J", Value: "1\n"},
		plan.WriteFile{Path: "/a\nb\u202e", Data: "x"}, plan.RegisterDNS{Domain: "a\rb"}, plan.AddRules{},
	}
	for _, op := range append(samples(t), hostile...) {
		if text := op.String(); text == "" || strings.ContainsAny(text, "\n\r\x1b\u202e") {
			t.Errorf("%#v prints as %q", op, text)
		}
	}
}
