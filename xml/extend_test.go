package xml

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// own wraps the body of a <virbr:network>.
func own(body string) string {
	return "<virbr:network xmlns:virbr='urn:virbr:network:1'>\n" + body + "</virbr:network>"
}

func cmpAddr() cmp.Option { return cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}) }

func mustExtend(t *testing.T, body string) *Extensions {
	t.Helper()
	e, err := ParseExtensions([]byte(own(body)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const everything = `
	<!-- the first that matches decides -->
	<virbr:portForward proto='tcp' family='ipv6' ignore='yes'><virbr:range start='8080'/></virbr:portForward>
	<virbr:portForward proto='tcp' family='ipv4' address='0.0.0.0' guest='web1'>
	  <virbr:range start='8080' to='80'/>
	  <virbr:range start='9000' end='9010'/>
	  <virbr:range start='9005' exclude='yes'/>
	</virbr:portForward>
	<virbr:address public='203.0.113.7' guest='web1' mode='stateless'/>
	<virbr:firewall coexist='no' mode='nat' offload='yes' host='services'/>
	<virbr:uplink dev='wg0'/>
	<virbr:uplink dev='eth0' gateway='FE80::1' guard='no'/>
	<virbr:bridge create='yes'/>
	<virbr:ip type='auto'/>
	<virbr:portForward proto='sctp' dev='eth0' guest='52:54:00:AA:BB:CC'/>
	<virbr:address public='2001:DB8::7' guest='2001:db8:0:0::8'/>
	<virbr:ipv6 advprefix='2001:db8:31::/64' proxyndp='auto'/>
`

// TestExtensions reads one document with all of the vocabulary, writes it, and
// reads that again.
func TestExtensions(t *testing.T) {
	t.Parallel()
	want := &Extensions{
		Apply:     ApplyLive,
		Advertise: &Advertise{Prefix: "2001:db8:31::/64", ProxyNDP: "auto"},
		Auto:      true,
		Create:    true,
		Uplinks:   []Uplink{{Dev: "wg0"}, {Dev: "eth0", Gateway: netip.MustParseAddr("fe80::1"), Guard: No}},
		Forwards: []PortForward{
			{Proto: "tcp", Family: FamilyIPv6, Ignore: true, Ranges: []ForwardRange{{Start: 8080}}},
			{Proto: "tcp", Family: FamilyIPv4, Address: netip.IPv4Unspecified(), Guest: "web1", Ranges: []ForwardRange{
				{Start: 8080, To: 80}, {Start: 9000, End: 9010}, {Start: 9005, Exclude: true},
			}},
			{Proto: "sctp", Dev: "eth0", Guest: "52:54:00:aa:bb:cc"},
		},
		Publics: []PublicAddress{
			{Public: netip.MustParseAddr("203.0.113.7"), Guest: "web1", Stateless: true},
			{Public: netip.MustParseAddr("2001:db8::7"), Guest: "2001:db8::8"},
		},
		Firewall: Firewall{Coexist: CoexistNo, Mode: ForwardNAT, Filter: true, Offload: true, Services: true},
	}
	got, err := ParseExtensions([]byte(strings.Replace(own(everything), "network:1'>", "network:1' apply='live'>", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpAddr()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const canonical = `<virbr:network xmlns:virbr='urn:virbr:network:1' apply='live'>
  <virbr:ipv6 advprefix='2001:db8:31::/64' proxyndp='auto'/>
  <virbr:ip type='auto'/>
  <virbr:bridge create='yes'/>
  <virbr:firewall coexist='no' mode='nat' offload='yes' host='services'/>
  <virbr:uplink dev='wg0'/>
  <virbr:uplink dev='eth0' gateway='fe80::1' guard='no'/>
  <virbr:portForward proto='tcp' family='ipv6' ignore='yes'>
    <virbr:range start='8080'/>
  </virbr:portForward>
  <virbr:portForward proto='tcp' family='ipv4' address='0.0.0.0' guest='web1'>
    <virbr:range start='8080' to='80'/>
    <virbr:range start='9000' end='9010'/>
    <virbr:range start='9005' exclude='yes'/>
  </virbr:portForward>
  <virbr:portForward proto='sctp' dev='eth0' guest='52:54:00:aa:bb:cc'/>
  <virbr:address public='203.0.113.7' guest='web1' mode='stateless'/>
  <virbr:address public='2001:db8::7' guest='2001:db8::8'/>
</virbr:network>
`
	if diff := cmp.Diff(canonical, got.String()); diff != "" {
		t.Errorf("String (-want +got):\n%s", diff)
	}
	again, err := ParseExtensions([]byte(got.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again, cmpAddr()); diff != "" {
		t.Errorf("written and read again (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, got.Clone(), cmpAddr()); diff != "" {
		t.Errorf("the clone differs (-want +got):\n%s", diff)
	}
}

// TestExtensionsWithoutNamespace reads what net-metadata prints.
func TestExtensionsWithoutNamespace(t *testing.T) {
	t.Parallel()
	n := mustParse(t, "<network><name>n</name><forward mode='open'/><metadata>"+own("<virbr:firewall mode='route'/><virbr:portForward proto='udp' guest='a'><virbr:range start='1'/></virbr:portForward>")+"</metadata></network>")
	text, ok := n.Metadata.Get(Namespace)
	if !ok || strings.Contains(text, "virbr:") {
		t.Fatalf("Get = %q, %v", text, ok)
	}
	got, err := ParseExtensions([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want, err := n.Extensions()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpAddr()); diff != "" || len(got.Forwards) != 1 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBare: what is set as metadata comes back as it was.
func TestBare(t *testing.T) {
	t.Parallel()
	want := mustExtend(t, everything)
	text := want.Bare()
	if strings.Contains(text, "virbr:") {
		t.Fatal(text)
	}
	n := mustParse(t, inside("<forward mode='open'/>"))
	if err := n.SetMetadata(Namespace, "virbr", text); err != nil {
		t.Fatal(err)
	}
	got, err := n.Extensions()
	if diff := cmp.Diff(want, got, cmpAddr()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestExtensionsAbsent(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"", "<metadata><a:b xmlns:a='u'/></metadata>", "<metadata>" + own("") + "</metadata>", "<metadata>" + own("<virbr:firewall/>") + "</metadata>"} {
		e, err := mustParse(t, inside(doc)).Extensions()
		if err != nil || !e.IsZero() {
			t.Errorf("%q gave %v, %v", doc, e, err)
		}
	}
}

func TestExtensionsRefused(t *testing.T) {
	t.Parallel()
	forward := func(attrs, ranges string) string {
		return "<virbr:portForward " + attrs + ">" + ranges + "</virbr:portForward>"
	}
	rng := func(attrs string) string {
		return forward("proto='tcp' guest='a'", "<virbr:range "+attrs+"/>")
	}
	address := func(attrs string) string { return "<virbr:address " + attrs + "/>" }
	guest := func(g string) string { return forward("proto='tcp' guest='"+g+"'", "") }
	for _, tt := range []struct{ body, want string }{
		{"<virbr:portforward/>", "unknown element 'portforward' in virbr:network"},
		{"<portForward/>", "element 'portForward' in element 'network' is not in namespace urn:virbr:network:1"},
		{"<o:x xmlns:o='urn:o'/>", "element 'x' in element 'network' is not in namespace urn:virbr:network:1"},
		{"<virbr:ip type='auto'/><virbr:ip type='auto'/>", "element 'ip' may be given only once in virbr:network"},
		{"<virbr:ip/>", "Missing required attribute 'type' in element 'ip'"},
		{"<virbr:ip type='auto' address='10.0.0.1'/>", "unknown attribute 'address' in element 'ip'"},
		{"<virbr:ip type='auto'><dhcp/></virbr:ip>", "element 'dhcp' in element 'ip' is not in namespace urn:virbr:network:1"},
		{"<virbr:bridge/>", "Missing required attribute 'create' in element 'bridge'"},
		{"<virbr:bridge create='yes'><virbr:x/></virbr:bridge>", "unknown element 'x' in element 'bridge'"},
		{"<virbr:firewall mode='open'/>", "Invalid value for attribute 'mode' in element 'firewall': 'open'."},
		{"<virbr:portForward proto='tcp' guest='web1' from=''/>", "attribute 'from' of <portForward>: names nobody: leave it out for everybody"},
		{"<virbr:portForward proto='tcp' guest='web1' from='203.0.113.0/33'/>", "attribute 'from' of <portForward>: '203.0.113.0/33' is neither an IPv4 or IPv6 prefix such as 203.0.113.0/24, nor an address"},
		{"<virbr:portForward proto='tcp' guest='web1' from='fe80::1%eth0'/>", "attribute 'from' of <portForward>: 'fe80::1%eth0' is neither an IPv4 or IPv6 prefix such as 203.0.113.0/24, nor an address"},
		{"<virbr:portForward proto='tcp' guest='web1' from='::ffff:10.0.0.1'/>", "attribute 'from' of <portForward>: '::ffff:10.0.0.1' is neither an IPv4 or IPv6 prefix such as 203.0.113.0/24, nor an address"},
		{"<virbr:portForward proto='tcp' guest='web1' family='ipv6' from='203.0.113.0/24'/>", "Invalid portForward tcp ipv6:all to web1 from 203.0.113.0/24: none of the sources '203.0.113.0/24' is of ipv6, which is all that it forwards"},
		{"<virbr:uplink/>", "Missing required attribute 'dev' in element 'uplink'"},
		{"<virbr:uplink dev='a b'/>", "invalid char in uplink dev: 0x20"},
		{"<virbr:uplink dev='wg0' family='all' gateway='10.0.0.1'/>", "gateway '10.0.0.1' in <uplink> is ipv4 only, not family='all': give one uplink for each family"},
		{"<virbr:uplink dev='wg0' family='ipv6' gateway='10.0.0.1'/>", "gateway '10.0.0.1' in <uplink> is ipv4 only, not family='ipv6': give one uplink for each family"},
		{"<virbr:uplink dev='wg0' gateway='fe80::1%eth0'/>", "Invalid gateway 'fe80::1%eth0' in <uplink>: want an IPv4 or IPv6 address"},
		{"<virbr:uplink dev='wg0' gateway='0.0.0.0'/>", "Invalid gateway '0.0.0.0' in <uplink>: no router has that address"},
		{"<virbr:uplink dev='wg0' family='ipv6'/><virbr:uplink dev='wg0'/>", "uplink 2 (wg0) never carries anything: uplink 1 (wg0 (ipv6)) is before it"},
		{"<virbr:firewall host='none'/>", "Invalid value for attribute 'host' in element 'firewall': 'none'."},
		{"<virbr:firewall offload='hardware'/>", "Invalid value for attribute 'offload' in element 'firewall': 'hardware'."},
		{"<virbr:firewall coexist='maybe'/>", "Invalid value for attribute 'coexist' in element 'firewall': 'maybe'."},
		{"<virbr:ipv6 advprefix='10.0.0.1'/>", "Invalid advprefix '10.0.0.1' in virbr:network: this is an IPv4 address"},
		{"<virbr:ipv6 advprefix='ula' proxyndp='auto'/>", "Invalid advprefix 'ula' in virbr:network: proxyndp needs a prefix that others can reach, without nat='yes'"},
		{"<virbr:ipv6 advprefix='auto' proxyndp='a b'/>", "invalid char in proxyndp: 0x20"},
		{"<virbr:ipv6 advprefix='auto' from='ula'/>", "unknown attribute 'from' in element 'ipv6'"},

		{forward("guest='a'", ""), "Missing required attribute 'proto' in element 'portForward'"},
		{forward("proto='icmp' guest='a'", ""), "Invalid value for attribute 'proto' in element 'portForward': 'icmp'."},
		{forward("proto='tcp' guest='a' virbr:ignore='yes'", ""), "unknown attribute 'ignore' in element 'portForward'"},
		{forward("proto='tcp' guest='a' adress='10.0.0.1'", ""), "unknown attribute 'adress' in element 'portForward'"},
		{forward("proto='tcp' guest='a' address='localhost'", ""), "Invalid address 'localhost' in <portForward>: want an IPv4 or IPv6 address"},
		{forward("proto='tcp' guest='a' address='::ffff:1.2.3.4'", ""), "Invalid address '::ffff:1.2.3.4' in <portForward>: want an IPv4 or IPv6 address"},
		{forward("proto='tcp' guest='a' address='224.0.0.1'", ""), "Invalid portForward tcp 224.0.0.1:all to a: nobody is forwarded what is sent to many"},
		{forward("proto='tcp' guest='a' address='0.0.0.0' family='ipv6'", ""), "Invalid portForward tcp ipv6:all to a: address '0.0.0.0' is not of family='ipv6'"},
		{forward("proto='tcp' guest='a' address='::' family='all'", ""), "address '::' in <portForward> is ipv6 only, not family='all': give no address for both, or one portForward each"},
		{forward("proto='tcp' guest='a' address='10.0.0.1' dev='eth0'", ""), "Invalid portForward tcp 10.0.0.1:all to a: address and dev both say where to listen: give one of them, or 0.0.0.0 or :: as address for one family of the device"},
		{forward("proto='tcp' guest='a' dev='a/b'", ""), "invalid char in portForward dev: /"},
		{forward("proto='tcp' guest='a' dev=''", ""), "portForward dev '' is not a device name"},
		{forward("proto='tcp'", ""), "Missing required attribute 'guest' in element 'portForward'"},
		{forward("proto='tcp' guest='a' ignore='yes'", ""), "attribute 'guest' not allowed in <portForward ignore='yes'>, which forwards nothing"},
		{forward("proto='tcp' guest='10.0.0.5' family='ipv6'", ""), "Invalid portForward tcp ipv6:all to 10.0.0.5: guest address '10.0.0.5' is not of family='ipv6'"},
		{forward("proto='tcp' guest='fd00::5' address='0.0.0.0'", ""), "Invalid portForward tcp ipv4:all to fd00::5: guest address 'fd00::5' is not of the family of address '0.0.0.0'"},
		{forward("proto='tcp' guest='a'", "<virbr:rnage start='1'/>"), "unknown element 'rnage' in element 'portForward'"},
		{forward("proto='tcp' guest='a'", "<range start='1'/>"), "element 'range' in element 'portForward' is not in namespace urn:virbr:network:1"},
		{forward("proto='tcp' ignore='yes'", "<virbr:range start='1' to='2'/>"), "attribute 'to' not allowed in a range of <portForward ignore='yes'>, which forwards nothing"},
		{forward("proto='tcp' guest='a'", "<virbr:range start='1' end='9'/><virbr:range start='9' end='10'/>"), "ranges 1-9 and 9-10 of <portForward> overlap"},
		{forward("proto='tcp' guest='a'", "<virbr:range start='5' end='9'/><virbr:range start='1' end='9' exclude='yes'/>"), "every range of <portForward> is excluded"},
		{forward("proto='tcp' guest='a'", strings.Repeat("<virbr:range start='1'/>", 101)), "more than 100 elements 'range' in <portForward>"},
		{rng(""), "Missing required attribute 'start' in element 'range'"},
		{rng("start='0'"), "Invalid value for attribute 'start' in element 'range': Zero is not permitted"},
		{rng("start='65536'"), "Invalid port '65536' for attribute 'start' in element 'range': must be 1 to 65535"},
		{rng("start='-1'"), "Invalid port '-1' for attribute 'start' in element 'range': must be 1 to 65535"},
		{rng("start='80' end='79'"), "Invalid range 80-79 in <portForward>: the end is below the start"},
		{rng("start='1' end='65535' to='2'"), "Invalid range all to 2 in <portForward>: it ends beyond port 65535"},
		{rng("start='1' to='2' exclude='yes'"), "attribute 'to' not allowed in <range exclude='yes'>, which is not forwarded"},
		{rng("start='1' protocol='tcp'"), "unknown attribute 'protocol' in element 'range'"},
		{"\n" + guest("a") + "\n" + guest("b"), "portForward 2 (tcp *:all to b) never matches: portForward 1 (tcp *:all to a) has all of it"},

		{forward("proto='tcp' guest='a'", "") + "<virbr:portForward proto='tcp' address='0.0.0.0' guest='b'/>", "portForward 2 (tcp ipv4:all to b) never matches: portForward 1 (tcp *:all to a) has all of it"},
		{forward("proto='tcp' address='::' guest='a'", "") + forward("proto='tcp' family='ipv4' guest='b'", "") + "<virbr:portForward proto='tcp' guest='c'/>", "portForward 3 (tcp *:all to c) never matches: portForward 2 (tcp ipv4:all to b) has all of it"},

		{guest(""), "Invalid guest '' in <portForward>: want a DHCP host name, a MAC address or an IP address"},
		{guest("10.0.0"), "Invalid guest '10.0.0' in <portForward>: want a DHCP host name, a MAC address or an IP address"},
		{guest("a b"), "invalid char in guest: 0x20"},
		{guest("-a"), "Invalid guest '-a' in <portForward>: a host name begins with a letter or a digit"},
		{guest("127.0.0.1"), "Invalid guest '127.0.0.1' in <portForward>: this is a loopback address"},
		{guest("::"), "Invalid guest '::' in <portForward>: this is the unspecified address"},
		{guest("fe80::1"), "Invalid guest 'fe80::1' in <portForward>: this is a link-local address"},
		{guest("01:00:5e:00:00:01"), "Invalid guest '01:00:5e:00:00:01' in <portForward>: this is neither an IP address nor a MAC address of one guest"},
		{guest("52:54:0:0:0:1"), "Invalid guest '52:54:0:0:0:1' in <portForward>: this is neither an IP address nor a MAC address of one guest"},
		{guest(strings.Repeat("a", 64)), "label '" + strings.Repeat("a", 64) + "' in guest is too long, limit is 63 bytes"},

		{address("guest='a'"), "Missing required attribute 'public' in element 'address'"},
		{address("public='203.0.113.7'"), "Missing required attribute 'guest' in element 'address'"},
		{address("public='x' guest='a'"), "Invalid public address 'x': want an IPv4 or IPv6 address"},
		{address("public='127.0.0.1' guest='a'"), "Invalid public address '127.0.0.1': this is a loopback address"},
		{address("public='ff02::1' guest='a'"), "Invalid public address 'ff02::1': this is a multicast address"},
		{address("public='0.0.0.0' guest='a'"), "Invalid public address '0.0.0.0': this is the unspecified address"},
		{address("public='203.0.113.7' guest='fd00::1'"), "guest 'fd00::1' of public address '203.0.113.7' is not of its family"},
		{address("public='203.0.113.7' guest='203.0.113.7'"), "guest '203.0.113.7' has the public address itself: there is nothing to translate"},
		{address("public='203.0.113.7' guest='a' mode='none'"), "Invalid value for attribute 'mode' in element 'address': 'none'."},
		{address("public='203.0.113.7' guest='a'") + address("public='203.0.113.7' guest='b'"), "public address 203.0.113.7 is given to 'a' and to 'b'"},
	} {
		t.Run(tt.body, func(t *testing.T) {
			t.Parallel()
			_, err := ParseExtensions([]byte(own(tt.body)))
			e := (*Error)(nil)
			if !errors.As(err, &e) {
				t.Fatalf("error is %v (%T), want an *Error: %s", err, err, tt.want)
			}
			line := 2 + strings.Count(tt.body, "\n")
			if want := fmt.Sprintf("at line %d: %s", line, tt.want); e.Msg != want || e.Line != line {
				t.Errorf("line %d: %s\nwant    %s", e.Line, e.Msg, want)
			}
		})
	}
}

func TestExtensionRoots(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"", "<x/>", "<network xmlns='urn:other'/>", "<v:x xmlns:v='urn:virbr:network:1'/>", "<network a='b'/>", "<network>8080</network>"} {
		if _, err := ParseExtensions([]byte(doc)); err == nil {
			t.Errorf("%s is taken", doc)
		} else {
			wantTyped(t, err)
		}
	}
	n := mustParse(t, inside("<metadata><virbr:net xmlns:virbr='urn:virbr:network:1'/></metadata>"))
	if e, err := n.Extensions(); err == nil {
		t.Errorf("another root in our namespace is taken: %v", e)
	}
}

// TestExtensionCounts has the most that is taken, and one more.
func TestExtensionCounts(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range maxForwards {
		fmt.Fprintf(&b, "<virbr:portForward proto='tcp' address='10.0.0.%d' guest='w'><virbr:range start='%d'/></virbr:portForward>\n", i/10_000, 1+i%10_000)
	}
	e := mustExtend(t, b.String())
	n := mustParse(t, inside("<forward mode='route'/><ip address='10.0.0.1' prefix='24'/>"))
	if err := e.AddForward(PortForward{Proto: "udp", Guest: "w"}, Last); err == nil {
		t.Errorf("%d forwards are taken", len(e.Forwards))
	}
	if _, err := ParseExtensions([]byte(own(b.String() + "<virbr:portForward proto='udp' guest='w'/>"))); err == nil {
		t.Error("too many forwards are taken")
	}
	e.Forwards = e.Forwards[:10_000]
	if err := n.SetExtensions(e); err != nil {
		t.Fatal(err)
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	got, err := mustParse(t, n.FormatIndent(1, 0)).Extensions()
	if err != nil || len(got.Forwards) != 10_000 {
		t.Errorf("%v, want 10,000 forwards", err)
	}
}

func TestSetExtensions(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside("<metadata><a:b xmlns:a='urn:a'/>"+own("<virbr:ip type='auto'/>")+"</metadata>"))
	e := &Extensions{Forwards: []PortForward{{Proto: "tcp", Guest: "web1", Ranges: []ForwardRange{{Start: 8080, To: 80}}}}}
	if err := n.SetExtensions(e); err != nil {
		t.Fatal(err)
	}
	want := `<metadata>
  <a:b xmlns:a="urn:a"/>
  <virbr:network xmlns:virbr="urn:virbr:network:1">
    <virbr:portForward proto="tcp" guest="web1">
      <virbr:range start="8080" to="80"/>
    </virbr:portForward>
  </virbr:network>
</metadata>`
	if diff := cmp.Diff(want, n.Metadata.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err := n.Extensions()
	if diff := cmp.Diff(e, got, cmpAddr()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []*Extensions{
		{Forwards: []PortForward{{Proto: "tcp", Guest: "a;b"}}},
		{Firewall: Firewall{Filter: true}},
	} {
		if err := n.SetExtensions(bad); err == nil || n.Metadata.String() != want {
			t.Errorf("%v: %v, and left %s", bad, err, n.Metadata)
		}
	}
	if err := n.SetExtensions(&Extensions{}); err != nil || n.Metadata.String() != "<metadata>\n  <a:b xmlns:a=\"urn:a\"/>\n</metadata>" {
		t.Errorf("%v, and left %s", err, n.Metadata)
	}
}

func TestExtensionsOfAMode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, ext, want string }{
		{"<forward mode='open'/>", "<virbr:firewall mode='nat'/>", ""},
		{"<forward mode='open'/>", "<virbr:portForward proto='tcp' guest='a'/>", ""},
		{"", "<virbr:address public='203.0.113.7' guest='a'/>", ""},
		{"", "<virbr:firewall mode='nat'/>", "firewall mode='nat' is for networks with forward mode='open', not 'none' (network 'n')"},
		{"", "<virbr:firewall offload='yes'/>", ""},
		{"", "<virbr:firewall host='services'/>", ""},
		{"<forward mode='open'/>", "<virbr:uplink dev='wg0'/>", ""},
		{"<forward dev='wg0'/><ip address='10.0.0.1' prefix='24'/>", "<virbr:uplink dev='wg0'/>", ""},
		{"", "<virbr:uplink dev='wg0'/>", "uplink is not supported in an isolated network, whose guests do not leave the host (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b'/>", "<virbr:uplink dev='wg0'/>", "uplink is not supported with forward mode='bridge', whose guests are not behind the host (network 'n')"},
		{"<forward/><bridge name='b'/><ip address='10.0.0.1' prefix='24'/>", "<virbr:uplink dev='b'/>", "uplink dev='b' is the bridge of the network itself (network 'n')"},
		{"<forward dev='eth0'/><ip address='10.0.0.1' prefix='24'/>", "<virbr:uplink dev='eth0'/><virbr:uplink dev='wg0'/>", "uplink dev='wg0' contradicts forward dev='eth0', which lets guests leave by that one only: remove the latter (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b'/>", "<virbr:firewall host='services'/>", "firewall host='services' is not supported with forward mode='bridge', whose guests are not behind the host (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b'/>", "<virbr:firewall offload='yes'/>", "firewall offload='yes' is not supported with forward mode='bridge', whose guests are not behind the host (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b'/>", "<virbr:portForward proto='tcp' guest='a'/>", "portForward is not supported with forward mode='bridge', whose guests are not behind the host (network 'n')"},
		{"<forward mode='vepa' dev='e'/>", "<virbr:address public='203.0.113.7' guest='a'/>", "address is not supported with forward mode='vepa', whose guests are not behind the host (network 'n')"},
	} {
		_, err := mustParse(t, inside(tt.body+"<metadata>"+own(tt.ext)+"</metadata>")).Extensions()
		if tt.want == "" && err != nil {
			t.Errorf("%s %s: %v", tt.body, tt.ext, err)
		}
		if tt.want != "" {
			wantRefusal(t, err, KindUnsupported, tt.want)
		}
	}
}

func TestExtended(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, ext, as, want string }{
		{"<forward/>", "<virbr:ip type='auto'/><virbr:ipv6 advprefix='ula'/>", "<forward/><ip type='auto'/><ipv6 advprefix='ula'/>", ""},
		{"<forward/>", "<virbr:ipv6 advprefix='ula'/>", "<forward/><ipv6 advprefix='ula'/>", ""},
		{"<forward mode='bridge'/><bridge name='b'/>", "<virbr:bridge create='yes'/>", "<forward mode='bridge'/><bridge name='b' create='yes'/>", ""},
		{"", "<virbr:firewall coexist='no'/>", "", ""},
		{"<ipv6 advprefix='ula'/>", "<virbr:ipv6 advprefix='ula'/>", "", "element 'ipv6' is given in network 'n' and in its metadata"},
		{"<ip type='auto'/>", "<virbr:ip type='auto'/>", "", "element 'ip type='auto'' is given in network 'n' and in its metadata"},
		{"<forward mode='bridge'/><bridge name='b' create='yes'/>", "<virbr:bridge create='yes'/>", "", "element 'bridge create='yes'' is given in network 'n' and in its metadata"},
		{"<forward mode='bridge'/>", "<virbr:bridge create='yes'/>", "", "bridge create='yes' needs a bridge name (network 'n')"},
		{"", "<virbr:bridge create='yes'/>", "", "bridge create='yes' only allowed in bridge mode, not in none (network 'n')"},
	} {
		t.Run(tt.body+tt.ext, func(t *testing.T) {
			t.Parallel()
			n := mustParse(t, inside(tt.body+"<metadata>"+own(tt.ext)+"</metadata>"))
			before := n.Format(0)
			got, err := n.Extended()
			if n.Format(0) != before {
				t.Error("the definition changed")
			}
			if tt.want != "" {
				if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got.Metadata = nil
			if diff := cmp.Diff(mustParse(t, inside(tt.as)).Format(0), got.Format(0)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	wantRefusal(t, func() error {
		_, err := ParseNetwork([]byte(inside("<forward/><metadata>" + own("<virbr:firewall/>") + "</metadata>")))
		return err
	}(),
		KindXML, "nat forwarding requested, but no IP address provided for network 'n'")
}
