package netnstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Private gives the test copies of directories of its own at the same places, in
// the mount namespace that [Run] made.
func Private(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		scratch := t.TempDir()
		if out, err := exec.Command("cp", "-a", dir+"/.", scratch).CombinedOutput(); err != nil {
			t.Fatalf("copying %s: %v: %s", dir, err, out)
		}
		if err := unix.Mount(scratch, dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatalf("mounting over %s: %v", dir, err)
		}
	}
}

// PrivateFirewalld gives the test firewalld's own files, without the zones and
// policies that libvirt's package installs where it is there.
func PrivateFirewalld(t testing.TB) {
	t.Helper()
	Private(t, "/etc/firewalld", "/usr/lib/firewalld")
	theirs, err := filepath.Glob("/usr/lib/firewalld/*/libvirt*.xml")
	for _, file := range theirs {
		if err == nil {
			err = os.Remove(file)
		}
	}
	if err != nil {
		t.Fatalf("leaving out libvirt's zones: %v", err)
	}
}
