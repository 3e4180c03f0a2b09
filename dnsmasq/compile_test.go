package dnsmasq_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

// places are where libvirt keeps dnsmasq's files.
var places = dnsmasq.Dirs{Run: "/run/libvirt/network", Dnsmasq: "/var/lib/libvirt/dnsmasq"}

// parse reads a network of the given elements, on bridge virbr0.
func parse(t *testing.T, elements string) *xml.Network {
	t.Helper()
	def, err := xml.ParseNetwork([]byte("<network><name>net</name><bridge name='virbr0'/>" + elements + "</network>"))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func TestWanted(t *testing.T) {
	t.Parallel()
	const (
		ip    = "<ip address='10.0.0.1' prefix='24'/>"
		rng   = "<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' end='10.0.0.3'/></dhcp></ip>"
		host  = "<ip family='ipv6' address='fd00::1' prefix='64'><dhcp><host name='a' ip='fd00::2'/></dhcp></ip>"
		tftp  = "<ip address='10.0.0.1' prefix='24'><tftp root='/t'/></ip>"
		noDNS = "<dns enable='no'/>"
	)
	for _, tt := range []struct {
		name, elements string
		want           bool
	}{
		{"isolated without address", "", false},
		{"isolated", ip, true},
		{"nat", "<forward mode='nat'/>" + ip, true},
		{"route", "<forward mode='route'/>" + ip, true},
		{"open", "<forward mode='open'/>" + ip, true},
		{"bridge", "<forward mode='bridge'/>", false},
		{"no DNS, address only", noDNS + ip, false},
		{"no DNS, IPv6 address only", noDNS + "<ip family='ipv6' address='fd00::1' prefix='64'/>", true},
		{"no DNS, range", noDNS + rng, true},
		{"no DNS, IPv6 host", noDNS + ip + host, true},
		{"no DNS, tftp", noDNS + tftp, true},
		{"address still to be chosen", "<ip type='auto'/>", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := dnsmasq.Wanted(parse(t, tt.elements)); got != tt.want {
				t.Errorf("Wanted = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPidFileLine(t *testing.T) {
	t.Parallel()
	def := parse(t, "<ip address='10.0.0.1' prefix='24'/>")
	for _, tt := range []struct {
		dirs dnsmasq.Dirs
		want bool
	}{{places, true}, {dnsmasq.Dirs{Dnsmasq: places.Dnsmasq}, false}} {
		files, err := dnsmasq.Compile(def, tt.dirs)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(files.Conf, "\npid-file=/run/libvirt/network/net.pid\n"); got != tt.want {
			t.Errorf("with Run %q: pid-file line is %v, want %v", tt.dirs.Run, got, tt.want)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	files, err := dnsmasq.Compile(parse(t, ""), places)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(files.Conf, "\n")
	for i, line := range lines[:6] {
		if !strings.HasPrefix(line, "##") {
			t.Errorf("line %d is no comment: %q", i+1, line)
		}
	}
	if !strings.HasSuffix(lines[2], " net") || lines[6] != "strict-order" {
		t.Errorf("header:\n%s", files.Conf)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	const name = `a "b" & <c>`
	got := []string{
		places.Conf(name), places.Hosts(name), places.AddnHosts(name), places.PidFile(name),
		places.Status("virbr0"), places.MACs("virbr0"),
	}
	want := []string{
		`/var/lib/libvirt/dnsmasq/a "b" & <c>.conf`,
		`/var/lib/libvirt/dnsmasq/a &quot;b&quot; &amp; &lt;c&gt;.hostsfile`,
		`/var/lib/libvirt/dnsmasq/a &quot;b&quot; &amp; &lt;c&gt;.addnhosts`,
		`/run/libvirt/network/a &quot;b&quot; &amp; &lt;c&gt;.pid`,
		`/var/lib/libvirt/dnsmasq/virbr0.status`,
		`/var/lib/libvirt/dnsmasq/virbr0.macs`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// refused wants an xml.Error of a kind and with a message.
func refused(t *testing.T, err error, kind xml.Kind, msg string) {
	t.Helper()
	xe, ok := errors.AsType[*xml.Error](err)
	if !ok || xe.Kind != kind || xe.Msg != msg {
		t.Errorf("got %#v, want kind %d, %q", err, kind, msg)
	}
}

func TestErrorsOfLibvirt(t *testing.T) {
	t.Parallel()
	zone := func(family string, prefix string) string {
		return "PTR domain for " + family + " network with prefix " + prefix + " cannot be automatically created"
	}
	multiple := func(family string) string {
		return "Multiple " + family + " dhcp sections found -- dhcp is supported only for a single " + family + " address on each network"
	}
	const host4, host6 = "<dhcp><host mac='52:54:00:00:00:01' ip='10.0.0.9'/></dhcp>", "<dhcp><host name='a' ip='fd00::9'/></dhcp>"
	for _, tt := range []struct {
		name, elements string
		kind           xml.Kind
		msg            string
	}{
		{"ptr of /25", "<ip address='10.0.0.1' prefix='25' localPtr='yes'/>", xml.KindUnsupported, zone("IPv4", "25")},
		{"ptr of /32", "<ip address='10.0.0.1' prefix='32' localPtr='yes'/>", xml.KindUnsupported, zone("IPv4", "32")},
		{"ptr of /63", "<ip family='ipv6' address='fd00::1' prefix='63' localPtr='yes'/>", xml.KindUnsupported, zone("IPv6", "63")},
		{"ptr of /128", "<ip family='ipv6' address='fd00::1' prefix='128' localPtr='yes'/>", xml.KindUnsupported, zone("IPv6", "128")},
		{"two IPv4 subnets with DHCP", "<ip address='10.0.0.1' prefix='24'>" + host4 + "</ip><ip address='10.0.1.1' prefix='24'>" + host4 + "</ip>",
			xml.KindUnsupported, multiple("IPv4")},
		{"two IPv6 subnets with DHCP", "<ip family='ipv6' address='fd00::1' prefix='64'>" + host6 + "</ip><ip family='ipv6' address='fd01::1' prefix='64'>" + host6 + "</ip>",
			xml.KindUnsupported, multiple("IPv6")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := dnsmasq.Compile(parse(t, tt.elements), places)
			refused(t, err, tt.kind, tt.msg)
		})
	}
}

// TestLineBreaksInRecords: the messages of Debian 13's fix, for definitions
// that did not come through the parser.
func TestLineBreaksInRecords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		msg string
		dns xml.DNS
	}{
		{"DNS TXT record value must not contain line breaks", xml.DNS{TXT: []xml.TXT{{Name: "a", Value: "b\nc"}}}},
		{"DNS TXT record name must not contain line breaks", xml.DNS{TXT: []xml.TXT{{Name: "a\r", Value: "b"}}}},
		{"DNS SRV record domain must not contain line breaks", xml.DNS{SRV: []xml.SRV{{Service: "a", Protocol: "tcp", Domain: "b\n"}}}},
		{"DNS SRV record target must not contain line breaks", xml.DNS{SRV: []xml.SRV{{Service: "a", Protocol: "tcp", Target: "b\r\nc"}}}},
	} {
		def := parse(t, "<ip address='10.0.0.1' prefix='24'/>")
		def.DNS = tt.dns
		_, err := dnsmasq.Compile(def, places)
		refused(t, err, xml.KindUnsupported, tt.msg)
	}
}

func TestRangeSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		start, end string
		want       uint64
		err        string
	}{
		{"10.0.0.2", "10.0.0.254", 253, ""},
		{"10.0.0.2", "10.0.0.2", 1, ""},
		{"10.0.0.0", "10.0.255.255", 65536, ""},
		{"10.0.0.0", "10.1.0.0", 0, "range 10.0.0.0 - 10.1.0.0 is too large (> 65535)"},
		{"10.0.0.3", "10.0.0.2", 0, "range 10.0.0.3 - 10.0.0.2 is reversed "},
		{"fd00::10", "fd00::ff", 240, ""},
		{"fd00::", "fd00::1:0", 0, "range fd00:: - fd00::1:0 is too large (> 65535)"},
		{"fd00::", "fe00::", 0, "range fd00:: - fe00:: is too large (> 65535)"},
		{"fd00::2", "fd00::1", 0, "range fd00::2 - fd00::1 start larger than end"},
		{"10.0.0.1", "fd00::1", 0, "mismatch of address family in range 10.0.0.1 - fd00::1"},
	} {
		got, err := dnsmasq.RangeSize(xml.Range{Start: netip.MustParseAddr(tt.start), End: netip.MustParseAddr(tt.end)})
		if got != tt.want {
			t.Errorf("%s - %s: got %d, want %d", tt.start, tt.end, got, tt.want)
		}
		if tt.err != "" {
			refused(t, err, xml.KindInternal, tt.err)
		} else if err != nil {
			t.Errorf("%s - %s: %v", tt.start, tt.end, err)
		}
	}
}

func TestLeaseTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lease *xml.Lease
		want  string
	}{
		{nil, ""},
		{&xml.Lease{}, "infinite"},
		{&xml.Lease{Unit: "hours"}, "infinite"},
		{&xml.Lease{Expiry: 10}, "10m"},
		{&xml.Lease{Expiry: 10, Unit: "minutes"}, "10m"},
		{&xml.Lease{Expiry: 200, Unit: "seconds"}, "200s"},
		{&xml.Lease{Expiry: 1, Unit: "hours"}, "1h"},
	} {
		if got := dnsmasq.LeaseTime(tt.lease); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.lease, got, tt.want)
		}
	}
}
