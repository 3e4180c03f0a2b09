package rpc_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// stranger is a peer that is not root.
func stranger(net.Conn) (rpc.Peer, error) {
	return rpc.Peer{PID: 4321, UID: 1000, GID: 1000, StartTime: 99}, nil
}

func root(net.Conn) (rpc.Peer, error) { return rpc.Peer{PID: 1}, nil }

func authTypes(c *conn) []int32 {
	c.t.Helper()
	var got proto.AuthTypes
	c.must(proto.AuthList, nil, &got)
	return got.Types
}

// TestAuthRoot: root is let in by asking how, and not before.
func TestAuthRoot(t *testing.T) {
	t.Parallel()
	c := connect(t, serve(t, rpc.Config{
		Networks: newFake(), AuthRW: rpc.AuthPolkit, Authorizer: &judge{},
		Peer: root,
	}))
	const required = "authentication required"
	open := proto.OpenArgs{Name: ptr("network:///system")}
	c.refused(proto.ConnectOpen, &open, 39, 7, required)
	c.refused(proto.ConnectClose, nil, 39, 7, required)
	c.refused(9, nil, 39, 7, required)
	c.refused(999, nil, 39, 7, "unknown procedure: 999")
	if diff := cmp.Diff([]int32{0}, authTypes(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.must(proto.ConnectOpen, &open, nil)
	c.refused(proto.AuthPolkit, nil, 45, 7, "authentication failed: authentication failed")
}

// TestAuthPolkit: who is not root is polkit's business, by the socket's action;
// a client may try again.
func TestAuthPolkit(t *testing.T) {
	t.Parallel()
	for role, action := range map[rpc.Role]string{
		rpc.RoleReadWrite: "org.libvirt.unix.manage",
		rpc.RoleReadOnly:  "org.libvirt.unix.monitor",
	} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			answers := []error{
				&polkit.Error{Reason: polkit.NoAgent, Action: action}, &polkit.Error{Reason: polkit.Dismissed},
				&polkit.Error{Reason: polkit.Denied}, nil,
			}
			j := &judge{answer: func(string, map[string]string) error {
				first := answers[0]
				answers = answers[1:]
				return first
			}}
			c := connect(t, serve(t, rpc.Config{
				Networks: newFake(), AuthRW: rpc.AuthPolkit, AuthRO: rpc.AuthPolkit, Authorizer: j, Peer: stranger,
			}, role))
			if diff := cmp.Diff([]int32{2}, authTypes(c)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			c.refused(proto.ConnectOpen, &proto.OpenArgs{}, 39, 7, "authentication required")
			c.refused(proto.AuthPolkit, nil, 94, 60, "authentication unavailable: no polkit agent available to authenticate action '"+action+"'")
			c.refused(proto.AuthPolkit, nil, 79, 60, "authentication cancelled: user cancelled authentication process")
			c.refused(proto.AuthPolkit, nil, 45, 60, "authentication failed: access denied by policy")
			var complete proto.Int
			if c.must(proto.AuthPolkit, nil, &complete); complete.Value != 1 {
				t.Errorf("complete: %d", complete.Value)
			}
			c.open(0)
			want := slices.Repeat([]string{"uid 1000 interactive=true " + action + " "}, 4)
			if diff := cmp.Diff(want, j.questions()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAuthGone: nobody is asked about a process that cannot be told from
// another one.
func TestAuthGone(t *testing.T) {
	t.Parallel()
	j := &judge{}
	c := connect(t, serve(t, rpc.Config{
		Networks: newFake(), AuthRW: rpc.AuthPolkit, Authorizer: j,
		Peer: func(net.Conn) (rpc.Peer, error) { return rpc.Peer{UID: 1000}, nil },
	}))
	c.refused(proto.AuthPolkit, nil, 45, 60, "authentication failed: process 0 is gone")
	if asked := j.questions(); len(asked) > 0 {
		t.Errorf("polkit was asked: %q", asked)
	}
}

// TestAnonymous: so many of a user may be connected without authentication; the next
// one waits, until one of them authenticates or leaves.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake(), AuthRW: rpc.AuthPolkit, Authorizer: &judge{}, Peer: stranger,
		Limits: limits(func(l *rpc.Limits) { l.MaxAnonymousClients = 12 })})
	var first []*conn
	for range 3 {
		c := connect(t, socket)
		authTypes(c)
		first = append(first, c)
	}
	var room atomic.Bool
	waiter := func() chan error {
		answered := make(chan error, 1)
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() {
			err := quickCall(c, proto.AuthList, nil)
			if !room.Load() {
				err = errors.New("one more than the limit was answered")
			}
			answered <- err
		}()
		return answered
	}
	fourth := waiter()
	authTypes(first[1]) // the others are served all the while
	room.Store(true)
	first[0].must(proto.AuthPolkit, nil, nil)
	if err := <-fourth; err != nil {
		t.Error(err)
	}
	room.Store(false)
	fifth := waiter()
	authTypes(first[1])
	room.Store(true)
	_ = first[2].Close()
	if err := <-fifth; err != nil {
		t.Error(err)
	}
}

// TestVirshPolkit: the texts that virsh looks at arrive there.
func TestVirshPolkit(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake(), AuthRW: rpc.AuthPolkit, Peer: stranger,
		Authorizer: &judge{answer: func(string, map[string]string) error { return &polkit.Error{Reason: polkit.Dismissed} }}})
	_, stderr, err := virsh(t, socket, "net-list")
	if want := "error: authentication cancelled: user cancelled authentication process"; err == nil || !strings.HasSuffix(stderr, want) {
		t.Errorf("virsh: %v, printed:\n%s", err, stderr)
	}
}

func param(field string, value any) wire.Param {
	p := wire.Param{Field: field}
	switch v := value.(type) {
	case string:
		p.Type, p.Text = wire.ParamString, v
	case int64:
		p.Type, p.Number = wire.ParamLlong, uint64(v)
	case uint64:
		p.Type, p.Number = wire.ParamUllong, v
	case int32:
		p.Type, p.Number = wire.ParamInt, uint64(v)
	}
	return p
}

func TestSetIdentity(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		params       []wire.Param
		code, domain int32
		message      string
	}{
		{"nothing", nil, 0, 0, ""},
		{"everything", []wire.Param{
			param("system.token", "t"), param("selinux-context", "c"), param("x509-distinguished-name", "n"), param("sasl-user-name", "s"),
			param("process-time", uint64(1)), param("process-id", int64(2)), param("unix-group-id", uint64(3)), param("group-name", "g"),
			param("unix-user-id", uint64(4)), param("user-name", "u"),
		}, 0, 0, ""},
		{"unknown", []wire.Param{param("shoe-size", "44")}, 74, 0, "argument unsupported: parameter 'shoe-size' not supported"},
		{"of another type", []wire.Param{param("user-name", int32(1))}, 8, 0, "invalid argument: invalid type 'int' for parameter 'user-name', expected 'string'"},
		{"twice", []wire.Param{param("user-name", "a"), param("user-name", "b")}, 8, 0, "invalid argument: parameter 'user-name' occurs multiple times"},
		{"too long", []wire.Param{param(strings.Repeat("k", 80), "a")}, 1, 0, "internal error: parameter " + strings.Repeat("k", 80) + " too big for destination"},
	}
	socket := serve(t, rpc.Config{Networks: newFake()})
	connect(t, socket).refused(proto.ConnectSetIdentity, &proto.IdentityArgs{}, 1, 7, "internal error: hypervisor connection not open")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := login(t, socket)
			args := proto.IdentityArgs{Params: tt.params, Flags: 77} // nobody looks at the flags
			if tt.code == 0 {
				c.must(proto.ConnectSetIdentity, &args, nil)
				return
			}
			c.refused(proto.ConnectSetIdentity, &args, tt.code, tt.domain, tt.message)
		})
	}
}

// TestAccess: which permissions each call needs (driver.md 10.3), and that a
// refusal of any keeps the call from the driver.
func TestAccess(t *testing.T) {
	t.Parallel()
	const (
		onNet  = " connect_driver=network network_name=net network_uuid=aa000000-0000-0000-0000-000000000001"
		onPort = onNet + " port_uuid=bb000000-0000-0000-0000-000000000001"
	)
	net := testArgs("another name", 1)
	port := proto.Port{Network: net, UUID: [16]byte{0xbb, 15: 1}}
	doc := "<network><name>net</name></network>"
	portDoc := "<networkport><uuid>bb000000-0000-0000-0000-000000000001</uuid><owner><name>vm</name><uuid>bb000000-0000-0000-0000-000000000009</uuid></owner><mac address='52:54:00:00:00:01'/></networkport>"
	tests := []struct {
		name      string
		procedure int32
		args      wire.Message
		want      []string
	}{
		{"list", proto.ConnectListAllNetworks, &proto.ListArgs{}, []string{"connect.search-networks connect_driver=network", "network.getattr" + onNet}},
		{"names", proto.ConnectListNetworks, &proto.Int{Value: 5}, []string{"connect.search-networks connect_driver=network", "network.getattr" + onNet}},
		{"count", proto.ConnectNumOfDefinedNetworks, nil, []string{"connect.search-networks connect_driver=network"}},
		{"by name", proto.NetworkLookupByName, &proto.String{Value: "net"}, []string{"network.getattr" + onNet}},
		{"by uuid", proto.NetworkLookupByUUID, &proto.UUID{Value: net.UUID}, []string{"network.getattr" + onNet}},
		{"start", proto.NetworkCreate, &net, []string{"network.start" + onNet}},
		{"create", proto.NetworkCreateXML, &proto.String{Value: doc}, []string{"network.write" + onNet, "network.start" + onNet}},
		{"define", proto.NetworkDefineXML, &proto.String{Value: doc}, []string{"network.write" + onNet, "network.save" + onNet}},
		{"destroy", proto.NetworkDestroy, &net, []string{"network.stop" + onNet}},
		{"undefine", proto.NetworkUndefine, &net, []string{"network.delete" + onNet}},
		{"XML", proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: net}, []string{"network.read" + onNet}},
		{"autostart", proto.NetworkGetAutostart, &net, []string{"network.read" + onNet}},
		{"set autostart", proto.NetworkSetAutostart, &proto.AutostartArgs{Network: net}, []string{"network.write" + onNet}},
		{"bridge", proto.NetworkGetBridgeName, &net, []string{"network.read" + onNet}},
		{"active", proto.NetworkIsActive, &net, []string{"network.read" + onNet}},
		{"persistent", proto.NetworkIsPersistent, &net, []string{"network.read" + onNet}},
		{"update", proto.NetworkUpdate, &proto.UpdateArgs{Network: net}, []string{"network.write" + onNet, "network.save" + onNet}},
		{"update live", proto.NetworkUpdate, &proto.UpdateArgs{Network: net, Flags: 1}, []string{"network.write" + onNet}},
		{"update both", proto.NetworkUpdate, &proto.UpdateArgs{Network: net, Flags: 3}, []string{"network.write" + onNet, "network.save" + onNet}},
		{"set metadata", proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Flags: 2}, []string{"network.write" + onNet, "network.save" + onNet}},
		{"get metadata", proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net}, []string{"network.read" + onNet}},
		{"leases", proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: net}, []string{"network.read" + onNet}},
		{"ports", proto.NetworkListAllPorts, &proto.PortsArgs{Network: net}, []string{"network.search-ports" + onNet, "network-port.getattr" + onPort}},
		{"port", proto.NetworkPortLookupByUUID, &port, []string{"network-port.getattr" + onPort}},
		{"create port", proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, XML: portDoc}, []string{"network-port.create" + onPort}},
		{"port XML", proto.NetworkPortGetXMLDesc, &proto.PortFlags{Port: port}, []string{"network-port.read" + onPort}},
		{"port parameters", proto.NetworkPortGetParameters, &proto.GetParamsArgs{Port: port}, []string{"network-port.read" + onPort}},
		{"set port parameters", proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port}, []string{"network-port.write" + onPort}},
		{"delete port", proto.NetworkPortDelete, &proto.PortFlags{Port: port}, []string{"network-port.delete" + onPort}},
		{"identity", proto.ConnectSetIdentity, &proto.IdentityArgs{}, []string{"connect.write connect_driver=network"}},
		{"listen", proto.ConnectNetworkEventRegister, &proto.EventArgs{}, []string{"connect.search-networks connect_driver=network"}},
		{"stop listening", proto.ConnectNetworkEventDeregister, &proto.Int{}, []string{"connect.read connect_driver=network"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i := range tt.want { // each permission alone is refused once
				questions, e := askWith(t, tt.procedure, tt.args, i)
				want := slices.Clone(tt.want[:i+1])
				for j := range want {
					want[j] = "uid 1000 interactive=false org.libvirt.api." + want[j]
				}
				if diff := cmp.Diff(want, questions); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				filter := strings.Contains(tt.want[i], ".getattr") && i > 0
				if !filter && (e == nil || e.Code != 88 || e.Domain != 55 || *e.Message != "access denied: 'network' denied access") {
					t.Errorf("refusing %s: %+v", tt.want[i], e)
				}
				if filter && e != nil {
					t.Errorf("refusing %s, which should only filter: %s", tt.want[i], *e.Message)
				}
			}
		})
	}
}

// askWith makes a call on behalf of somebody who lacks the permission that is
// asked for as number deny, and returns what was asked.
func askWith(t *testing.T, procedure int32, args wire.Message, deny int) ([]string, *proto.Error) {
	t.Helper()
	var ready atomic.Bool
	var n atomic.Int32
	j := &judge{answer: func(string, map[string]string) error {
		if ready.Load() && n.Add(1) == int32(deny+1) {
			return &polkit.Error{Reason: polkit.NoAgent}
		}
		return nil
	}}
	f := newFake(testNet("net", 1, true))
	p := &fakePort{ref: driver.PortRef{Network: refOf(testArgs("net", 1))}}
	p.ref.UUID[0], p.ref.UUID[15] = 0xbb, 1
	f.ports[p.ref.UUID] = p
	c := login(t, serve(t, rpc.Config{Networks: f, Access: rpc.PolkitAccess{Authorizer: j}, Peer: stranger}))
	before := len(j.questions())
	ready.Store(true)
	_, e := c.call(procedure, args)
	return j.questions()[before:], e
}

// TestAccessIdentity: who is asked about is the one that a daemon speaks for.
func TestAccessIdentity(t *testing.T) {
	t.Parallel()
	j := &judge{}
	c := login(t, serve(t, rpc.Config{Networks: newFake(testNet("net", 1, true)), Access: rpc.PolkitAccess{Authorizer: j}, Peer: stranger}))
	params := []wire.Param{param("unix-user-id", uint64(77)), param("process-id", int64(5)), param("process-time", uint64(6))}
	c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: params}, nil)
	c.must(proto.NetworkIsActive, ptr(testArgs("net", 1)), nil)
	if asked := j.questions(); !strings.HasPrefix(asked[len(asked)-1], "uid 77 ") {
		t.Errorf("asked about %q", asked[len(asked)-1])
	}
	c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: params[:1]}, nil)
	if asked := j.questions(); asked[len(asked)-1] != "uid 1000 interactive=false org.libvirt.api.connect.write connect_driver=network" {
		t.Errorf("whether another identity may be set is asked about %q", asked[len(asked)-1])
	}
	c.refused(proto.NetworkIsActive, ptr(testArgs("net", 1)), 1, 55, "internal error: No UNIX process ID available")
}

// TestAccessMissing: what is not there is not asked about, but said to be
// missing.
func TestAccessMissing(t *testing.T) {
	t.Parallel()
	c := login(t, serve(t, rpc.Config{Networks: newFake(), Access: rpc.PolkitAccess{Authorizer: &judge{}}, Peer: stranger}))
	const missing = "Network not found: no network with matching uuid 'aa000000-0000-0000-0000-000000000007' (gone)"
	c.refused(proto.NetworkDestroy, ptr(testArgs("gone", 7)), 43, 19, missing)
	c.refused(proto.NetworkPortDelete, &proto.PortFlags{Port: proto.Port{Network: testArgs("gone", 7)}}, 43, 19, missing)
	c.refused(proto.NetworkDefineXML, &proto.String{Value: "<network/>"}, 21, 19, "missing name information")
	c.refused(proto.NetworkDefineXML, &proto.String{Value: "<networkport/>"}, 27, 5, "XML error: expecting root element of 'network', not 'networkport'")
}

// TestAccessEvents: events go to those who may see the network.
func TestAccessEvents(t *testing.T) {
	t.Parallel()
	j := &judge{answer: func(action string, details map[string]string) error {
		if details["network_name"] == "secret" {
			return &polkit.Error{Reason: polkit.Denied}
		}
		return nil
	}}
	s, socket := serveServer(t, rpc.Config{Networks: newFake(), Access: rpc.PolkitAccess{Authorizer: j}, Peer: stranger})
	c := login(t, socket)
	listen(c, 0, nil)
	s.Publish(driver.Event{Kind: driver.EventStarted, Network: driver.Ref{Name: "secret"}})
	s.Publish(driver.Event{Kind: driver.EventStarted, Network: driver.Ref{Name: "open"}})
	_, payload := c.next()
	var got proto.Lifecycle
	if decode(t, payload, &got); got.Network.Name != "open" {
		t.Errorf("an event of %q", got.Network.Name)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]rpc.Config{
		"no networks":   {},
		"no authorizer": {Networks: newFake(), AuthRO: rpc.AuthPolkit},
		"no clients":    {Networks: newFake(), Limits: limits(func(l *rpc.Limits) { l.MaxClients = 0 })},
	} {
		if _, err := rpc.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStartTime(t *testing.T) {
	t.Parallel()
	fields := fmt.Sprint("S", strings.Repeat(" 1", 18), " 4242 9")
	for stat, want := range map[string]uint64{
		"1 (init) " + fields: 4242, "1 (a) b) (c) " + fields: 4242, "1 (short) S 1": 0, "": 0,
	} {
		got, err := rpc.ParseStartTime(stat)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d, %v", stat, got, err)
		}
	}
}
