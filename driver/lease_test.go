package driver_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
)

func TestLeases(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 3))
	leases := func(mac string) []driver.Lease {
		t.Helper()
		list, err := r.d.Leases(t.Context(), ref, mac)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := leases(""); len(got) != 0 {
		t.Errorf("without a file: %v", got)
	}
	path := r.dirs.Dnsmasq + "/virbr3.status"
	r.write(path, strings.ReplaceAll(`[{"ip-address":"192.168.3.9","mac-address":"52:54:00:00:00:09","hostname":"anna","client-id":"01:52","expiry-time":0},
{"ip-address":"192.168.3.8","mac-address":"52:54:00:00:00:08","expiry-time":1000}]`, "\n", ""))
	want := []driver.Lease{{Interface: "virbr3", MAC: "52:54:00:00:00:09", Address: "192.168.3.9", Prefix: 24, Hostname: "anna", ClientID: "01:52"}}
	for _, mac := range []string{"", "52:54:0:0:0:9"} {
		if diff := cmp.Diff(want, leases(mac)); diff != "" {
			t.Errorf("leases of %q (-want +got)\n%s", mac, diff)
		}
	}
	if got := leases("52:54:00:00:00:08"); len(got) != 0 {
		t.Errorf("a lease that has ended is listed: %v", got)
	}
	_, err := r.d.Leases(t.Context(), ref, "nonsense")
	wantKind(t, err, driver.KindInvalidMAC, "nonsense")
	r.write(path, "[{]")
	_, err = r.d.Leases(t.Context(), ref, "")
	wantKind(t, err, driver.KindInternal, "invalid json in file: "+path)
}
