package leases_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/leases"
)

// TestNumbers: the files for dnsmasq follow the leases, and dnsmasq is told when
// one is gone, and only then.
func TestNumbers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.dirs.Numbered("virbr7")
	reloads := 0
	call := func(args ...string) {
		t.Helper()
		env := map[string]string{"DNSMASQ_INTERFACE": "virbr7", "DNSMASQ_LEASE_EXPIRES": "1900000000", "DNSMASQ_SUPPLIED_HOSTNAME": "evil,ignore"}
		h := leases.Helper{Dir: b.dir, Getenv: func(key string) string { return env[key] }, Out: io.Discard}
		if err := h.Run(args); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		stale, err := leases.Stale(b.dirs, "virbr7")
		if err != nil {
			t.Fatal(err)
		}
		if stale {
			reloads++
		}
	}
	how := func(text string) {
		t.Helper()
		if err := os.WriteFile(b.dirs.Numbering("virbr7"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, wantReloads int, want map[string]string) {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, path := range list {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got[filepath.Base(path)] = string(text)
		}
		if diff := cmp.Diff(want, got); diff != "" || reloads != wantReloads {
			t.Errorf("%s: dnsmasq was told %d times, want %d; files (-want +got)\n%s", what, reloads, wantReloads, diff)
		}
	}
	line := func(i int) string { return mac(i) + "," + address(i) + ",[fd00:31::a07:" + string(rune('0'+i)) + "]\n" }

	call("add", mac(1), address(1))
	check("a network without numbers", 0, map[string]string{})
	how("fd00:31::/64\n" + address(9) + "\n")
	call("init")
	check("dnsmasq starts", 0, map[string]string{address(1): line(1)})
	call("add", mac(2), address(2))
	call("add", mac(9), address(9))
	call("old", mac(1), address(1))
	check("leases come, one of a static host", 0, map[string]string{address(1): line(1), address(2): line(2)})
	call("del", mac(1), address(1))
	call("del", mac(9), address(9))
	check("leases go", 1, map[string]string{address(2): line(2)})
	call("add", mac(3), address(2))
	check("another guest has the address", 2, map[string]string{address(2): mac(3) + "," + address(2) + ",[fd00:31::a07:2]\n"})
	how("fd00:31::/64\n" + address(2) + "\n")
	call("old", mac(3), address(2))
	check("the lease became a static host's", 3, map[string]string{})
	how("")
	call("add", mac(4), address(4))
	check("the network stopped", 3, map[string]string{})
}
