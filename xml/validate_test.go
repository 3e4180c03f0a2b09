package xml

import (
	"strings"
	"testing"
)

func mustParse(t *testing.T, doc string) *Network {
	t.Helper()
	n, err := ParseNetwork([]byte(doc))
	if err != nil {
		t.Fatalf("parsing %s: %v", doc, err)
	}
	return n
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	const (
		ip4   = "<ip address='10.0.0.1' netmask='255.255.255.0'><dhcp><range start='10.0.0.2' end='10.0.0.9'/></dhcp></ip>"
		ip6   = "<ip family='ipv6' address='fd00::1' prefix='64'><dhcp><host name='a' ip='fd00::2'/></dhcp></ip>"
		vlans = "<vlan><tag id='1'/></vlan>"
	)
	for _, tt := range []refusal{
		{"<forward mode='bridge'/><bridge name='b'/><mac address='52:54:00:00:00:01'/>", KindUnsupported, "Unsupported <mac> element in network n with forward mode='bridge'"},
		{"<forward mode='vepa'/>" + ip4, KindUnsupported, "Unsupported <ip> element in network n with forward mode='vepa'"},
		{"<forward mode='hostdev'/><dns><txt name='a' value='b'/></dns>", KindUnsupported, "Unsupported <dns> element in network n with forward mode='hostdev'"},
		{"<forward mode='private'/><domain name='a'/>", KindUnsupported, "Unsupported <domain> element in network n with forward mode='private'"},
		{"<forward mode='bridge'/><bridge name='b'/><ipv6 advprefix='ula'/>", KindUnsupported, "Unsupported <ipv6> element in network n with forward mode='bridge'"},
		{"<forward mode='vepa'/><bandwidth><inbound average='1'/></bandwidth>", KindUnsupported, "Unsupported network-wide <bandwidth> element in network n with forward mode='vepa'"},
		{"<bandwidth><inbound average='18014398509481985'/></bandwidth>", KindOverflow, "value '18014398509481985' is too big for 'average' parameter, maximum is '18014398509481984'"},
		{"<bandwidth><outbound average='1' burst='4194304'/></bandwidth>", KindOverflow, "value '4194304' is too big for 'burst' parameter, maximum is '4194303'"},
		{"<forward mode='hostdev'><interface dev='eth0'/></forward>", KindUnsupported, "hostdev network 'n' lists 'eth0' in the device pool, but hostdev networks require all devices to be listed by PCI address, not network device name"},
		{"<forward mode='passthrough'><address type='pci' bus='3'/></forward>", KindUnsupported, "network 'n' has forward mode 'passthrough' but lists a device by PCI address in the device pool. This is only supported for networks with forward mode 'hostdev'"},
		{ip4 + "<ip address='10.1.0.1'><dhcp><host name='b' ip='10.1.0.2'/></dhcp></ip>", KindUnsupported, "Multiple IPv4 dhcp sections found -- dhcp is supported only for a single IPv4 address on each network"},
		{ip6 + "<ip family='ipv6' address='fd01::1'><dhcp><host name='b' ip='fd01::2'/></dhcp></ip>", KindUnsupported, "Multiple IPv6 dhcp sections found -- dhcp is supported only for a single IPv6 address on each network"},
		{"<portgroup name='a' default='yes'/><portgroup name='b' default='yes'/>", KindUnsupported, "network 'n' has multiple default <portgroup> elements (a and b), but only one default is allowed"},
		{"<portgroup name='a'/><portgroup name='a'/>", KindUnsupported, "multiple <portgroup> elements with the same name (a) in network 'n'"},
		{"<forward mode='vepa'/><portgroup name='a'><bandwidth><inbound average='1'/></bandwidth></portgroup>", KindUnsupported, "Unsupported <bandwidth> element in network 'n' in portgroup 'a' with forward mode='vepa'"},
		{vlans, KindUnsupported, "<vlan> element specified for network n, whose type doesn't support vlan configuration"},
		{"<portgroup name='a'>" + vlans + "</portgroup>", KindUnsupported, "<vlan> element specified for network n, whose type doesn't support vlan configuration"},
		{"<forward mode='bridge'/><portgroup name='a'>" + vlans + "<virtualport/></portgroup>", KindUnsupported, "<vlan> element specified for network n, whose type doesn't support vlan configuration"},
		{"<forward mode='bridge'/><bridge name='b' create='yes'/><virtualport type='openvswitch'/>", KindUnsupported, "Unsupported <virtualport> element in network n with bridge create='yes'"},
		{"<forward mode='route'/><ipv6 advprefix='ula' nat='yes'/>", KindUnsupported, "nat='yes' in <ipv6> not supported in network n with forward mode='route'"},
		{ip6 + "<ipv6 advprefix='fd00::/64'/>", KindUnsupported, "advprefix 'fd00::/64' in network 'n' overlaps with <ip address='fd00::1'>"},
	} {
		t.Run(tt.doc, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, mustParse(t, inside(tt.doc)).Validate(), tt.kind, tt.msg)
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"",
		"<forward mode='bridge'/><bridge name='br0'/><dns forwardPlainNames='no'><forwarder addr='1.1.1.1'/></dns>",
		"<forward mode='bridge'/><bridge name='br0' create='yes' stp='off' delay='2'/><mtu size='9000'/>" +
			"<mac address='52:54:00:00:00:01'/><domain name='a'/><ip address='10.0.0.1' prefix='24'/><ipv6 advprefix='auto'/>",
		"<forward mode='bridge'/><bridge name='br0'/><vlan><tag id='7'/></vlan>",
		"<forward mode='bridge'/><vlan><tag id='7'/></vlan><virtualport type='openvswitch'/>" +
			"<portgroup name='a'><virtualport type='openvswitch'/></portgroup>",
		"<forward mode='hostdev'><address type='pci' bus='3'/></forward><vlan><tag id='7'/></vlan><portgroup name='a'/>",
		"<forward mode='passthrough'><interface dev='eth0'/></forward><vlan><tag id='7'/></vlan>",
		"<forward/><ip type='auto'/>",
		"<forward/><ipv6 advprefix='ula' nat='yes'/>",
		"<bandwidth><inbound average='18014398509481984' burst='4194303'/></bandwidth>",
		"<ip address='10.0.0.1'/><ip family='ipv6' address='fd00::1' prefix='64'/><ipv6 advprefix='fd00:0:0:1::/64'/>",
	} {
		t.Run(doc, func(t *testing.T) {
			t.Parallel()
			if err := mustParse(t, inside(doc)).Validate(); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestBridgeTemplate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, template string
		ok             bool
	}{{"", "virbr%d", true}, {"lab%d", "lab%d", true}, {"virbr0", "", false}} {
		template, ok := BridgeTemplate(tt.name)
		if template != tt.template || ok != tt.ok {
			t.Errorf("BridgeTemplate(%q) = %q, %v, want %q, %v", tt.name, template, ok, tt.template, tt.ok)
		}
	}
}

// TestValidateSize: a definition whose canonical form would be too long to be
// read again is refused when it is defined.
func TestValidateSize(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside("<description>"+strings.Repeat("'", 400_000)+"</description>"))
	wantRefusal(t, n.Validate(), KindInvalidArg, "definition of network 'n' is larger than 1572864 bytes")
	n.Description = n.Description[:250_000]
	if err := n.Validate(); err != nil {
		t.Errorf("refused: %v", err)
	}
}
