package rpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/xml"
)

func ptr[T any](v T) *T { return &v }

// TestOpen is table "CONNECT_OPEN name rules".
func TestOpen(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake()})
	tests := []struct {
		name         *string
		code, domain int32
		message      string
	}{
		{ptr("network:///system"), 0, 0, ""},
		{ptr("network:///system?foo=bar"), 0, 0, ""},
		{ptr("network:///session"), 1, 0, "internal error: unexpected network URI path '/session', try network:///system"},
		{ptr("network:///foo"), 1, 0, "internal error: unexpected network URI path '/foo', try network:///system"},
		{ptr("network://"), 1, 0, "internal error: unexpected network URI path '', try network:///system"},
		{nil, 1, 7, "internal error: connection not open"},
		{ptr(""), 5, 0, "no connection driver available for <null>"},
		{ptr("network"), 5, 0, "no connection driver available for URI 'network' does not include a driver name"},
		{ptr("network+unix:///system"), 5, 0, "no connection driver available for network+unix:///system"},
		{ptr("qemu:///system"), 5, 0, "no connection driver available for qemu:///system"},
		{ptr("network://host/system"), 5, 0, "no connection driver available for network://host/system"},
		{ptr("network:opaque"), 5, 0, "no connection driver available for network:opaque"},
		{ptr("net\x7fwork:///system"), 1, 45, "internal error: Unable to parse URI net?work:///system"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%q", text(tt.name)), func(t *testing.T) {
			t.Parallel()
			c := connect(t, socket)
			args := proto.OpenArgs{Name: tt.name, Flags: 6} // bits that clients send and nobody looks at
			if tt.code != 0 {
				c.refused(proto.ConnectOpen, &args, tt.code, tt.domain, tt.message)
				c.refused(proto.ConnectGetURI, nil, 1, 7, "internal error: hypervisor connection not open")
				return
			}
			c.must(proto.ConnectOpen, &args, nil)
			var uri proto.String
			c.must(proto.ConnectGetURI, nil, &uri)
			if uri.Value != *tt.name {
				t.Errorf("the connection's URI is %q", uri.Value)
			}
			c.refused(proto.ConnectOpen, &args, 1, 7, "internal error: connection already open")
		})
	}
}

func TestConnection(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake(), Version: 1002003})
	c := connect(t, socket)
	c.refused(proto.ConnectSupportsFeature, &proto.Int{Value: 14}, 1, 7, "internal error: hypervisor connection not open")
	c.open(0)
	for feature := int32(-1); feature < 20; feature++ {
		var got proto.Int
		c.must(proto.ConnectSupportsFeature, &proto.Int{Value: feature}, &got)
		want := int32(0)
		if slices.Contains([]int32{8, 9, 10, 14, 15, 16}, feature) {
			want = 1
		}
		if got.Value != want {
			t.Errorf("feature %d: %d, want %d", feature, got.Value, want)
		}
	}
	var kind proto.String
	if c.must(proto.ConnectGetType, nil, &kind); kind.Value != "network" {
		t.Errorf("type %q", kind.Value)
	}
	var version proto.Hyper
	if c.must(proto.ConnectGetLibVersion, nil, &version); version.Value != 1002003 {
		t.Errorf("version %d", version.Value)
	}
	var secure proto.Int
	if c.must(proto.ConnectIsSecure, nil, &secure); secure.Value != 1 {
		t.Errorf("secure: %d", secure.Value)
	}
	for _, procedure := range []int32{proto.ConnectRegisterCloseCallback, proto.ConnectRegisterCloseCallback, proto.ConnectUnregisterCloseCallback} {
		c.must(procedure, nil, nil)
	}
	c.refused(proto.ConnectDomainEventDeregister, &proto.Int{Value: 5}, 1, 7, "internal error: domain event 5 not registered")
	c.refused(proto.ConnectDomainEventCallbackDeregister, &proto.Int{Value: 5}, 1, 7, "internal error: domain event callback 5 not registered")
	c.refused(proto.DomainOpenGraphics, nil, 1, 7, "internal error: No FD available at slot 0")
	c.refused(proto.DomainMemoryStats, &proto.StatsArgs{Max: 1}, 3, 20, "this function is not supported by the connection driver: virDomainMemoryStats")
	var stats proto.Int
	c.must(proto.DomainMemoryStats, &proto.StatsArgs{}, &stats)

	var e struct{ proto.Void }
	c.must(proto.ConnectClose, nil, &e)
	c.closed()
	connect(t, socket).must(proto.ConnectClose, nil, nil) // also without an open connection
}

// TestReadOnly: exactly the calls that change something are refused, before
// anything else about them is looked at.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	net := proto.Network{Name: "nosuch"}
	port := proto.Port{Network: net}
	changing := []struct {
		procedure int32
		args      wire.Message
		api       string
	}{
		{proto.NetworkCreate, &net, "virNetworkCreate"},
		{proto.NetworkCreateXML, &proto.String{}, "virNetworkCreateXML"},
		{proto.NetworkCreateXMLFlags, &proto.XMLArgs{Flags: 8}, "virNetworkCreateXMLFlags"},
		{proto.NetworkDefineXML, &proto.String{}, "virNetworkDefineXML"},
		{proto.NetworkDefineXMLFlags, &proto.XMLArgs{Flags: 8}, "virNetworkDefineXMLFlags"},
		{proto.NetworkDestroy, &net, "virNetworkDestroy"},
		{proto.NetworkUndefine, &net, "virNetworkUndefine"},
		{proto.NetworkSetAutostart, &proto.AutostartArgs{Network: net}, "virNetworkSetAutostart"},
		{proto.NetworkUpdate, &proto.UpdateArgs{Network: net, Flags: 8}, "virNetworkUpdate"},
		{proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Flags: 8}, "virNetworkSetMetadata"},
		{proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, Flags: 8}, "virNetworkPortCreateXML"},
		{proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port, Flags: 8}, "virNetworkPortSetParameters"},
		{proto.NetworkPortDelete, &proto.PortFlags{Port: port, Flags: 8}, "virNetworkPortDelete"},
	}
	for name, tt := range map[string]struct {
		role  rpc.Role
		flags uint32
	}{"socket": {rpc.RoleReadOnly, 0}, "flag": {rpc.RoleReadWrite, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(testNet("net", 1, true))
			c := connect(t, serve(t, rpc.Config{Networks: f}, tt.role))
			c.open(tt.flags)
			for _, call := range changing {
				c.refused(call.procedure, call.args, 29, 19, "operation forbidden: read only access prevents "+call.api)
			}
			f.mu.Lock()
			called := slices.Clone(f.calls)
			f.mu.Unlock()
			if len(called) > 0 {
				t.Errorf("the driver was asked for %q", called)
			}
			c.must(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: testArgs("net", 1)}, nil)
			c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{}, nil)
			c.must(proto.ConnectNetworkEventRegister, &proto.EventArgs{}, nil)
		})
	}
}

// TestArguments: what is refused before the driver is asked.
func TestArguments(t *testing.T) {
	t.Parallel()
	net := testArgs("net", 1)
	port := proto.Port{Network: net, UUID: [16]byte{1}}
	flags := func(function string) string { return "unsupported flags (0x40000008) in function " + function }
	const bad = 0x4000000b // three that are known at most, and two that are not
	tests := []struct {
		name               string
		procedure          int32
		args               wire.Message
		code, domain       int32
		message            string
		function, argument string // of a refused argument
	}{
		{"list", proto.ConnectListAllNetworks, &proto.ListArgs{Flags: 0x140}, 8, 19, "unsupported flags (0x140) in function networkConnectListAllNetworks", "networkConnectListAllNetworks", "flags"},
		{"create", proto.NetworkCreateXMLFlags, &proto.XMLArgs{Flags: bad &^ 2}, 8, 19, flags("networkCreateXMLFlags"), "networkCreateXMLFlags", "flags"},
		{"define", proto.NetworkDefineXMLFlags, &proto.XMLArgs{Flags: bad &^ 2}, 8, 19, flags("networkDefineXMLFlags"), "networkDefineXMLFlags", "flags"},
		{"XML", proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: net, Flags: bad &^ 2}, 8, 19, flags("networkGetXMLDesc"), "networkGetXMLDesc", "flags"},
		{"update", proto.NetworkUpdate, &proto.UpdateArgs{Network: net, Flags: bad}, 8, 19, flags("networkUpdate"), "networkUpdate", "flags"},
		{"leases", proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: net, Flags: bad &^ 3}, 8, 19, flags("networkGetDHCPLeases"), "networkGetDHCPLeases", "flags"},
		{"ports", proto.NetworkListAllPorts, &proto.PortsArgs{Network: net, Flags: bad &^ 3}, 8, 19, flags("networkListAllPorts"), "networkListAllPorts", "flags"},
		{"port create", proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, Flags: bad}, 8, 19, flags("networkPortCreateXML"), "networkPortCreateXML", "flags"},
		{"port parameters", proto.NetworkPortGetParameters, &proto.GetParamsArgs{Port: port, Flags: 4}, 8, 19, "unsupported flags (0x4) in function networkPortGetParameters", "networkPortGetParameters", "flags"},
		{"port set", proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port, Flags: bad &^ 3}, 8, 19, flags("networkPortSetParameters"), "networkPortSetParameters", "flags"},
		{"port XML", proto.NetworkPortGetXMLDesc, &proto.PortFlags{Port: port, Flags: bad &^ 3}, 8, 19, flags("networkPortGetXMLDesc"), "networkPortGetXMLDesc", "flags"},
		{"port delete", proto.NetworkPortDelete, &proto.PortFlags{Port: port, Flags: bad &^ 3}, 8, 19, flags("networkPortDelete"), "networkPortDelete", "flags"},
		{"set metadata", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Flags: bad}, 8, 19, flags("networkSetMetadata"), "networkSetMetadata", "flags"},
		{"get metadata", proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Flags: bad &^ 2}, 8, 19, flags("virNetworkObjGetMetadata"), "virNetworkObjGetMetadata", "flags"},

		{"title of two lines", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 1, Metadata: ptr("a\nb"), URI: ptr("u"), Flags: bad}, 8, 19, "metadata title can't contain newlines", "virNetworkSetMetadata", "metadata"},
		{"title with uri", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 1, URI: ptr("u"), Key: ptr("k")}, 8, 19, "uri in virNetworkSetMetadata must be NULL", "virNetworkSetMetadata", "uri"},
		{"description with key", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Key: ptr("k")}, 8, 19, "key in virNetworkSetMetadata must be NULL", "virNetworkSetMetadata", "key"},
		{"element without uri", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 2}, 8, 19, "uri in virNetworkSetMetadata must not be NULL", "virNetworkSetMetadata", "uri"},
		{"element without key", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 2, URI: ptr("u"), Metadata: ptr("<x/>")}, 8, 19, "key in virNetworkSetMetadata must not be NULL", "virNetworkSetMetadata", "key"},
		{"both definitions", proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, URI: ptr("u"), Flags: 3}, 8, 19, "Flags 'VIR_NETWORK_UPDATE_AFFECT_LIVE' and 'VIR_NETWORK_UPDATE_AFFECT_CONFIG' are mutually exclusive", "virNetworkGetMetadata", "ctl"},
		{"getting a title with uri", proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: 1, URI: ptr("u")}, 8, 19, "uri in virNetworkGetMetadata must be NULL", "virNetworkGetMetadata", "uri"},
		{"getting an element without uri", proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: 2}, 8, 19, "uri in virNetworkGetMetadata must not be NULL", "virNetworkGetMetadata", "uri"},

		{"negative limit", proto.ConnectListNetworks, &proto.Int{Value: -1}, 39, 7, "maxnames must be non-negative", "", ""},
		{"limit above the maximum", proto.ConnectListDefinedNetworks, &proto.Int{Value: 16385}, 39, 7, "maxnames > REMOTE_NETWORK_LIST_MAX", "", ""},
		{"event below", proto.ConnectNetworkEventRegister, &proto.EventArgs{EventID: -1}, 1, 7, "internal error: unsupported network event ID -1", "", ""},
		{"event above", proto.ConnectNetworkEventRegister, &proto.EventArgs{EventID: 2}, 1, 7, "internal error: unsupported network event ID 2", "", ""},
		{"no such callback", proto.ConnectNetworkEventDeregister, &proto.Int{Value: 77}, 1, 7, "internal error: network event callback 77 not registered", "", ""},
		{"long parameter", proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port, Params: []wire.Param{{Field: strings.Repeat("p", 80), Type: 1}}}, 1, 0, "internal error: parameter " + strings.Repeat("p", 80) + " too big for destination", "", ""},
		{"text for a rate", proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port, Params: []wire.Param{{Field: "inbound.peak", Type: 7}}}, 8, 0, "invalid argument: invalid type 'string' for parameter 'inbound.peak', expected 'uint'", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(testNet("net", 1, true))
			c := login(t, serve(t, rpc.Config{Networks: f}))
			e := c.refused(tt.procedure, tt.args, tt.code, tt.domain, tt.message)
			if tt.function != "" {
				want := proto.Error{Code: 8, Domain: 19, Message: &tt.message, Level: 2, Str1: &tt.function, Str2: &tt.argument}
				if diff := cmp.Diff(&want, e); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.calls) > 0 {
				t.Errorf("the driver was asked for %q", f.calls)
			}
		})
	}
}

// TestCalls: arguments reach the driver as they were meant.
func TestCalls(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("net", 1, true), testNet("off", 2, false))
	c := login(t, serve(t, rpc.Config{Networks: f}))
	net := testArgs("net", 1)
	c.must(proto.NetworkDefineXML, &proto.String{Value: "<name>a</name>"}, nil)
	c.must(proto.NetworkDefineXMLFlags, &proto.XMLArgs{XML: "<name>a</name>", Flags: 1}, nil)
	c.must(proto.NetworkCreateXMLFlags, &proto.XMLArgs{XML: "<name>b</name>", Flags: 1}, nil)
	c.must(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: net, Flags: 1}, nil)
	c.must(proto.NetworkUpdate, &proto.UpdateArgs{Network: net, Command: 3, Section: 4, ParentIndex: -1, XML: "<host/>", Flags: 3}, nil)
	c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 2, Key: ptr("k"), URI: ptr("u"), Flags: 2}, nil)
	c.must(proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 9, Metadata: ptr("")}, nil)
	c.refused(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: 2, URI: ptr("u"), Flags: 1}, 111, 19, "metadata not found: Requested metadata element is not present")
	c.must(proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: net, MAC: ptr("52:54:00:00:00:01")}, nil)
	c.must(proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, Flags: 1}, nil)
	c.must(proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, Flags: 2}, nil)
	want := []string{
		"DefineXML validate=false", "DefineXML validate=true", "CreateXML validate=true", "XML inactive=true",
		"Update 3 4 -1 <host/> 3",
		`SetMetadata {Type:2 URI:u Affect:2} key="k" value=false`,
		`SetMetadata {Type:9 URI: Affect:0} key="" value=true`,
		"Metadata {Type:2 URI:u Affect:1}", "Leases 52:54:00:00:00:01",
		"CreatePort reclaim=true validate=false", "CreatePort reclaim=false validate=true",
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("a", 1, true), testNet("b", 2, false), testNet("c", 3, true))
	c := login(t, serve(t, rpc.Config{Networks: f}))
	names := func(procedure, limit int32) []string {
		var got proto.Names
		c.must(procedure, &proto.Int{Value: limit}, &got)
		return got.Names
	}
	if diff := cmp.Diff([]string{"a", "c"}, names(proto.ConnectListNetworks, 16384)); diff != "" {
		t.Errorf("active (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a"}, names(proto.ConnectListNetworks, 1)); diff != "" {
		t.Errorf("one active (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b"}, names(proto.ConnectListDefinedNetworks, 10)); diff != "" {
		t.Errorf("inactive (-want +got):\n%s", diff)
	}
	var active, inactive proto.Int
	c.must(proto.ConnectNumOfNetworks, nil, &active)
	c.must(proto.ConnectNumOfDefinedNetworks, nil, &inactive)
	if active.Value != 2 || inactive.Value != 1 {
		t.Errorf("counts %d and %d", active.Value, inactive.Value)
	}
}

// TestListLimits: more than the protocol can carry is an error, not a part.
func TestListLimits(t *testing.T) {
	t.Parallel()
	f := newFake()
	for i := range 16385 {
		n := testNet(fmt.Sprintf("n%05d", i), 0, true)
		n.ref.UUID[14], n.ref.UUID[15] = byte(i>>8), byte(i)
		f.nets[n.ref.UUID] = n
		p := &fakePort{ref: driver.PortRef{Network: n.ref, UUID: n.ref.UUID}}
		f.ports[p.ref.UUID] = p
	}
	f.leases = make([]driver.Lease, 65537)
	c := login(t, serve(t, rpc.Config{Networks: f}))
	net := testArgs("n00001", 1)
	for need := range int32(2) {
		c.refused(proto.ConnectListAllNetworks, &proto.ListArgs{Need: need}, 1, 7, "internal error: Too many networks '16385' for limit '16384'")
		c.refused(proto.NetworkListAllPorts, &proto.PortsArgs{Network: net, Need: need}, 1, 7, "internal error: Too many network_ports '16385' for limit '16384'")
		c.refused(proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: net, Need: need}, 1, 7, "internal error: Number of leases is 65537, which exceeds max limit: 65536")
	}
	f.mu.Lock()
	f.leases = f.leases[:65536]
	delete(f.nets, testNet("", 2, true).ref.UUID)
	delete(f.ports, testNet("", 2, true).ref.UUID)
	f.mu.Unlock()
	var nets proto.Networks
	c.must(proto.ConnectListAllNetworks, &proto.ListArgs{Need: 5}, &nets)
	var ports proto.Ports
	c.must(proto.NetworkListAllPorts, &proto.PortsArgs{Network: net, Need: 1}, &ports)
	var leases proto.Leases
	c.must(proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: net, Need: 1}, &leases)
	if len(nets.Networks) != 16384 || nets.Count != 16384 || len(ports.Ports) != 16384 || len(leases.Leases) != 65536 {
		t.Errorf("%d networks, %d ports, %d leases", len(nets.Networks), len(ports.Ports), len(leases.Leases))
	}
	for _, procedure := range []int32{proto.ConnectListAllNetworks} {
		c.must(procedure, &proto.ListArgs{}, &nets)
		if len(nets.Networks) != 0 || nets.Count != 16384 {
			t.Errorf("only counted: %d networks, %d", len(nets.Networks), nets.Count)
		}
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("net", 1, true))
	c := login(t, serve(t, rpc.Config{Networks: f}))
	net := testArgs("another name", 1)
	var port proto.Port
	c.must(proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, XML: "<networkport/>"}, &port)
	if port.Network.Name != "net" {
		t.Errorf("the answer has the caller's name: %q", port.Network.Name)
	}
	var found proto.Port
	c.must(proto.NetworkPortLookupByUUID, &port, &found)
	if diff := cmp.Diff(port, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var doc proto.String
	c.must(proto.NetworkPortGetXMLDesc, &proto.PortFlags{Port: port}, &doc)
	if doc.Value != "<networkport/>" {
		t.Errorf("XML %q", doc.Value)
	}
	sets := []struct {
		name   string
		params []wire.Param
		want   *xml.Bandwidth
	}{
		{"two directions", []wire.Param{{Field: "inbound.floor", Type: 2, Number: 5}, {Field: "outbound.average", Type: 4, Number: 1<<32 + 6}, {Field: "else", Type: 7}},
			&xml.Bandwidth{Inbound: &xml.Rate{Floor: 5}, Outbound: &xml.Rate{Average: 6}}},
		{"no average and no floor", []wire.Param{{Field: "inbound.peak", Type: 2, Number: 5}, {Field: "outbound.peak", Type: 2, Number: 5}, {Field: "outbound.floor", Type: 2, Number: 5}}, nil},
		{"the last one counts", []wire.Param{{Field: "inbound.average", Type: 2, Number: 5}, {Field: "inbound.average", Type: 2, Number: 6}},
			&xml.Bandwidth{Inbound: &xml.Rate{Average: 6}}},
		{"nothing", nil, nil},
	}
	for _, tt := range sets {
		c.must(proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port, Params: tt.params}, nil)
		f.mu.Lock()
		if diff := cmp.Diff(tt.want, f.ports[port.UUID].bandwidth); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		f.mu.Unlock()
	}
	var params proto.PortParams
	if c.must(proto.NetworkPortGetParameters, &proto.GetParamsArgs{Port: port}, &params); len(params.Params) != 0 {
		t.Errorf("parameters of a port without bandwidth: %+v", params)
	}
	c.must(proto.NetworkPortDelete, &proto.PortFlags{Port: port}, nil)
	c.refused(proto.NetworkPortLookupByUUID, &port, 107, 19,
		"network port not found: Network port with UUID bb000000-0000-0000-0000-000000000001 does not exist")
}
