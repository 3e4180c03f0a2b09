package abuse

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/tests/netnstest"
)

const (
	readOnlySocket = "/run/libvirt/virtnetworkd-sock-ro"
	metricsAddress = "127.0.0.1:9477"
	stranger       = 65534
	// soon is what root's calls may take, on a loaded machine. Who waits for
	// others to be dropped waits for half a minute.
	soon = 20 * time.Second
)

// open is a configuration with which every local user may connect: to the socket
// for changes only as far as polkit lets them.
const open = `auth_unix_rw = "polkit"
auth_unix_ro = "none"
unix_sock_ro_perms = "0777"
max_clients = 400
`

// flood is what an unprivileged user does to keep others out.
type flood struct {
	name    string
	socket  string
	network string // "": unix
	clients int
	write   func() []byte // nil: says nothing
}

var floods = []flood{
	{name: "does not authenticate", socket: socket, clients: 200},
	{name: "begins to authenticate", socket: socket, clients: 200, write: func() []byte { return call(proto.AuthList, nil)[:20] }},
	{name: "takes all places", socket: readOnlySocket, clients: 600, write: login},
	{name: "sends half of a large frame", socket: readOnlySocket, clients: 60, write: func() []byte {
		frame := call(proto.NetworkLookupByName, &proto.String{Value: strings.Repeat("x", 100<<10)})
		return append(login(), frame[:70<<10]...)
	}},
	{name: "asks and does not read", socket: readOnlySocket, clients: 60, write: func() []byte {
		ask := call(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: reference(0)})
		return append(login(), bytes.Repeat(ask, 500)...)
	}},
	{name: "asks for leases and does not read", socket: readOnlySocket, clients: 60, write: func() []byte {
		ask := call(proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: reference(1), Need: 1})
		return append(login(), bytes.Repeat(ask, 20)...)
	}},
	{name: "listens to everything and does not read", socket: readOnlySocket, clients: 100, write: func() []byte {
		frames := login()
		for n := range 500 {
			frames = append(frames, call(proto.ConnectNetworkEventRegister, &proto.EventArgs{Network: &proto.Network{Name: "x", UUID: [16]byte{byte(n), byte(n >> 8)}}})...)
		}
		return append(frames, call(proto.ConnectNetworkEventRegister, &proto.EventArgs{})...)
	}},
	{name: "sends calls without a pause", socket: readOnlySocket, clients: 60, write: func() []byte {
		return append(login(), bytes.Repeat(call(proto.ConnectGetLibVersion, nil), 5000)...)
	}},
	{name: "has much kept", socket: readOnlySocket, clients: 20, write: func() []byte {
		long := "network:///system?" + strings.Repeat("x", 4<<20-64)
		return append(call(proto.AuthList, nil), call(proto.ConnectOpen, &proto.OpenArgs{Name: &long})...)
	}},
	{name: "has much of itself kept", socket: readOnlySocket, clients: 20, write: func() []byte {
		var params []wire.Param
		for _, field := range []string{"user-name", "group-name", "sasl-user-name", "selinux-context"} {
			params = append(params, wire.Param{Field: field, Type: wire.ParamString, Text: strings.Repeat("x", 4<<20-64)})
		}
		return append(login(), call(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: params})...)
	}},
	{name: "keeps metrics", network: "tcp", socket: metricsAddress, clients: 40, write: func() []byte {
		return []byte("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}},
	{name: "says nothing to metrics", network: "tcp", socket: metricsAddress, clients: 40},
}

// TestOtherUsers: whatever an unprivileged user does on the sockets that are open to
// all, root is served at once, another user is, and memory stays in bounds.
func TestOtherUsers(t *testing.T) {
	netnstest.NeedProgram(t, "dnsmasq", "ip", "tc", "nft")
	netnstest.NeedUsers(t)
	netnstest.Run(t, func(t *testing.T) {
		d := startWith(t, open, metricsAddress)
		c := dial(t)
		define(t, c)
		if err := c.Call(t.Context(), proto.NetworkCreate, new(reference(1)), nil); err != nil {
			t.Fatal(err)
		}
		manyLeases(t, 2000)
		for _, f := range floods {
			t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
				f.run(t)
				asRoot(t)
				asUser(t, f.socket != socket)
			})
		}
		const allowed = 512 << 10 // KiB; before there were limits one of them took 900 MiB
		if peak := d.peak(); peak > allowed {
			t.Errorf("virbrd took %d KiB", peak)
		}
	})
}

// run connects the clients and has them write.
func (f *flood) run(t *testing.T) {
	t.Helper()
	network := f.network
	if network == "" {
		network = "unix"
	}
	var text []byte
	if f.write != nil {
		text = f.write()
	}
	for range f.clients {
		conn := netnstest.DialAs(t, stranger, network, f.socket)
		go func() { // refused at some point, or not read
			_ = conn.SetWriteDeadline(time.Now().Add(soon))
			_, _ = conn.Write(text)
		}()
	}
}

// manyLeases gives network 1, which runs, a lease file that makes large replies.
func manyLeases(t *testing.T, n int) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"ip-address":"10.70.0.9","mac-address":"52:54:00:00:%02x:%02x","client-id":"%s","expiry-time":0}`, i>>8, i&255, strings.Repeat("c", 60))
	}
	if err := os.WriteFile("/var/lib/libvirt/dnsmasq/virbr1.status", []byte("["+b.String()[1:]+"]"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// asRoot does what root does: on a new connection, with a large document, and where
// metrics are.
func asRoot(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{})
	if err != nil {
		t.Fatalf("root: %v", err)
	}
	defer c.Close() //nolint:errcheck // it has served its purpose
	doc := strings.Replace(document(0), "<forward", "<!--"+strings.Repeat("x", 200<<10)+"--><forward", 1)
	for _, do := range []struct {
		what      string
		procedure int32
		args      wire.Message
	}{
		{"define", proto.NetworkDefineXML, &proto.String{Value: doc}},
		{"start", proto.NetworkCreate, new(reference(0))},
		{"list", proto.ConnectListAllNetworks, &proto.ListArgs{Need: 1}},
		{"leases", proto.NetworkGetDHCPLeases, &proto.LeasesArgs{Network: reference(1), Need: 1}},
		{"register", proto.ConnectNetworkEventRegister, &proto.EventArgs{}},
		{"destroy", proto.NetworkDestroy, new(reference(0))},
	} {
		if err := c.Call(ctx, do.procedure, do.args, new(anything)); err != nil {
			t.Fatalf("root: %s: %v", do.what, err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metricsAddress+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatalf("root: metrics: %v", err)
	}
	defer reply.Body.Close() //nolint:errcheck // it is read
	if _, err := io.Copy(io.Discard, reply.Body); err != nil || reply.StatusCode != http.StatusOK {
		t.Errorf("root: metrics: status %d, %v", reply.StatusCode, err)
	}
}

// asUser lists networks as yet another user.
func asUser(t *testing.T, readOnly bool) {
	t.Helper()
	if !readOnly {
		return // polkit is not asked
	}
	conn := netnstest.DialAs(t, stranger-1, "unix", readOnlySocket)
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	frames := append(login(), call(proto.ConnectListAllNetworks, &proto.ListArgs{Need: 1})...)
	if _, err := conn.Write(frames); err != nil {
		t.Fatalf("another user: %v", err)
	}
	r := wire.NewReader(conn)
	for range 3 {
		h, n, err := r.Header()
		if err == nil {
			_, err = r.Payload(n, n, nil)
		}
		if err != nil || h.Status != wire.StatusOK {
			t.Fatalf("another user: %+v, %v", h, err)
		}
	}
}

// anything takes any result.
type anything struct{}

func (anything) XDR(*wire.Codec) {}

// peak returns the most memory that the daemon had, in KiB.
func (d *daemon) peak() (kib int) {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &kib)
	}
	if kib == 0 {
		d.t.Fatal("virbrd does not say how much memory it had")
	}
	d.t.Logf("virbrd took %d KiB at most", kib)
	return kib
}
