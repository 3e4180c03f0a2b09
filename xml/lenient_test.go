package xml

import (
	"errors"
	"strings"
	"testing"
)

// TestLoadNetwork: what is wrong in a definition that others accepted is known,
// and the network with it. What could not be read at all makes it partial.
func TestLoadNetwork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body, want string
		partial    bool
	}{
		{"", "", false},
		{"<domain name='a,b'/>", "invalid char in domain name: ,", false},
		{"<domain name='a&#10;dhcp-script=/x'/>", "invalid char in domain name: 0x0a", false},
		{"<dns><host ip='10.0.0.9'><hostname>a\nb</hostname></host></dns>", "invalid char in hostname: 0x0a", false},
		{"<dns><txt name='a' value='b&#10;c'/></dns>", "invalid line break in TXT record value", false},
		{"<dns><srv service='a' protocol='tcp' target='b&#10;c'/></dns>", "invalid line break in DNS SRV record target attribute", false},
		{"<bridge name='a*'/>", "invalid char in bridge name: *", false},
		{"<bridge zone='a&#9;'/>", "invalid char in bridge zone: 0x09", false},
		{"<title>a\nb</title>", "Network title can't contain newlines", false},
		{"<forward mode='nat' dev='a&#34;'/>", "invalid char in device name", false},
		{"<ip address='10.0.1.1' prefix='24'><dhcp><host mac='52:54:00:00:00:01 x' ip='10.0.1.2'/></dhcp></ip>", "Cannot parse MAC address", false},
		{"<ip address='10.0.1.1' prefix='24'><dhcp><host mac='52:54:00:00:00:01' name='a,b' ip='10.0.1.2'/></dhcp></ip>", "invalid char in host name: ,", false},
		{"<ip address='10.0.1.1' prefix='24'><tftp root='/a&#10;b'/></ip>", "invalid char in tftp root: 0x0a", false},
		{"<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='a&#10;b'/></d:options>", "invalid char in dnsmasq option: 0x0a", false},
		{"<uuid>x</uuid>", "malformed uuid element", true},
		{"<mtu size='big'/>", "Invalid mtu size 'big'", true},
		{"<dns><txt name='a'/></dns>", "missing required value attribute", true},
		{"<ip address='10.0.1'/><ip address='x'/>", "Invalid address 'x'", true},
		{"<ipv6 advprefix='x'/>", "advprefix", true},
	} {
		doc := inside("<forward mode='nat'/><ip address='10.0.0.1' prefix='24'/>" + tt.body)
		n, err := LoadNetwork([]byte(strings.Replace(doc, "<forward mode='nat'/><ip address='10.0.0.1' prefix='24'/><forward", "<ip address='10.0.0.1' prefix='24'/><forward", 1)))
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		if len(n.IPs) == 0 || n.Forward.Mode != ForwardNAT {
			t.Errorf("%s: not all is read: %+v", tt.body, n)
		}
		_, strict := ParseNetwork([]byte(n.Format(Inactive)))
		switch {
		case tt.want == "":
			if n.Fault != nil || strict != nil {
				t.Errorf("%s: fault %v, again %v", tt.body, n.Fault, strict)
			}
		case n.Fault == nil || !strings.Contains(n.Fault.Error(), tt.want) || n.Fault.Partial != tt.partial:
			t.Errorf("%s: fault %+v, want %q, partial %t", tt.body, n.Fault, tt.want, tt.partial)
		}
	}
	for _, doc := range []string{"", "<network/>", "<network><name>n</name>", "<domain><name>n</name></domain>"} {
		if _, err := LoadNetwork([]byte(doc)); err == nil {
			t.Errorf("read as a network: %s", doc)
		}
	}
}

// TestLenientMetadata: what virbr's own elements may not say is refused as ever.
func TestLenientMetadata(t *testing.T) {
	t.Parallel()
	n, err := LoadNetwork([]byte(withIP("<metadata><v:network xmlns:v='" + Namespace + "'><v:portForward proto='tcp' guest='a&#10;b'><v:range start='1'/></v:portForward></v:network></metadata>")))
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := n.Extensions(); !errors.As(err, &e) {
		t.Errorf("accepted: %v", err)
	}
}

// TestNilUUID: a UUID of zeros is one like others, as with libvirt.
func TestNilUUID(t *testing.T) {
	t.Parallel()
	const element = "<uuid>00000000-0000-0000-0000-000000000000</uuid>"
	n, err := ParseNetwork([]byte(inside(element)))
	if err != nil || !n.HasUUID() || !strings.Contains(n.Format(0), element) || !strings.Contains(n.Clone().Format(0), element) {
		t.Errorf("%v: %+v", err, n)
	}
	if n, err = ParseNetwork([]byte(inside(""))); err != nil || n.HasUUID() || strings.Contains(n.Format(0), "uuid") {
		t.Errorf("%v: %+v", err, n)
	}
}
