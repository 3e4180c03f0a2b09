package debiantest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
)

// The Debians that tests/install-root makes, seen from the directory of a package of tests.
const (
	Debian12 = "../.cache/debian"
	Debian13 = "../.cache/debian13" // with libvirtd and QEMU
	Cockpit  = "../.cache/cockpit"  // Debian 12 with Cockpit
)

// Root is a Debian that may be changed: an overlay, gone with the test's mount
// namespace.
type Root struct{ dir string }

// Need skips a test that has no Debian, or fails it when REQUIRE_NETNS=1. It
// is called outside of the test's namespaces.
func Need(t *testing.T, debian string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(debian, "complete"))
	if err != nil {
		err = fmt.Errorf("needs a Debian to install packages in: %w; run tests/install-root as root", err)
	} else if os.Geteuid() != 0 {
		err = errors.New("needs root: packages install files of several owners")
	}
	if err != nil {
		netnstest.Need(t, err.Error())
	}
}

// New makes one. Nothing in it is the host's, and nobody removes it file by file: it goes
// with its mounts.
func New(t *testing.T, debian string) Root {
	t.Helper()
	lower, err := filepath.EvalSymlinks(debian)
	if err == nil {
		lower, err = filepath.Abs(lower)
	}
	if err != nil {
		t.Fatal(err)
	}
	top, err := os.MkdirTemp("", "virbr-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(top, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", top, err)
		}
		_ = os.Remove(top) // a busy one stays; it is empty
	})
	mount(t, "tmpfs", top, "tmpfs", 0, "mode=0755")
	r := Root{filepath.Join(top, "root")}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "overlay", r.dir, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, top, top))
	mount(t, "proc", r.Path("/proc"), "proc", 0, "")
	mount(t, "sysfs", r.Path("/sys"), "sysfs", 0, "")
	mount(t, "tmpfs", r.Path("/run"), "tmpfs", 0, "mode=0755")
	r.devices(t)
	return r
}

// Bind shows a directory of ours in the root, to be read only.
func (r Root) Bind(t *testing.T, source, target string) {
	t.Helper()
	if err := os.MkdirAll(r.Path(target), 0o755); err != nil {
		t.Fatal(err)
	}
	mount(t, source, r.Path(target), "", unix.MS_BIND, "")
	mount(t, "", r.Path(target), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// devices makes the few that programs want.
func (r Root) devices(t *testing.T) {
	t.Helper()
	mount(t, "tmpfs", r.Path("/dev"), "tmpfs", 0, "mode=0755")
	for minor, name := range map[uint32]string{3: "null", 5: "zero", 7: "full", 8: "random", 9: "urandom"} {
		path := r.Path("/dev/" + name)
		err := unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(1, minor)))
		if err := errors.Join(err, os.Chmod(path, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink("/proc/self/"+target, r.Path("/dev/"+name)); err != nil {
			t.Fatal(err)
		}
	}
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mounting %s: %v", target, err)
	}
}

// Path returns where a file of the root is for us.
func (r Root) Path(name string) string { return filepath.Join(r.dir, name) }

// Command is a shell script in the root.
func (r Root) Command(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// Sh runs a shell script in the root and returns what it prints.
func (r Root) Sh(t *testing.T, script string) string {
	t.Helper()
	out, err := r.Command(t, script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}
