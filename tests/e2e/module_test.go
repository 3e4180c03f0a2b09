package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// startModule starts Debian's libvirtd with our module in the place of its network
// driver, and the virbrd that serves it.
func startModule(t *testing.T, env ...string) (libvirtd, virbrd *daemon) {
	t.Helper()
	virbrd = startVirbrd(t)
	libvirtd = startLibvirtdWith(t, bin("libvirt_driver_network.so"), env...)
	if !strings.Contains(libvirtd.log.String(), "virbr: virbrd serves the networks of this libvirtd, by module ") {
		t.Fatalf("the module was not loaded:\n%s", libvirtd.log)
	}
	return libvirtd, virbrd
}

// startLibvirtdWith starts Debian's libvirtd with a network module in the place of
// its own, and more in its environment.
func startLibvirtdWith(t *testing.T, module string, env ...string) *daemon {
	t.Helper()
	netnstest.NeedProgram(t, "libvirtd", "virsh")
	if _, err := os.Stat(module); err != nil {
		netnstest.Need(t, "needs libvirtd's module, which was not built: install gcc and libvirt-dev")
	}
	if err := libvirttest.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := libvirttest.Module(module); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, uri: "qemu:///system", env: env}
	d.start("libvirtd")
	return d
}
