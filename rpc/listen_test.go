package rpc_test

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc"
)

func TestListen(t *testing.T) {
	old := syscall.Umask(0o077) // nothing that a umask can do
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "new", "sock")
	cfg := rpc.SocketConfig{Path: path, Role: rpc.RoleReadOnly, Mode: 0o766}
	if os.Geteuid() == 0 {
		cfg.Group = "1234"
	}
	l, err := rpc.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o766 || l.Role != rpc.RoleReadOnly {
		t.Errorf("mode %v, role %v", info.Mode(), l.Role)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; cfg.Group != "" && gid != 1234 {
		t.Errorf("group %d", gid)
	}
	if _, err := rpc.Listen(cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second daemon: %v", err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]rpc.SocketConfig{
		"a file in its place":        {Path: file},
		"a long path":                {Path: filepath.Join(dir, strings.Repeat("x", 120))},
		"an unknown group":           {Path: filepath.Join(dir, "s"), Group: "no-such-group"},
		"a directory that is a file": {Path: filepath.Join(file, "s")},
	} {
		if l, err := rpc.Listen(cfg); err == nil {
			_ = l.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestListenStale: the socket of a dead daemon is replaced, and one that took
// our place is left alone.
func TestListenStale(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	ours, err := rpc.Listen(rpc.SocketConfig{Path: path, Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	theirs, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("somebody else's socket was removed: %v", err)
	}
}

// activatedChild is what TestActivated runs, with sockets from file descriptor 3
// on: it prints what systemd handed over.
func activatedChild() {
	listeners, err := rpc.Activated()
	fmt.Printf("unclaimed=%t error=%t\n", errors.Is(err, rpc.ErrUnclaimed), err != nil)
	for _, l := range listeners {
		fmt.Printf("%s %s\n", l.Role, filepath.Base(l.Addr().String()))
		_ = l.Close()
	}
	fmt.Printf("env %q\n", os.Getenv("LISTEN_FDS"))
}

// TestActivated: systemd's sockets are told apart by their names.
func TestActivated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		names string
		pid   string // "": the child's
		want  []string
	}{
		{
			"all, in any order and more than once",
			"virtnetworkd-ro.socket:virtnetworkd.socket:virtnetworkd-admin.socket:virtnetworkd.socket", "",
			[]string{"unclaimed=false error=false", "read-only s0", "read-write s1", "admin s2", "read-write s3", `env ""`},
		},
		{"an unknown name", "virtnetworkd.socket:other.socket", "", []string{"unclaimed=true error=true", `env ""`}},
		{"an empty name", "virtnetworkd.socket::virtnetworkd.socket", "", []string{"unclaimed=true error=true", `env ""`}},
		{"no names", "", "", []string{"unclaimed=false error=false", `env ""`}},
		{"another process's", "virtnetworkd.socket", "1", []string{"unclaimed=false error=false", `env ""`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			count := max(1, strings.Count(tt.names, ":")+1)
			// LISTEN_PID is the process's own, so a shell sets it and becomes the child.
			script := fmt.Sprintf(`export LISTEN_PID=%s LISTEN_FDS=%d; exec "$0"`, stdcmp.Or(tt.pid, "$$"), count)
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, os.Args[0])
			cmd.Env = append(os.Environ(), "RPC_TEST_ACTIVATED=1")
			if tt.names != "" {
				cmd.Env = append(cmd.Env, "LISTEN_FDNAMES="+tt.names)
			}
			var paths []string
			for i := range count {
				path := filepath.Join(dir, fmt.Sprintf("s%d", i))
				l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
				if err != nil {
					t.Fatal(err)
				}
				f, err := l.File()
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				defer f.Close()
				cmd.ExtraFiles = append(cmd.ExtraFiles, f)
				paths = append(paths, path)
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := strings.Split(strings.TrimSpace(string(out)), "\n")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, path := range paths {
				if _, err := os.Lstat(path); err != nil {
					t.Errorf("a socket of systemd's is gone: %v", err)
				}
			}
		})
	}
}

// TestAdminSocket: a connection is not left waiting for a program that is not
// served.
func TestAdminSocket(t *testing.T) {
	t.Parallel()
	connect(t, serve(t, rpc.Config{Networks: newFake()}, rpc.RoleAdmin)).closed()
}
