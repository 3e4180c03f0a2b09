package driver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// tapOf is the tap of the guest that portDoc is of.
func tapOf(n int) step.Member {
	return step.Member{Name: "vnet7", Index: 70 + n, MAC: xml.MAC{0xfe, 0x54, 0, 0xaa, 0xbb, byte(n)}}
}

// What is remembered of a guest lasts until it is back, its port until the guest's
// hypervisor says that it has gone.
func TestDetached(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.up("<bridge name='virbr7'/><ip address='10.7.0.1' prefix='24'/>")
	r.host.Plug("virbr7", tapOf(1))
	if _, err := r.create(ref, 1, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.create(ref, 2, ""); err != nil { // of no link that is there
		t.Fatal(err)
	}
	restart := func(between func()) string {
		t.Helper()
		r.destroy(ref)
		between()
		r.host.Lines()
		r.start(ref)
		if text := strings.Join(r.host.Lines(), "\n"); strings.Index(text, "link set vnet7 master virbr7") > strings.Index(text, "link set virbr7 up") {
			t.Errorf("the guest is plugged in after the bridge is up:\n%s", text)
		}
		list, err := r.d.Ports(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, p := range list {
			text += p.UUID.String() + "\n"
		}
		return text
	}
	one := uuid(1).String() + "\n"
	if got := restart(func() {}); got != one {
		t.Errorf("ports are %q, want %q", got, one)
	}
	if got := restart(r.reopen); got != one {
		t.Errorf("after a restart of the daemon ports are %q, want %q", got, one)
	}
	gone := func() {
		if err := r.unplug(ref, 1); err == nil {
			t.Error("a port of a network that does not run was there")
		}
	}
	if got := restart(gone); got != "" {
		t.Errorf("a guest has gone, and its port is back: %q", got)
	}
	r.destroy(ref)
	bad := filepath.Join(r.dirs.Own, "detached", ref.UUID.String()+".json")
	if err := os.WriteFile(bad, []byte(`{"uuid":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	r.start(ref)
	if _, err := os.Stat(bad); err == nil {
		t.Error("a file that makes no sense stays")
	}
}
