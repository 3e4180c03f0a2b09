package xml

import (
	"net/netip"
	"strings"
	"testing"
)

func TestEmbed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ prefix, v4, want string }{
		{"2001:db8:31::/64", "192.168.122.50", "2001:db8:31::c0a8:7a32"},
		{"2001:db8:31::9/64", "192.168.122.50", "2001:db8:31::c0a8:7a32"},
		{"2001:db8:31:0:1::/96", "192.168.122.50", "2001:db8:31:0:1:0:c0a8:7a32"},
		{"2001:db8:31::ab00:0/104", "192.168.122.50", "2001:db8:31::aba8:7a32"},
		{"2001:db8:31::ff00/120", "192.168.122.50", "2001:db8:31::ff32"},
		{"2001:db8:31::/123", "192.168.122.50", "2001:db8:31::12"},
		{"2001:db8:31::/126", "255.255.255.255", "2001:db8:31::3"},
	} {
		got := Embed(netip.MustParsePrefix(tt.prefix), netip.MustParseAddr(tt.v4))
		if got.String() != tt.want {
			t.Errorf("%s in %s: %s, want %s", tt.v4, tt.prefix, got, tt.want)
		}
	}
}

func TestHostIDsCollide(t *testing.T) {
	t.Parallel()
	host := func(name, ip string) string { return "<host name='" + name + "' ip='" + ip + "'/>" }
	span := func(start, end string) string { return "<range start='" + start + "' end='" + end + "'/>" }
	for _, tt := range []struct{ prefix, hosts, want string }{
		{"ula", host("a", "10.0.1.1") + host("b", "10.0.1.2"), ""},
		{"auto", host("a", "10.0.1.1") + host("b", "10.0.1.1"), "gives fc00::a00:101 to host b 10.0.1.1, but it belongs to host a 10.0.1.1"},
		{"2001:db8::/112", host("a", "10.0.1.9") + host("b", "10.0.2.9"), ""},
		{"2001:db8::/120", host("a", "10.0.1.9") + host("b", "10.0.2.9"), "gives 2001:db8::9 to host b 10.0.2.9, but it belongs to host a 10.0.1.9"},
		{"2001:db8::/120", host("a", "10.0.2.1"), "gives 2001:db8::1 to host a 10.0.2.1, but it belongs to the bridge"},
		{"2001:db8::/120", host("a", "10.0.2.0"), "gives 2001:db8:: to host a 10.0.2.0, but it belongs to routers of the subnet"},
		{"2001:db8::9/120", host("a", "10.0.2.9"), "gives 2001:db8::9 to host a 10.0.2.9, but it belongs to the bridge"},
		{"2001:db8::/64", span("10.0.0.1", "10.0.255.254"), ""},
		{"2001:db8::/120", span("10.0.0.1", "10.0.0.254"), ""}, // .1 is the bridge's own
		{"2001:db8::/120", span("10.0.0.200", "10.0.1.9"), "gives 2001:db8:: to a lease of 10.0.1.0 in 10.0.0.200 - 10.0.1.9, but it belongs to routers"},
		{"2001:db8::/120", span("10.0.0.2", "10.0.1.9"), "has no room for the range 10.0.0.2 - 10.0.1.9 in 2001:db8::/120"},
		{"2001:db8::/120", span("10.0.0.2", "10.0.0.9") + span("10.0.0.5", "10.0.0.20"), ""},
		{"2001:db8::/120", span("10.0.0.2", "10.0.0.9") + span("10.0.1.9", "10.0.1.20"), "gives 2001:db8::9 to leases of 10.0.0.2 - 10.0.0.9 and of 10.0.1.9 - 10.0.1.20"},
		{"2001:db8::/120", span("10.0.0.2", "10.0.0.9") + host("a", "10.0.0.5"), ""},
		{"2001:db8::/120", span("10.0.0.2", "10.0.0.9") + host("a", "10.0.1.5"), "gives 2001:db8::5 to a lease of 10.0.0.5 in 10.0.0.2 - 10.0.0.9, but it belongs to host a 10.0.1.5"},
		{"2001:db8::5/120", span("10.0.0.2", "10.0.0.9"), "gives 2001:db8::5 to a lease of 10.0.0.5 in 10.0.0.2 - 10.0.0.9, but it belongs to the bridge"},
		{"2001:db8::a00:5/64", span("10.0.0.2", "10.0.0.9"), "gives 2001:db8::a00:5 to a lease of 10.0.0.5 in 10.0.0.2 - 10.0.0.9, but it belongs to the bridge"},
		{"2001:db8::1:a00:5/64", span("10.0.0.2", "10.0.0.9"), ""},
	} {
		doc := inside("<ipv6 hostid='ipv4' advprefix='" + tt.prefix + "'/><ip address='10.0.0.1' prefix='16'><dhcp>" + tt.hosts + "</dhcp></ip>")
		err := mustParse(t, doc).Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s: %v, want %q", tt.prefix, tt.hosts, err, tt.want)
		}
	}
}
