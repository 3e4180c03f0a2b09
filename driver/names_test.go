package driver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/driver"
)

// oddNames are names of networks that are, with libvirt's layout of files, in each
// other's way: a directory of ports where a status or pid file, or the daemon's own
// marker, has to be.
var oddNames = []string{"foo.xml", "foo.pid", "foo.xml.xml", "autostarted", "driver.pid", "foo+ports", "foo.xml+ports", "foo"}

// TestNamesInEachOthersWay: networks of such names run beside each other with ports,
// also after a restart, and their ports stay their own.
func TestNamesInEachOthersWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.open()
	var refs []driver.Ref
	for i, name := range oddNames {
		ref := r.define(natNet(name, i))
		r.start(ref)
		if _, err := r.create(ref, i+1, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		refs = append(refs, ref)
	}
	r.reopen()
	for i, ref := range refs {
		if list, err := r.d.Ports(t.Context(), ref); err != nil || len(list) != 1 || list[0].UUID != uuid(i+1) {
			t.Errorf("%s after a restart: ports %v, %v", ref.Name, list, err)
		}
		r.destroy(ref)
		r.start(ref)
	}
}

// TestPortsThatLibvirtLeftInTheWay: ports of odd names are found where libvirt's
// daemon keeps them, and make room.
func TestPortsThatLibvirtLeftInTheWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.open()
	foo := r.define(natNet("foo", 1))
	odd := r.define(natNet("foo.xml", 2))
	r.start(odd)
	if _, err := r.create(odd, 1, ""); err != nil {
		t.Fatal(err)
	}
	r.close()
	theirs := filepath.Join(r.dirs.State, "foo.xml")
	if err := os.Rename(theirs+"+ports", theirs); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(theirs+"+ports", "ports", "stale"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.open()
	if list, err := r.d.Ports(t.Context(), odd); err != nil || len(list) != 1 {
		t.Errorf("ports %v, %v", list, err)
	}
	r.start(foo)
}

// TestLeasesOfASharedBridge: what has a bridge's name stays until the last network
// that names the bridge is gone, whichever that is and however it goes.
func TestLeasesOfASharedBridge(t *testing.T) {
	t.Parallel()
	const other = "<network><name>other</name><forward mode='bridge'/><bridge name='virbr0'/></network>"
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running %v", running), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.open()
			owner := r.define(natNet("default", 0))
			if running {
				r.start(owner)
			}
			files := []string{"virbr0.status", "virbr0.macs", "virbr0.numbers", "virbr/virbr0.status", "virbr/virbr0.lock", "virbr/virbr0.hosts6/10.0.0.2"}
			for _, name := range files {
				r.write(filepath.Join(r.dirs.Dnsmasq, name), "x")
			}
			wantFiles := func(there bool, when string) {
				t.Helper()
				for _, name := range files {
					if _, err := os.Lstat(filepath.Join(r.dirs.Dnsmasq, name)); (err == nil) != there {
						t.Errorf("%s: %s: %v", when, name, err)
					}
				}
			}
			guest := r.define(other)
			if err := r.d.Undefine(t.Context(), guest); err != nil {
				t.Fatal(err)
			}
			wantFiles(true, "another network was undefined")
			if running { // a bridge that is there
				guest, err := r.d.CreateXML(t.Context(), other, false)
				if err != nil {
					t.Fatal(err)
				}
				r.destroy(guest)
				wantFiles(true, "another network was destroyed")
				r.destroy(owner)
			}
			guest = r.define(other)
			if err := r.d.Undefine(t.Context(), owner); err != nil {
				t.Fatal(err)
			}
			wantFiles(true, "one of two networks was undefined")
			if err := r.d.Undefine(t.Context(), guest); err != nil {
				t.Fatal(err)
			}
			wantFiles(false, "the last network was undefined")
		})
	}
}
