package host_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// bound makes a socket on a port of any address.
func bound(t *testing.T, family, typ, port int, only6 bool, dev string) {
	t.Helper()
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if dev != "" {
		err = unix.BindToDevice(fd, dev)
	}
	if family == unix.AF_INET6 {
		v6only := 0
		if only6 {
			v6only = 1
		}
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v6only),
			unix.Bind(fd, &unix.SockaddrInet6{Port: port}))
	} else {
		err = errors.Join(err, unix.Bind(fd, &unix.SockaddrInet4{Port: port}))
	}
	if typ == unix.SOCK_STREAM {
		err = errors.Join(err, unix.Listen(fd, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestListenersAreSeen(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"})
		bound(t, unix.AF_INET, unix.SOCK_STREAM, 1, false, "")
		bound(t, unix.AF_INET6, unix.SOCK_STREAM, 2, false, "")
		bound(t, unix.AF_INET6, unix.SOCK_STREAM, 3, true, "")
		bound(t, unix.AF_INET, unix.SOCK_DGRAM, 4, false, "virbr0")
		bound(t, unix.AF_INET6, unix.SOCK_DGRAM, 5, false, "")
		l, err := net.Listen("tcp", "127.0.0.1:6")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		for _, network := range []string{"tcp", "udp"} { // connected sockets are no listeners
			if network == "udp" {
				bound(t, unix.AF_INET, unix.SOCK_DGRAM, 6, false, "")
			}
			c, err := net.Dial(network, "127.0.0.1:6")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
		}
		want := map[string]bool{
			"tcp 0.0.0.0:1 false ": true, "tcp [::]:2 true ": true, "tcp [::]:3 false ": true, "udp 0.0.0.0:4 false virbr0": true,
			"udp [::]:5 true ": true, "tcp 127.0.0.1:6 false ": true, "udp 0.0.0.0:6 false ": true,
		}
		list, err := h.Listeners(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			text := fmt.Sprintf("%s %s %v %s", l.Proto, netip.AddrPortFrom(l.Address, l.Port), l.Both, l.Dev)
			if !want[text] {
				t.Errorf("unexpected: %s", text)
			}
			delete(want, text)
			if by := h.Holder(t.Context(), l); by != fmt.Sprintf("host.test (pid %d)", os.Getpid()) {
				t.Errorf("%s is held by %q", text, by)
			}
		}
		if len(want) > 0 {
			t.Errorf("not seen: %v", want)
		}
		if by := h.Holder(t.Context(), step.Listener{Inode: 1}); by != "" {
			t.Errorf("a socket that nobody has is held by %q", by)
		}
	})
}

// A program may call itself anything.
func TestHoldersNamesAreClean(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "socat")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		name := filepath.Join(t.TempDir(), "a\n\x1b[31mb")
		if err := os.Symlink(lookUp(t, "socat"), name); err != nil {
			t.Fatal(err)
		}
		pid := holdPort(t, name, "TCP4-LISTEN:53", "EXEC:true")
		list := wait53(t, h)
		if by := h.Holder(t.Context(), list[0]); by != fmt.Sprintf("a??[31mb (pid %d)", pid) {
			t.Errorf("the holder is %q", by)
		}
	})
}

// holdPort starts a program.
func holdPort(t *testing.T, path string, args ...string) int {
	t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// wait53 waits until somebody has port 53 or 67.
func wait53(t *testing.T, h *host.Host) []step.Listener {
	t.Helper()
	var list []step.Listener
	netnstest.Wait(t, "somebody listens", func() (err error) {
		if list, err = h.Listeners(t.Context()); err == nil && len(list) == 0 {
			err = errors.New("nobody")
		}
		return err
	})
	return list
}

func TestHolderOfPortIsNamed(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "socat")
	for name, tt := range map[string]struct {
		want string
		args []string
	}{
		"one address":  {"DNS port 53 of 10.77.0.1", []string{"TCP4-LISTEN:53,bind=10.77.0.1", "EXEC:true"}},
		"UDP":          {"DNS port 53 of 10.77.0.1", []string{"-u", "UDP4-RECV:53,bind=10.77.0.1", "/dev/null"}},
		"any address":  {"DNS port 53 of 10.77.0.1", []string{"TCP4-LISTEN:53", "EXEC:true"}},
		"any family":   {"DNS port 53 of 10.77.0.1", []string{"TCP6-LISTEN:53,ipv6only=0", "EXEC:true"}},
		"DHCP":         {"DHCP port 67", []string{"-u", "UDP4-RECV:67", "/dev/null"}},
		"another port": {"DNS port 5353 of 10.77.0.1", []string{"TCP4-LISTEN:5353", "EXEC:true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				h := testHost(t)
				op := serve(t, h, "virbr0", 0)
				if name == "another port" {
					run(t, h, step.WriteFile{Path: op.Conf, Mode: 0o600, Data: read(t, op.Conf) + "\nport=5353\n"})
				}
				pid := holdPort(t, lookUp(t, "socat"), tt.args...)
				wait53(t, h)
				err := h.Run(t.Context(), op)
				var exit *host.ExitError
				if !errors.As(err, &exit) {
					t.Fatalf("with the port taken: %v", err)
				}
				want := strings.TrimSpace(exit.Stderr) + fmt.Sprintf("\n%s is taken by socat (pid %d)\n", tt.want, pid)
				if !strings.HasPrefix(err.Error(), "Child process (") || !strings.HasSuffix(err.Error(), " unexpected exit status 2: \n"+want) {
					t.Errorf("error is %q, want ...%q", err, want)
				}
			})
		})
	}
}

func lookUp(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
