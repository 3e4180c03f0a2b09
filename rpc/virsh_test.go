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

	"github.com/virbr/virbr/rpc"
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
	s, err := rpc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(roles) == 0 {
		roles = []rpc.Role{rpc.RoleReadWrite}
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := rpc.Listen(rpc.SocketConfig{Path: path, Role: roles[0], Mode: 0o777})
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
	binary, err := exec.LookPath("virsh")
	if err != nil {
		const why = "needs virsh: install libvirt-clients"
		if os.Getenv("REQUIRE_NETNS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"-c", "network:///system?socket=" + socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+t.TempDir())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), strings.TrimSpace(errOut.String()), err
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
