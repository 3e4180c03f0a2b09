package host

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// SR-IOV needs hardware, so its directories in sysfs are made by hand, from
// what an Intel I350 looks like.
func TestVirtualFunctions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	device := filepath.Join(dir, "0000:03:00.0")
	for _, d := range []string{device, filepath.Join(dir, "0000:03:10.0/net/enp3s16"), filepath.Join(dir, "0000:03:10.4"), filepath.Join(dir, "000a:83:1f.7/net/eth7")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := functionsOf(device); got != nil {
		t.Errorf("a device without SR-IOV has %+v", got)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(device, "sriov_totalvfs"), []byte("7\n"), 0o644),
		os.Symlink("../0000:03:10.0", filepath.Join(device, "virtfn0")),
		os.Symlink("../0000:03:10.4", filepath.Join(device, "virtfn1")),
		os.Symlink("../000a:83:1f.7", filepath.Join(device, "virtfn2")),
	); err != nil {
		t.Fatal(err)
	}
	want := []step.VF{
		{Netdev: "enp3s16", PCI: xml.PCIAddress{Bus: 3, Slot: 16}},
		{PCI: xml.PCIAddress{Bus: 3, Slot: 16, Function: 4}},
		{Netdev: "eth7", PCI: xml.PCIAddress{Domain: 10, Bus: 0x83, Slot: 31, Function: 7}},
	}
	if diff := cmp.Diff(want, functionsOf(device)); diff != "" {
		t.Errorf("virtual functions (-want +got):\n%s", diff)
	}
}

func TestParsePCIRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "0000:03:00", "0000:03.0", "0000:03:20.0", "0000:03:00.8", "0000:100:00.0", "g000:03:00.0", "100000000:03:00.0"} {
		if a, ok := parsePCI(s); ok {
			t.Errorf("%q is read as %+v", s, a)
		}
	}
}

func TestParseAdvertised(t *testing.T) {
	t.Parallel()
	const prefix = "20010db8000100000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 "
	r, ok := parseAdvertised(prefix + "004c0001     eth9")
	if want := (advertisedRoute{netip.MustParsePrefix("2001:db8:1::/64"), "eth9"}); !ok || r != want {
		t.Errorf("an advertised prefix is read as %+v, %v", r, ok)
	}
	for _, line := range []string{"", prefix, prefix + "00400001 eth9", prefix + "zz4c0001 eth9", "2001 40 0 0 0 0 0 0 00040000 eth9", "20010db8000100000000000000000000 ff 0 0 0 0 0 0 00040000 eth9"} {
		if r, ok := parseAdvertised(line); ok {
			t.Errorf("%q is read as %+v", line, r)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	tests := map[string]step.DnsmasqFacts{
		"Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\n": {Major: 2, Minor: 90},
		"Dnsmasq version 2.67rc1  Copyright":                           {Major: 2, Minor: 67},
		"dnsmasq version 3.1-19-gabc":                                  {Major: 3, Minor: 1},
		"":                                                             {},
		"Dnsmasq version pi-hole-v2.90+1  Copyright":                   {Major: 2, Minor: 90},
		"a sandbox says\nDnsmasq version 2.91":                         {Major: 2, Minor: 91},
		"no dnsmasq version 2.90":                                      {},
		"Dnsmasq version UNKNOWN":                                      {},
		"Dnsmasq version 99999.99999":                                  {},
	}
	for out, want := range tests {
		major, minor, err := parseVersion(out)
		if major != want.Major || minor != want.Minor || (err != nil) != (want == step.DnsmasqFacts{}) {
			t.Errorf("%q is read as %d.%d, %v", out, major, minor, err)
		}
	}
}

func TestServesPIDFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "a&b.conf")
	if err := os.WriteFile(conf, []byte("##\nport=0\npid-file=/run/x/a&amp;b.pid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(dir, "bare.conf")
	if err := os.WriteFile(bare, []byte("port=0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	libvirts := filepath.Join(dir, "libvirts.conf")
	if err := os.WriteFile(libvirts, []byte(`pid-file=/run/x/a\b.pid`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted := filepath.Join(dir, "quoted.conf")
	if err := os.WriteFile(quoted, []byte(`pid-file="/run/x/a\\b \"c\" #d.pid"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, conf, pidFile string
		want                bool
	}{
		{"named by the configuration", conf, "/run/x/a&amp;b.pid", true},
		{"another one's", conf, "/run/x/b.pid", false},
		{"in quotes", quoted, `/run/x/a\b "c" #d.pid`, true},
		{"in libvirt's words", libvirts, `/run/x/a\b.pid`, true},
		{"names none", bare, "/run/x/bare.pid", false},
		{"gone, same name", dir + "/it's.conf", "/run/x/it&apos;s.pid", true},
		{"gone, other name", dir + "/other.conf", "/run/x/it&apos;s.pid", false},
		{"not absolute", "bare.conf", "/run/x/bare.pid", false},
	}
	for _, tt := range tests {
		if got := servesPIDFile([]string{"dnsmasq", "--conf-file=" + tt.conf, "--leasefile-ro"}, tt.pidFile); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if servesPIDFile([]string{"dnsmasq", "-k"}, "/run/x/a.pid") || servesPIDFile(nil, "/run/x/a.pid") {
		t.Error("a dnsmasq without configuration is taken for ours")
	}
}

func TestClassNumbers(t *testing.T) {
	t.Parallel()
	for class, want := range map[uint32]uint32{3: 0x803, 10: 0x810, 99: 0x899, 100: 0x900, 199: 0x999, 200: 0xa00, maxClass: 0xfff} {
		if got := nodeOf(class); got != want {
			t.Errorf("class %d has filter %#x, want %#x", class, got, want)
		}
	}
	seen := map[uint32]uint32{}
	for class := uint32(minClass); class <= maxClass; class++ {
		node := nodeOf(class)
		if other, ok := seen[node]; ok || node > 0xfff {
			t.Errorf("classes %d and %d have filter %#x", other, class, node)
		}
		seen[node] = class
	}
}

// Values of libvirt's tests of tc command lines.
func TestRates(t *testing.T) {
	t.Parallel()
	for average, want := range map[uint64]uint32{0: 1, 1: 1, 1024: 87, 4294967295: 366503875, 1 << 63: 4294967295} {
		if got := quantum(average); got != want {
			t.Errorf("quantum of %d is %d, want %d", average, got, want)
		}
	}
	for kilobytes, want := range map[uint64]uint64{0: 1000, 1: 1000, 1024: 1024000, 1 << 29: 1<<29*1000 + 1, 1 << 63: 1<<50*1000 + 1} {
		if got := bytesPerSecond(kilobytes); got != want {
			t.Errorf("%d kB/s are %d bytes per second, want %d", kilobytes, got, want)
		}
	}
	if got := ticks(1<<40, 1); got != 1<<32-1 {
		t.Errorf("a long time is %d ticks", got)
	}
}
