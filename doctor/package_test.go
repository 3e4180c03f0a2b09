package doctor

import "testing"

func TestLacksFix(t *testing.T) {
	t.Parallel()
	logged := func(version string, fixes ...string) Package {
		return Package{Name: "dnsmasq", Version: version, Logged: true, Fixes: fixes}
	}
	for _, tt := range []struct {
		p    Package
		want bool
	}{
		{Package{}, false},
		{Package{Version: "2.85-1+deb11u1"}, true},
		{Package{Version: "2.85-1+deb11u2"}, false},
		{Package{Version: "2.90-4~deb12u1"}, true},
		{logged("2.90-4~deb12u2"), false},
		{Package{Version: "2.91-1+deb13u1"}, false},
		{logged("2.91-1+deb13u10"), false},
		{logged("2.91-1"), true},
		{Package{Version: "2.91-1"}, false}, // not known: no changelog
		{logged("2.90-2ubuntu0.1", "CVE-2023-50387"), true},
		{logged("2.90-2ubuntu0.2", "CVE-2023-50387", helperCVE), false},
		{logged("2.85-16.el9_4"), true},
		{logged("2.85-16.el9_9", helperCVE), false},
		{logged("2.92-1"), true},
		{logged("2.92rel2-1"), false},
		{logged("2.92.2-1.fc44"), false},
		{logged("1:2.93-1"), false},
		{logged("3.0-1"), false},
		{logged("unknown"), false},
	} {
		if got := tt.p.lacksFix(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.p, got, tt.want)
		}
	}
}
