package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// mainEnv makes this test binary virbrd itself, in a process of its own.
const mainEnv = "VIRBR_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// daemon is a running virbrd and what it tells systemd.
type daemon struct {
	*exec.Cmd
	log    bytes.Buffer
	notify *net.UnixConn
}

// start runs virbrd. Files are handed over as systemd does, with their names;
// the shell is there because systemd's way names the process itself.
func start(t *testing.T, names string, handed []*os.File, args ...string) *daemon {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{notify: conn}
	d.Cmd = exec.Command("sh", append([]string{"-c", `[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$; exec "$0" "$@"`, os.Args[0]}, args...)...)
	d.Env = append(os.Environ(), mainEnv+"=1", "NOTIFY_SOCKET="+path)
	if len(handed) > 0 {
		d.Env = append(d.Env, fmt.Sprintf("LISTEN_FDS=%d", len(handed)), "LISTEN_FDNAMES="+names)
	}
	d.ExtraFiles = handed
	d.Stderr = &d.log
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Process.Kill() // no matter if it is gone already
		_ = d.Wait()
		_ = conn.Close()
	})
	return d
}

// expect waits for a message to systemd.
func (d *daemon) expect(t *testing.T, want string) {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := d.notify.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := strings.Cut(string(buf[:n]), "\n"); got != want {
		t.Fatalf("told systemd %q, want %q", got, want)
	}
}

// end waits for the daemon's exit status.
func (d *daemon) end(t *testing.T) int {
	t.Helper()
	if err := d.Wait(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return d.ProcessState.ExitCode()
}

func TestLife(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		conf := filepath.Join(files(t, map[string]string{"d.conf": "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_ro_perms = \"0755\"\n"}), "d.conf")
		d := start(t, "", nil, "--config", conf)
		d.expect(t, "READY=1")
		for path, want := range map[string]fs.FileMode{
			"/run/libvirt/virtnetworkd-sock":       0o700,
			"/run/libvirt/virtnetworkd-sock-ro":    0o755,
			"/run/libvirt/virtnetworkd-admin-sock": 0o700,
		} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != want|fs.ModeSocket {
				t.Errorf("%s has mode %v, want %v", path, info.Mode(), want|fs.ModeSocket)
			}
		}
		pid, err := os.ReadFile("/run/virtnetworkd.pid")
		if err != nil || string(pid) != strconv.Itoa(d.Process.Pid) {
			t.Errorf("pid file has %q, %v, want %d", pid, err, d.Process.Pid)
		}

		second := start(t, "", nil, "--config", conf)
		if code := second.end(t); code != 1 || !strings.Contains(second.log.String(), fmt.Sprintf("process %d", d.Process.Pid)) {
			t.Errorf("a second daemon: status %d\n%s", code, &second.log)
		}

		signalTo(t, d, syscall.SIGHUP)
		d.expect(t, "RELOADING=1")
		d.expect(t, "READY=1")
		signalTo(t, d, syscall.SIGTERM)
		d.expect(t, "STOPPING=1")
		if code := d.end(t); code != 0 {
			t.Errorf("exit status %d\n%s", code, &d.log)
		}
		left, err := filepath.Glob("/run/libvirt/*sock*")
		if _, statErr := os.Stat("/run/virtnetworkd.pid"); err != nil || len(left) > 0 || !errors.Is(statErr, fs.ErrNotExist) {
			t.Errorf("left behind: %v, pid file %v", left, statErr)
		}
	})
}

// TestEarlyHangup: who signals a daemon that is about to start does not end it.
func TestEarlyHangup(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		d := start(t, "", nil)
		netnstest.Wait(t, "there is a pid file", func() error {
			_, err := os.Stat("/run/virtnetworkd.pid")
			return err
		})
		signalTo(t, d, syscall.SIGHUP)
		d.expect(t, "READY=1")
		d.expect(t, "RELOADING=1")
		d.expect(t, "READY=1")
		signalTo(t, d, syscall.SIGTERM)
		if code := d.end(t); code != 0 {
			t.Errorf("exit status %d\n%s", code, &d.log)
		}
	})
}

func signalTo(t *testing.T, d *daemon, s os.Signal) {
	t.Helper()
	if err := d.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestIdleDaemonEnds(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		d := start(t, "", nil, "--timeout", "1")
		if code := d.end(t); code != 0 || !strings.Contains(d.log.String(), "no client needs the daemon") {
			t.Errorf("exit status %d\n%s", code, &d.log)
		}
	})
}

// socketUnit makes a listening socket, as systemd does.
func socketUnit(t *testing.T, path string, mode fs.FileMode) *os.File {
	t.Helper()
	f := abstractUnit(t, path)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return f
}

// abstractUnit makes a listening socket whose permissions nobody looks after: a
// name that begins with "@" is in no directory.
func abstractUnit(t *testing.T, name string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestActivation(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh")
		path := filepath.Join(t.TempDir(), "sock")
		d := start(t, "virtnetworkd.socket", []*os.File{socketUnit(t, path, 0o600)})
		d.expect(t, "READY=1")
		out, err := exec.CommandContext(t.Context(), "virsh", "-c", "network:///system?socket="+path, "net-list", "--all", "--name").CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "" {
			t.Errorf("net-list: %v\n%s", err, out)
		}
		if _, err := os.Stat("/run/libvirt/virtnetworkd-sock"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it made a socket of its own: %v", err)
		}
		signalTo(t, d, syscall.SIGTERM)
		d.end(t)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("it removed systemd's socket: %v", err)
		}
	})
}

// hidePolkit makes this a host without polkit, in the test's own mounts.
func hidePolkit(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(polkitActions); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "tmpfs", filepath.Dir(polkitActions)).CombinedOutput(); err != nil {
		t.Fatalf("hiding polkit: %v\n%s", err, out)
	}
}

func TestActivationRefuses(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		hidePolkit(t)
		dir := files(t, map[string]string{"open.conf": "auth_unix_rw = \"none\"\n", "empty.conf": ""})
		path := filepath.Join(t.TempDir(), "sock")
		open, abstract := socketUnit(t, path, 0o666), abstractUnit(t, "@virbrd-test")
		tests := []struct {
			name, unit, conf string
			socket           *os.File
			code             int
			want             string
		}{
			{"a socket that is not ours", "sshd.socket", "empty.conf", open, 6, "unclaimed"},
			{"open to everybody", "virtnetworkd.socket", "empty.conf", open, 1, "lets every local user change networks"},
			{"abstract", "virtnetworkd.socket", "empty.conf", abstract, 1, "nobody can tell who may connect"},
		}
		for _, tt := range tests {
			d := start(t, tt.unit, []*os.File{tt.socket}, "--config", filepath.Join(dir, tt.conf))
			if diff := cmp.Diff(tt.code, d.end(t)); diff != "" || !strings.Contains(d.log.String(), tt.want) {
				t.Errorf("%s: status (-want +got)\n%s%s", tt.name, diff, &d.log)
			}
		}
		d := start(t, "virtnetworkd.socket", []*os.File{open}, "--config", filepath.Join(dir, "open.conf"))
		d.expect(t, "READY=1") // said in words
		signalTo(t, d, syscall.SIGTERM)
		d.end(t)
	})
}
