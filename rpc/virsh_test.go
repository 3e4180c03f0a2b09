package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/tests/netnstest"
)

// serve starts a server on a socket in a temporary directory and returns the
// socket. It ends with the test.
func serve(t *testing.T, cfg rpc.Config, roles ...rpc.Role) string {
	t.Helper()
	_, path := serveServer(t, cfg, roles...)
	return path
}

// serveServer is serve for those who need the server.
func serveServer(t *testing.T, cfg rpc.Config, roles ...rpc.Role) (*rpc.Server, string) {
	t.Helper()
	return serveGroup(t, cfg, "", roles...)
}

// serveGroup is serveServer with a socket that belongs to a group.
func serveGroup(t *testing.T, cfg rpc.Config, group string, roles ...rpc.Role) (*rpc.Server, string) {
	t.Helper()
	s, err := rpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(roles) == 0 {
		roles = []rpc.Role{rpc.RoleReadWrite}
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := rpc.Listen(rpc.SocketConfig{Path: path, Role: roles[0], Mode: 0o777, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []rpc.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return s, path
}

// virsh runs the real virsh against a socket.
func virsh(t *testing.T, socket string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := virshCommand(t, socket, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), strings.TrimSpace(errOut.String()), err
}

// virshCommand prepares virsh without the settings of whoever runs the test.
func virshCommand(t *testing.T, socket string, args ...string) *exec.Cmd {
	t.Helper()
	netnstest.NeedProgram(t, "virsh")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "virsh", append([]string{"-c", "network:///system?socket=" + socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+t.TempDir())
	return cmd
}

func TestVirshList(t *testing.T) {
	t.Parallel()
	socket := serve(t, rpc.Config{Networks: newFake(testNet("one", 1, true), testNet("two", 2, false))})
	out, stderr, err := virsh(t, socket, "net-list", "--all")
	if err != nil {
		t.Fatalf("net-list: %v: %s", err, stderr)
	}
	want := ` Name   State      Autostart   Persistent
-------------------------------------------
 one    active     no          yes
 two    inactive   no          yes

`
	if out != want {
		t.Errorf("net-list printed:\n%s", out)
	}
}

// TestVirshCommands: what each command prints (rpc.md 4.4).
func TestVirshCommands(t *testing.T) {
	t.Parallel()
	f := newFake(testNet("one", 1, true), testNet("two", 2, false))
	f.leases = []driver.Lease{
		{Interface: "virbr0", Expiry: 4102444800, MAC: "52:54:00:00:00:01", Address: "192.168.122.2", Prefix: 24, Hostname: "vm1"},
		{Interface: "virbr0", Expiry: 4102444800, IPv6: true, MAC: "52:54:00:00:00:02", Address: "2001:db8::2", Prefix: 64, ClientID: "00:01"},
	}
	socket := serve(t, rpc.Config{Networks: f})
	doc := filepath.Join(t.TempDir(), "net.xml")
	if err := os.WriteFile(doc, []byte("<network><name>three</name></network>"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := filepath.Join(t.TempDir(), "port.xml")
	if err := os.WriteFile(port, []byte("<networkport/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	const portUUID = "bb000000-0000-0000-0000-000000000001"
	tests := []struct {
		args   string
		stdout string // contained in the output
		stderr string // what the errors end in; "": success
	}{
		{"uri", "network:///system", ""},
		{"version --daemon", "", "this function is not supported by the connection driver: virConnectGetVersion"},
		{"hostname", "", "this function is not supported by the connection driver: virConnectGetHostname"},
		{"capabilities", "", "this function is not supported by the connection driver: virConnectGetCapabilities"},
		{"list", "", "this function is not supported by the connection driver: virConnectNumOfDomains"},
		{"pool-list", "", "internal error: connection not open"},
		{"net-list", "one    active   no          yes", ""},
		{"net-list --inactive --name", "two", ""},
		{"net-list --all --persistent --uuid", "aa000000-0000-0000-0000-000000000002", ""},
		{"net-info one", "Bridge:         br-one", ""},
		{"net-info three", "", "Network not found: no network with matching name 'three'"},
		{"net-uuid one", "aa000000-0000-0000-0000-000000000001", ""},
		{"net-name aa000000-0000-0000-0000-000000000002", "two", ""},
		{"net-dumpxml one --inactive", "<name>one</name>", ""},
		{"net-start one", "", "Requested operation is not valid: network is already active"},
		{"net-define --validate " + doc, "Network three defined from", ""},
		{"net-start three", "Network three started", ""},
		{"net-autostart three", "Network three marked as autostarted", ""},
		{"net-autostart three --disable", "Network three unmarked as autostarted", ""},
		{"net-update three add ip-dhcp-host <host/> --live --config", "Updated network three persistent config and live state", ""},
		{"net-destroy three", "Network three destroyed", ""},
		{"net-undefine three", "Network three has been undefined", ""},
		{"net-create " + doc, "Network three created from", ""},
		{"net-dhcp-leases one", "52:54:00:00:00:01   ipv4       192.168.122.2/24   vm1        -", ""},
		{"net-dhcp-leases one", "52:54:00:00:00:02   ipv6       2001:db8::2/64     -          00:01", ""},
		{"net-port-create one " + port, "Network port " + portUUID + " created from", ""},
		{"net-port-list one", portUUID, ""},
		{"net-port-dumpxml one " + portUUID, "<networkport/>", ""},
		{"net-port-delete one " + portUUID, "Network port " + portUUID + " deleted", ""},
		{"-r net-list", "one", ""},
		{"-r net-destroy one", "", "operation forbidden: read only access prevents virNetworkDestroy"},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		stdout, stderr, err := virsh(t, socket, args...)
		switch {
		case tt.stderr == "" && err != nil:
			t.Errorf("virsh %s: %v\n%s", tt.args, err, stderr)
		case tt.stderr != "" && (err == nil || !strings.HasSuffix(stderr, "error: "+tt.stderr)):
			t.Errorf("virsh %s: %v, want the error %q:\n%s", tt.args, err, tt.stderr, stderr)
		case !strings.Contains(stdout, tt.stdout):
			t.Errorf("virsh %s printed:\n%s", tt.args, stdout)
		}
	}
}

// TestVirshEvent: virsh hears of an event, over a connection that it keeps
// alive.
func TestVirshEvent(t *testing.T) {
	t.Parallel()
	s, socket := serveServer(t, rpc.Config{Networks: newFake(testNet("one", 1, false))})
	cmd := virshCommand(t, socket, "-k", "1", "net-event", "--event", "lifecycle", "--network", "one", "--timestamp")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(10 * time.Millisecond) // until virsh listens there is nobody to tell
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil || !strings.Contains(out.String(), "event 'lifecycle' for network one: Started") {
				t.Errorf("virsh: %v, printed:\n%s", err, out.String())
			}
			return
		case <-again.C:
			s.Publish(driver.Event{Kind: driver.EventStarted, Network: refOf(testArgs("one", 1))})
		}
	}
}
