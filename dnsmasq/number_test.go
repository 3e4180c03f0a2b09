package dnsmasq_test

import (
	"net/netip"
	"testing"

	"github.com/virbr/virbr/dnsmasq"
)

func TestNumbering(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "10.0.0.0/8\n", "fd00::/64\nx\n", "fd00::1\n", "fd00::/64\n10.0.0.1\n\n"} {
		if n, ok := dnsmasq.ParseNumbering(text); ok {
			t.Errorf("%q was read as %v", text, n)
		}
	}
	n, ok := dnsmasq.ParseNumbering("fd00:31::/64\n10.0.0.7\n")
	if !ok || n.Prefix != netip.MustParsePrefix("fd00:31::/64") {
		t.Fatalf("got %v, %v", n, ok)
	}
	const mac = "52:54:00:ab:cd:0e"
	for _, tt := range []struct {
		name, address, mac, file, text string
		ok                             bool
	}{
		{"a lease", "10.0.0.5", mac, "10.0.0.5", mac + ",10.0.0.5,[fd00:31::a00:5]\n", true},
		{"a static host's", "10.0.0.7", mac, "10.0.0.7", "", true},
		{"not Ethernet", "10.0.0.5", "06-" + mac, "10.0.0.5", "", true},
		{"a MAC address that is none", "10.0.0.5", "52:54:00:ab:cd,ign", "10.0.0.5", "", true},
		{"no MAC address", "10.0.0.5", "", "10.0.0.5", "", true},
		{"IPv6", "fd00:31::5", mac, "", "", false},
		{"a path", "../10.0.0.5", mac, "", "", false},
	} {
		file, text, ok := n.Host(dnsmasq.Entry{Address: tt.address, MAC: tt.mac, Hostname: "ignore"})
		if file != tt.file || text != tt.text || ok != tt.ok {
			t.Errorf("%s: %q %q %v, want %q %q %v", tt.name, file, text, ok, tt.file, tt.text, tt.ok)
		}
	}
}
