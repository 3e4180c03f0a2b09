package rpc_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

// extension makes a call of the extension program.
func (c *conn) extension(procedure int32, args wire.Message) ([]byte, *proto.Error) {
	c.t.Helper()
	c.serial++
	want := wire.Header{Program: proto.ExtensionProgram, Version: proto.ExtensionVersion, Procedure: procedure, Serial: c.serial}
	c.frame(want, args)
	h, payload := c.next()
	want.Type, want.Status = wire.TypeReply, h.Status
	if diff := cmp.Diff(want, h); diff != "" {
		c.t.Fatalf("header of the reply (-want +got):\n%s", diff)
	}
	if h.Status == wire.StatusOK {
		return payload, nil
	}
	e := decodeError(c.t, payload)
	return nil, &e
}

// extended makes a call of the extension program that succeeds.
func (c *conn) extended(procedure int32, args, result wire.Message) {
	c.t.Helper()
	payload, e := c.extension(procedure, args)
	if e != nil {
		c.t.Fatalf("procedure %d: code %d, domain %d: %s", procedure, e.Code, e.Domain, *e.Message)
	}
	decode(c.t, payload, result)
}

// wantExtension makes a call of the extension program that fails.
func (c *conn) wantExtension(procedure int32, args wire.Message, code, domain int32, message string) {
	c.t.Helper()
	payload, e := c.extension(procedure, args)
	if e == nil {
		c.t.Fatalf("procedure %d succeeded: %x", procedure, payload)
	}
	if e.Code != code || e.Domain != domain || *e.Message != message {
		c.t.Errorf("procedure %d: E(%d,%d) %q, want E(%d,%d) %q", procedure, e.Code, e.Domain, *e.Message, code, domain, message)
	}
}

const webForward = "<portForward proto='tcp' guest='web1'><range start='8080' to='80'/></portForward>"

func TestForwards(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("net", 1, true))
	web, err := xml.ParsePortForward([]byte(webForward))
	if err != nil {
		t.Fatal(err)
	}
	f.forwards = []driver.ForwardState{
		{Forward: *web, Outcome: driver.Outcome{Phase: driver.PhaseActive, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("fd00::10")}}},
		{Forward: *web, Outcome: driver.Outcome{Phase: driver.PhaseWaiting, Reason: "taken by nginx (pid 812)"}},
		{Forward: *web},
	}
	f.publics = []driver.PublicState{{
		Public:  xml.PublicAddress{Public: netip.MustParseAddr("203.0.113.7"), Guest: "web1"},
		Outcome: driver.Outcome{Phase: driver.PhaseActive, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}},
	}}
	c := login(t, serve(t, rpc.Config{Networks: f}))
	var got proto.Forwards
	c.extended(proto.ForwardList, ptr(testArgs("net", 1)), &got)
	want := proto.Forwards{Forwards: []proto.Forward{
		{XML: web.XML(), Phase: proto.PhaseActive, Addresses: []string{"192.0.2.10", "fd00::10"}},
		{XML: web.XML(), Phase: proto.PhaseWaiting, Addresses: []string{}, Reason: "taken by nginx (pid 812)"},
		{XML: web.XML(), Phase: proto.PhaseInactive, Addresses: []string{}},
	}, Publics: []proto.Forward{
		{XML: f.publics[0].Public.XML(), Phase: proto.PhaseActive, Addresses: []string{"192.0.2.10"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.wantExtension(proto.ForwardList, ptr(testArgs("nosuch", 9)), 43, 19, "Network not found: no network with matching uuid 'aa000000-0000-0000-0000-000000000009' (nosuch)")
	c.wantExtension(99, nil, 39, 7, "unknown procedure: 99")
	c.alive()
}

func TestEditExtensions(t *testing.T) {
	t.Parallel()
	const public = "<address public='203.0.113.7' guest='web1'/>"
	net := testArgs("net", 1)
	f := newFake(testNet("net", 1, true))
	c := login(t, serve(t, rpc.Config{Networks: f}))
	ssh := "<portForward proto='tcp' ignore='yes'><range start='22'/></portForward>"
	web, err := xml.ParsePortForward([]byte(webForward))
	if err != nil {
		t.Fatal(err)
	}
	var added proto.Added
	c.extended(proto.ForwardAdd, &proto.EditArgs{Network: net, XML: webForward, Index: -1, Flags: 3}, &added)
	if diff := cmp.Diff(proto.Added{Index: -1, Forward: proto.Forward{XML: web.XML(), Addresses: []string{}}}, added); diff != "" {
		t.Errorf("added, but not listed (-want +got):\n%s", diff)
	}
	ignored, err := xml.ParsePortForward([]byte(ssh))
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.forwards = []driver.ForwardState{{Forward: *web}, {Forward: *ignored, Outcome: driver.Outcome{Phase: driver.PhaseActive}}}
	f.mu.Unlock()
	c.extended(proto.ForwardAdd, &proto.EditArgs{Network: net, XML: ssh, Flags: 1}, &added)
	if diff := cmp.Diff(proto.Added{Index: 1, Forward: proto.Forward{XML: ignored.XML(), Phase: proto.PhaseActive, Addresses: []string{}}}, added); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	c.extended(proto.AddressAdd, &proto.EditArgs{Network: net, XML: public, Flags: 2}, &proto.Void{})
	for _, tt := range []struct {
		procedure    int32
		args         proto.EditArgs
		code, domain int32
		message      string
	}{
		{proto.ForwardAdd, proto.EditArgs{Network: net, XML: webForward, Index: -1}, 55, 19,
			"Requested operation is not valid: forward tcp *:8080 to web1:80: portForward 2 (tcp *:8080 to web1:80) has port 8080 already"},
		{proto.ForwardAdd, proto.EditArgs{Network: net, XML: webForward, Flags: 8}, 8, 19, "unsupported flags (0x8) in function virbrForwardAdd"},
		{proto.ForwardAdd, proto.EditArgs{Network: net, XML: "<portForward proto='tcp'/>"}, 27, 5,
			"XML error: at line 1: Missing required attribute 'guest' in element 'portForward'"},
		{proto.ForwardAdd, proto.EditArgs{Network: net, XML: "<x/>"}, 27, 5,
			"XML error: at line 1: expecting root element of 'portForward' in namespace urn:virbr:network:1, not 'x'"},
		{proto.ForwardRemove, proto.EditArgs{Network: net, XML: "<portForward proto='udp' guest='web1'/>"}, 55, 19,
			"Requested operation is not valid: there is no forward udp *:all to web1"},
		{proto.AddressAdd, proto.EditArgs{Network: net, XML: public}, 55, 19,
			"Requested operation is not valid: public address 203.0.113.7 belongs to 'web1' already"},
		{proto.AddressRemove, proto.EditArgs{Network: net, XML: "<address public='203.0.113.7' guest='web2'/>"}, 55, 19,
			"Requested operation is not valid: there is no public address 203.0.113.7 of web2"},
	} {
		c.wantExtension(tt.procedure, &tt.args, tt.code, tt.domain, tt.message)
	}
	f.mu.Lock()
	kept := f.extensions.String()
	f.mu.Unlock()
	want := "<virbr:network xmlns:virbr='urn:virbr:network:1'>\n" +
		"  <virbr:portForward proto='tcp' ignore='yes'>\n    <virbr:range start='22'/>\n  </virbr:portForward>\n" +
		"  <virbr:portForward proto='tcp' guest='web1'>\n    <virbr:range start='8080' to='80'/>\n  </virbr:portForward>\n" +
		"  <virbr:address public='203.0.113.7' guest='web1'/>\n</virbr:network>\n"
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, args := range []struct {
		procedure int32
		xml       string
	}{{proto.ForwardRemove, webForward}, {proto.ForwardRemove, ssh}, {proto.AddressRemove, public}} {
		c.extended(args.procedure, &proto.EditArgs{Network: net, XML: args.xml}, &proto.Void{})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.extensions.IsZero() {
		t.Errorf("left: %s", &f.extensions)
	}
}

// TestExtensionStages: the extension program is behind what guards libvirt's.
func TestExtensionStages(t *testing.T) {
	t.Parallel()
	net := testArgs("net", 1)
	all := []int32{proto.ForwardList, proto.ForwardAdd, proto.ForwardRemove, proto.AddressAdd, proto.AddressRemove, proto.EventList, proto.HistoryList, proto.HistoryGet, proto.Plan, proto.Apply}
	f := newFake(testNet("net", 1, true))
	anonymous := connect(t, serve(t, rpc.Config{Networks: f, AuthRW: rpc.AuthPolkit, Authorizer: &judge{}, Peer: stranger}))
	for _, procedure := range all {
		anonymous.wantExtension(procedure, nil, 39, 7, "authentication required")
	}
	closed := connect(t, serve(t, rpc.Config{Networks: f}))
	closed.wantExtension(proto.ForwardList, &net, 1, 7, "internal error: connection not open")

	reader := login(t, serve(t, rpc.Config{Networks: f}, rpc.RoleReadOnly))
	for procedure, api := range map[int32]string{
		proto.ForwardAdd: "virbrForwardAdd", proto.ForwardRemove: "virbrForwardRemove",
		proto.AddressAdd: "virbrAddressAdd", proto.AddressRemove: "virbrAddressRemove",
	} {
		reader.wantExtension(procedure, &proto.EditArgs{Network: net}, 29, 19, "operation forbidden: read only access prevents "+api)
	}
	reader.extended(proto.ForwardList, &net, &proto.Forwards{})
	reader.extended(proto.EventList, nil, &proto.Happenings{})
	var list proto.Revisions
	reader.extended(proto.HistoryList, &proto.String{Value: "net"}, &list)
	want := []proto.Revision{
		{Number: 7, Time: 5e9, Network: "net", UID: 1000, PID: 12, Program: "virsh", Call: "virNetworkDefineXML"},
		{Number: 8, Running: true, UID: proto.UIDUnknown},
	}
	if diff := cmp.Diff(want, list.List); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	reader.wantExtension(proto.Apply, &proto.ApplyArgs{}, 29, 19, "operation forbidden: read only access prevents virbrApply")
	var planned proto.Proposals
	reader.extended(proto.Plan, &proto.ApplyArgs{Documents: []string{"<network/>"}}, &planned)
	wanted := []proto.Proposal{{
		Network: proto.Network{Name: "net"}, Running: true, Defines: true, Way: proto.WayRestart, Effect: "link flaps",
		Changes: []proto.Change{{Text: "+ something", Effect: "link flaps"}}, Drift: []string{"an address"},
	}}
	if diff := cmp.Diff(wanted, planned.List); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	reader.extended(proto.HistoryGet, &proto.RevisionArgs{Network: "net", Number: 7}, &proto.String{})
}

// TestExtensionAccess: the permissions are those of libvirt's procedures that do
// the same.
func TestExtensionAccess(t *testing.T) {
	t.Parallel()
	net := testArgs("net", 1)
	for _, tt := range []struct {
		procedure int32
		args      wire.Message
		want      []string
	}{
		{proto.ForwardList, &net, []string{"read"}},
		{proto.ForwardAdd, &proto.EditArgs{Network: net, XML: webForward, Flags: 1}, []string{"write"}},
		{proto.ForwardAdd, &proto.EditArgs{Network: net, XML: webForward, Flags: 3}, []string{"write", "save"}},
		{proto.AddressAdd, &proto.EditArgs{Network: net, XML: "<address public='203.0.113.7' guest='a'/>"}, []string{"write", "save"}},
	} {
		for _, deny := range append([]string{""}, tt.want...) {
			t.Run(fmt.Sprintf("%d %s", tt.procedure, deny), func(t *testing.T) {
				t.Parallel()
				j := &judge{answer: func(action string, _ map[string]string) error {
					if action == "org.libvirt.api.network."+deny {
						return &polkit.Error{Reason: polkit.Denied}
					}
					return nil
				}}
				f := newFake(testNet("net", 1, true))
				c := login(t, serve(t, rpc.Config{Networks: f, Access: rpc.PolkitAccess{Authorizer: j}, Peer: stranger}))
				_, e := c.extension(tt.procedure, tt.args)
				if deny == "" && e != nil {
					t.Errorf("refused: %s", *e.Message)
				}
				if deny != "" && (e == nil || e.Code != 88) {
					t.Errorf("%v, want access denied", e)
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				if deny != "" && slices.ContainsFunc(f.calls, func(s string) bool { return s != "LookupByUUID" }) {
					t.Errorf("the driver was asked for %q", f.calls)
				}
			})
		}
	}
}

// TestHistory: the last ones are kept, and those that one may see are told.
func TestHistory(t *testing.T) {
	t.Parallel()
	j := &judge{answer: func(_ string, details map[string]string) error {
		if details["network_name"] == "secret" {
			return &polkit.Error{Reason: polkit.Denied}
		}
		return nil
	}}
	s, socket := serveServer(t, rpc.Config{Networks: newFake(testNet("net", 1, true)), Access: rpc.PolkitAccess{Authorizer: j}, Peer: stranger})
	c := login(t, socket)
	heal := func(name, by string) {
		s.Publish(driver.Event{Kind: driver.EventHealed, Network: driver.Ref{Name: name}, By: by})
	}
	heal("secret", "nft (pid 1)")
	heal("net", "nft\x1b (pid 2)")
	var got proto.Happenings
	c.extended(proto.EventList, nil, &got)
	if len(got.Events) != 1 || got.Events[0].By != "nft? (pid 2)" || got.Events[0].Network.Name != "net" {
		t.Fatalf("%+v", got)
	}
	if at := time.Unix(0, got.Events[0].Time); time.Since(at) < 0 || time.Since(at) > patience {
		t.Errorf("it was at %v", at)
	}
	for i := range proto.MaxRecentEvents {
		heal("net", fmt.Sprint(i))
	}
	c.extended(proto.EventList, nil, &got)
	if n := len(got.Events); n != proto.MaxRecentEvents || got.Events[0].By != "0" || got.Events[n-1].By != fmt.Sprint(n-1) {
		t.Errorf("%d events, from %q to %q", n, got.Events[0].By, got.Events[n-1].By)
	}
}
