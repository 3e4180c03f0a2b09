package driver_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
)

// TestPortHooks: scripts hear of each port once when it is made, again when the
// daemon finds it after a restart, and when it is deleted; not of one that is
// refused because its UUID is taken, and not of those that a stop drops.
func TestPortHooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := filepath.Join(r.dir, "heard")
	r.script("network", `case "$2" in port-*)
	doc=$(cat)
	case "$doc" in *"<networkport>"*) with="with its port";; esac
	echo "$1 $2 $3 $4 $with" >>`+heard+`
esac`)
	r.open()
	net := r.define(natNet("default", 0))
	r.start(net)
	if _, err := r.create(net, 1, ""); err != nil {
		t.Fatal(err)
	}
	_, err := r.create(net, 1, "")
	wantKind(t, err, driver.KindPortExists, "Network port with UUID "+uuid(1).String()+" already exists")
	r.reopen()
	if err := r.unplug(net, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := r.create(net, 2, ""); err != nil {
		t.Fatal(err)
	}
	r.destroy(net)
	const created, deleted = "default port-created begin - with its port\n", "default port-deleted begin - with its port\n"
	if diff := cmp.Diff(created+created+deleted+created, r.read(heard)); diff != "" {
		t.Errorf("scripts heard (-want +got):\n%s", diff)
	}
}
