//go:build libvirt_dlopen

package stress

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
)

// inNamespace starts virbrd in a user namespace of its own, with as many inotify
// instances as there may be there. In another one than the first the sysctl is
// the namespace's: nobody else on this machine has less, or more. The mounts are the
// test's, whose end is all its processes' end.
func inNamespace(t *testing.T, instances int, args ...string) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		netnstest.Need(t, "needs root: dnsmasq changes its user, so the namespace must have several")
	}
	script := fmt.Sprintf("echo %d > /proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\"", instances)
	cmd := exec.Command("sh", append([]string{"-c", script, bin("virbrd")}, args...)...)
	all := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
		Pdeathsig: syscall.SIGKILL,
	}
	return launch(t, cmd)
}

// TestInotifyIsRaised: virbrd sees that inotify instances run out and raises the
// limit, before a network fails. libvirt's driver ends there, with dnsmasq's
// "failed to create inotify: Too many open files".
func TestInotifyIsRaised(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		const limit, networks = 18, 24
		d := inNamespace(t, limit)
		for i, net := range d.define(networks) {
			if err := net.Create(); err != nil {
				t.Fatalf("network %d of %d: %v", i+1, networks, err)
			}
		}
		const said = "raised a limit of the kernel, for more networks\" sysctl=user.max_inotify_instances from=18 to=274"
		if n := strings.Count(d.log.String(), "raised a limit"); n != 1 || !strings.Contains(d.log.String(), said) {
			t.Errorf("raised %d times, want once and %q", n, said)
		}
	})
}

// TestInotifyIsShort: where the limit is not to be raised, or cannot be, a start
// is refused before it did anything, and says what to set.
func TestInotifyIsShort(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T) []string{
		"forbidden": func(t *testing.T) []string {
			t.Helper()
			conf := t.TempDir() + "/virbrd.conf"
			if err := os.WriteFile(conf, []byte("raise_limits = 0\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"--virbrd-config", conf}
		},
		"read-only": func(t *testing.T) []string { t.Helper(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				const limit = 3
				d := inNamespace(t, limit, prepare(t)...)
				if name == "read-only" { // as in a container
					protect(t, "/proc/sys/user")
				}
				nets, up := d.define(limit+1), 0
				var err error
				for _, net := range nets {
					if err = net.Create(); err != nil {
						break
					}
					up++
				}
				const want = "needs 1 more inotify instance, and the host allows 0: set the sysctl user.max_inotify_instances to 259 (now 3)"
				if up == 0 || err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("after %d networks: %v, want %q", up, err, want)
				}
				if _, err := os.Stat(fmt.Sprintf("/run/libvirt/network/net%d.pid", up)); err == nil {
					t.Error("something was started")
				}
			})
		})
	}
}

// protect makes a place read-only for the test and its daemon.
func protect(t *testing.T, place string) {
	t.Helper()
	err := unix.Mount(place, place, "", unix.MS_BIND, "")
	if err == nil {
		err = unix.Mount("", place, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	if err != nil {
		t.Fatalf("making %s read-only: %v", place, err)
	}
}
