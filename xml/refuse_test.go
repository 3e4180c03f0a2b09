package xml

import (
	"errors"
	"strings"
	"testing"
)

// refusal is a document that must be refused, and how.
type refusal struct {
	doc  string
	kind Kind
	msg  string
}

// inside wraps the body of a network document.
func inside(body string) string { return "<network><name>n</name>" + body + "</network>" }

func wantRefusal(t *testing.T, err error, kind Kind, msg string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *Error: %s", err, err, msg)
	}
	if e.Kind != kind || e.Msg != msg {
		t.Errorf("refused as kind %d: %s\nwant       kind %d: %s", e.Kind, e.Msg, kind, msg)
	}
}

// runRefusals parses each document, wrapped by wrap, and wants its refusal.
func runRefusals(t *testing.T, wrap func(string) string, table []refusal) {
	t.Helper()
	for _, tt := range table {
		t.Run(tt.doc, func(t *testing.T) {
			t.Parallel()
			_, err := ParseNetwork([]byte(wrap(tt.doc)))
			wantRefusal(t, err, tt.kind, tt.msg)
		})
	}
}

func whole(doc string) string { return doc }

func withIP(body string) string {
	return inside("<ip address='10.0.0.1' netmask='255.255.255.0'/>" + body)
}

func dhcp4(body string) string {
	return inside("<ip address='10.0.0.1' netmask='255.255.255.0'><dhcp>" + body + "</dhcp></ip>")
}

func dhcp6(body string) string {
	return inside("<ip family='ipv6' address='fd00::1' prefix='64'><dhcp>" + body + "</dhcp></ip>")
}

func dns(body string) string { return inside("<dns>" + body + "</dns>") }

func TestRefuseHead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 241)
	runRefusals(t, whole, []refusal{
		{"<network/>", KindNoName, ""},
		{"<network><name/></network>", KindNoName, ""},
		{"<network xmlns='urn:x'><name>n</name></network>", KindNoName, ""},
		{"<network><name>a/b</name></network>", KindDetail, "invalid char in name: /"},
		{"<network><name>a\nb</name></network>", KindDetail, "invalid char in name: \n"},
		{"<network><name>a&#127;b</name></network>", KindDetail, "invalid char in name: 0x7f"},
		{"<network><name>..</name></network>", KindDetail, "name '..' cannot be a file name"},
		{"<network><name>" + long + "</name></network>", KindDetail, "name '" + long + "' is too long, limit is 240 bytes"},
		{"<network><name>n</name><uuid>x</uuid></network>", KindInternal, "malformed uuid element"},
		{"<network><name>n</name><title>a\nb</title></network>", KindXML, "Network title can't contain newlines"},
		{"<network ipv6='maybe'><name>n</name></network>", KindXML, "Invalid ipv6 setting 'maybe' in network 'n'"},
		{"<network trustGuestRxFilters='YES'><name>n</name></network>", KindXML, "Invalid value for attribute 'trustGuestRxFilters' in element 'network': 'YES'."},
		{"<domain/>", KindXML, "expecting root element of 'network', not 'domain'"},
	})
}

func TestRefuseBridge(t *testing.T) {
	t.Parallel()
	const inDomain = " (<domain> in line 1: all is allowed but control characters, commas, double quotes, # behind a blank)"
	runRefusals(t, inside, []refusal{
		{"<bridge delay='soon'/>", KindXML, "Invalid delay value in network 'n'"},
		{"<bridge macTableManager='me'/>", KindXML, "Invalid macTableManager setting 'me' in network 'n'"},
		{"<bridge name='a,b'/>", KindDetail, "invalid char in bridge name: ,"},
		{"<bridge name='a*'/>", KindDetail, "invalid char in bridge name: *"},
		{"<bridge name='a/b'/>", KindDetail, "invalid char in bridge name: /"},
		{"<bridge name='a b'/>", KindDetail, "invalid char in bridge name: 0x20"},
		{"<bridge name='a&#10;b'/>", KindDetail, "invalid char in bridge name: 0x0a"},
		{"<bridge name='br%d%d'/>", KindDetail, "invalid char in bridge name: %"},
		{"<bridge name='br%x'/>", KindDetail, "invalid char in bridge name: %"},
		{"<bridge name='..'/>", KindDetail, "bridge name '..' is not a device name"},
		{"<bridge name='sixteen-letters-'/>", KindDetail, "bridge name 'sixteen-letters-' is too long, limit is 15 bytes"},
		{"<bridge name='thirteen-ltrs%d'/>", KindDetail, "bridge name 'thirteen-ltrs%d' is too long, limit is 15 bytes with the number in it"},
		{"<bridge zone='a&#9;b'/>", KindDetail, "invalid char in bridge zone: 0x09"},
		{"<bridge create='1'/>", KindXML, "Invalid value for attribute 'create' in element 'bridge': '1'."},
		{"<bridge create='yes'/>", KindXML, "bridge create='yes' only allowed in bridge mode, not in none (network 'n')"},
		{"<forward mode='bridge'><interface dev='eth0'/></forward><bridge create='yes'/>", KindXML, "A network with forward mode='bridge' can specify a bridge name or a forward dev, but not both (network 'n')"},
		{"<forward mode='bridge'/><bridge name='br%d'/>", KindDetail, "invalid char in bridge name: %"},
		{"<mac address='52:54:00'/>", KindXML, "Invalid bridge mac address '52:54:00' in network 'n'"},
		{"<mac address='01:54:00:00:00:01'/>", KindXML, "Invalid multicast bridge mac address '01:54:00:00:00:01' in network 'n'"},
		{"<mtu size='big'/>", KindXML, "Invalid mtu size 'big' in network 'n'"},
		{"<mtu size='-1'/>", KindXML, "Invalid mtu size '-1' in network 'n'"},
		{"<domain name='a' register='yes'/>", KindUnsupported, "attribute 'register=yes' in <domain> element requires 'localOnly=yes' in network n"},
		{"<domain name='a' localOnly='on'/>", KindXML, "Invalid value for attribute 'localOnly' in element 'domain': 'on'."},
		{"<domain name='a&#10;dhcp-script=/x'/>", KindDetail, "invalid char in domain name: 0x0a" + inDomain},
		{"<domain name='a,b'/>", KindDetail, "invalid char in domain name: ," + inDomain},
		{"<domain name='a #b'/>", KindDetail, "invalid char in domain name: #" + inDomain},
		{"<port isolated='maybe'/>", KindXML, "Invalid value for attribute 'isolated' in element 'port': 'maybe'."},
	})
}

func TestRefuseBandwidthAndVLAN(t *testing.T) {
	t.Parallel()
	runRefusals(t, inside, []refusal{
		{"<bandwidth><inbound average='x'/></bandwidth>", KindXML, "Invalid value for attribute 'average' in element 'inbound': 'x'. Expected non-negative integer value"},
		{"<bandwidth><inbound/></bandwidth>", KindDetail, "Missing mandatory average or floor attributes"},
		{"<bandwidth><inbound floor='1' peak='2'/></bandwidth>", KindUnsupported, "'peak' and 'burst' require 'average' attribute"},
		{"<bandwidth><inbound average='1' floor='0'/></bandwidth>", KindUnsupported, "floor attribute is not supported for this config"},
		{"<bandwidth classID='1'/>", KindDetail, "classID attribute not supported on <bandwidth> in this usage context"},
		{"<vlan/>", KindXML, "missing tag id - each <vlan> must have at least one <tag id='n'/> subelement"},
		{"<vlan><tag/></vlan>", KindXML, "Missing required attribute 'id' in element 'tag'"},
		{"<vlan><tag id='4096'/></vlan>", KindXML, "vlan tag id 4096 too large (maximum 4095)"},
		{"<vlan><tag id='1' nativeMode='tagged'/><tag id='2' nativeMode='tagged'/></vlan>", KindXML, "duplicate native vlan setting"},
		{"<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>", KindXML, `invalid "trunk='no'" in <vlan> - trunk='yes' is required for more than one vlan tag`},
		{"<vlan trunk='no'><tag id='1' nativeMode='tagged'/></vlan>", KindXML, `invalid configuration in <vlan> - "trunk='no'" is not allowed with a native vlan id`},
		{"<vlan trunk='on'><tag id='1'/></vlan>", KindXML, `invalid "trunk='on'" in <vlan> - must be yes or no`},
	})
}

func TestRefuseVirtualPort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p", 40)
	runRefusals(t, inside, []refusal{
		{"<virtualport/>", KindXML, "missing required virtualport type"},
		{"<virtualport type='x'/>", KindUnsupported, "unknown virtualport type x"},
		{"<virtualport type='802.1Qbg'><parameters managerid='x'/></virtualport>", KindXML, "cannot parse value of managerid parameter"},
		{"<virtualport type='802.1Qbg'><parameters managerid='256'/></virtualport>", KindXML, "value of managerid out of range"},
		{"<virtualport type='802.1Qbg'><parameters typeid='0x1000000'/></virtualport>", KindXML, "value for typeid out of range"},
		{"<virtualport type='802.1Qbg'><parameters typeidversion='256'/></virtualport>", KindXML, "value of typeidversion out of range"},
		{"<virtualport type='802.1Qbg'><parameters instanceid='x'/></virtualport>", KindXML, "cannot parse instanceid parameter as a uuid"},
		{"<virtualport type='openvswitch'><parameters interfaceid='x'/></virtualport>", KindXML, "cannot parse interfaceid parameter as a uuid"},
		{"<virtualport type='802.1Qbh'><parameters profileid='" + long + "'/></virtualport>", KindXML, "profileid parameter too long"},
		{"<virtualport type='802.1Qbg'><parameters profileid='x'/></virtualport>", KindXML, "extra profileid unsupported in <virtualport type='802.1Qbg'>"},
		{"<virtualport type='802.1Qbh'><parameters managerid='1'/></virtualport>", KindXML, "extra managerid unsupported in <virtualport type='802.1Qbh'>"},
		{"<virtualport type='openvswitch'><parameters typeid='1'/></virtualport>", KindXML, "extra typeid unsupported in <virtualport type='openvswitch'>"},
		{"<portgroup/>", KindXML, "Missing required name attribute in portgroup"},
		{"<portgroup name='a&#10;b'/>", KindDetail, "invalid char in portgroup name: 0x0a"},
	})
}

func TestRefuseIP(t *testing.T) {
	t.Parallel()
	runRefusals(t, inside, []refusal{
		{"<ip/>", KindXML, "Missing required address attribute in network 'n'"},
		{"<ip address='10.0.0'/><ip address='x'/>", KindXML, "Invalid address 'x' in network 'n'"},
		{"<ip address='fe80::1%lo' family='ipv6'/>", KindXML, "Invalid address 'fe80::1%lo' in network 'n'"},
		{"<ip address='10.0.0.1' netmask='x'/>", KindXML, "Invalid netmask 'x' in network 'n'"},
		{"<ip address='fd00::1'/>", KindUnsupported, "no family specified for non-IPv4 address 'fd00::1' in network 'n'"},
		{"<ip family='ipv4' address='fd00::1'/>", KindUnsupported, "ipv4 family specified for non-IPv4 address 'fd00::1' in network 'n'"},
		{"<ip address='10.0.0.1' netmask='ff::'/>", KindUnsupported, "Invalid netmask 'ff::' for address '10.0.0.1' in network 'n' (both must be IPv4)"},
		{"<ip address='10.0.0.1' netmask='255.0.0.0' prefix='8'/>", KindUnsupported, "Network 'n' IP address cannot have both a prefix and a netmask"},
		{"<ip address='10.0.0.1' prefix='33'/>", KindUnsupported, "Invalid IPv4 prefix '33' in network 'n'"},
		{"<ip family='ipv6' address='fd00::1' prefix='129'/>", KindUnsupported, "Invalid IPv6 prefix '129' in network 'n'"},
		{"<ip family='ipv6' address='10.0.0.1'/>", KindUnsupported, "Family 'ipv6' specified for non-IPv6 address '10.0.0.1' in network 'n'"},
		{"<ip family='ipv6' address='fd00::1' netmask='255.0.0.0'/>", KindUnsupported, "netmask not allowed for IPv6 address 'fd00::1' in network 'n'"},
		{"<ip family='ipx' address='10.0.0.1'/>", KindXML, "Unrecognized family 'ipx' in network 'n'"},
		{"<ip family='ipv6' address='fd00::1'><tftp root='/srv'/></ip>", KindUnsupported, "Unsupported <tftp> element in an IPv6 element in network 'n'"},
		{"<ip address='10.0.0.1'><tftp root='/srv&#10;x'/></ip>", KindDetail, "invalid char in tftp root: 0x0a"},
		{"<ip address='10.0.0.1'><tftp root='/srv&#10;x'/></ip>", KindDetail, "invalid char in tftp root: 0x0a"},
		{"<ip type='auto' address='10.0.0.1'/>", KindXML, "attribute 'address' not allowed in <ip type='auto'> in network 'n'"},
		{"<ip type='auto' prefix='24'/>", KindXML, "attribute 'prefix' not allowed in <ip type='auto'> in network 'n'"},
		{"<ip type='auto' family='ipv6'/>", KindXML, "family 'ipv6' not allowed in <ip type='auto'> in network 'n'"},
		{"<ip type='auto'><dhcp><range start='10.0.0.2' end='10.0.0.3'/></dhcp></ip>", KindXML, "<range> not allowed in <ip type='auto'> in network 'n'"},
	})
}

func TestRefuseDHCP(t *testing.T) {
	t.Parallel()
	runRefusals(t, dhcp4, []refusal{
		{"<range end='10.0.0.2'/>", KindXML, "Missing 'start' attribute in dhcp range for network 'n'"},
		{"<range start='10.0.0.2'/>", KindXML, "Missing 'end' attribute in dhcp range for network 'n'"},
		{"<range start='x' end='10.0.0.2'/>", KindSystem, "Cannot parse socket address 'x': Name or service not known"},
		{"<range start='10.0.0.2' end='fd00::2'/>", KindInternal, "mismatch of address family in range 10.0.0.2 - fd00::2"},
		{"<range start='fd00::1' end='fd00::2'/>", KindInternal, "mismatch of address family in range fd00::1 - fd00::2 for network 10.0.0.1"},
		{"<range start='10.0.0.2' end='10.0.1.2'/>", KindInternal, "range 10.0.0.2 - 10.0.1.2 is not entirely within network 10.0.0.1/24"},
		{"<range start='10.0.0.0' end='10.0.0.2'/>", KindInternal, "start of range 10.0.0.0 - 10.0.0.2 in network 10.0.0.1/24 is the network address"},
		{"<range start='10.0.0.2' end='10.0.0.255'/>", KindInternal, "end of range 10.0.0.2 - 10.0.0.255 in network 10.0.0.1/24 is the broadcast address"},
		{"<range start='10.0.0.3' end='10.0.0.2'/>", KindInternal, "range 10.0.0.3 - 10.0.0.2 is reversed "},
		{"<range start='10.0.0.2' end='10.0.0.3'><lease expiry='119' unit='seconds'/></range>", KindUnsupported, "The minimum lease time should be greater than 2 minutes"},
		{"<range start='10.0.0.2' end='10.0.0.3'><lease expiry='1'/></range>", KindUnsupported, "The minimum lease time should be greater than 2 minutes"},
		{"<range start='10.0.0.2' end='10.0.0.3'><lease expiry='1' unit='days'/></range>", KindXML, "Invalid value for attribute 'unit' in element 'lease': 'days'."},
		{"<host mac='x' ip='10.0.0.2'/>", KindXML, "Cannot parse MAC address 'x' in network 'n'"},
		{"<host mac='00:11:22:33:44:55&#10;dhcp-script=/x' ip='10.0.0.2'/>", KindXML, "Cannot parse MAC address '00:11:22:33:44:55\ndhcp-script=/x' in network 'n'"},
		{"<host mac='01:11:22:33:44:55' ip='10.0.0.2'/>", KindXML, "expected unicast mac address, found multicast '01:11:22:33:44:55' in network 'n'"},
		{"<host id='00:0g' name='a' ip='10.0.0.2'/>", KindXML, "Invalid character 'g' in id '00:0g' of network 'n'"},
		{"<host name='-a' ip='10.0.0.2'/>", KindXML, "Cannot use host name '-a' in network 'n'"},
		{"<host name='a,ignore' ip='10.0.0.2'/>", KindDetail, "invalid char in host name: , (<host> in line 1: all is allowed but control characters, commas, double quotes, colons, # behind a blank)"},
		{"<host name='a' ip='x'/>", KindXML, "Invalid IP address in static host definition for network 'n'"},
		{"<host ip='10.0.0.2'/>", KindXML, "Static host definition in IPv4 network 'n' must have mac or name attribute"},
		{"<host name='a'/>", KindXML, "Missing IP address in static host definition for network 'n'"},
		{"<bootp/>", KindXML, "Missing required attribute 'file' in element 'bootp'"},
		{"<bootp file='a&#10;b'/>", KindDetail, "invalid char in bootp file: 0x0a"},
		{"<bootp file='a' server='tftp.example'/>", KindSystem, "Cannot parse socket address 'tftp.example': Name or service not known"},
	})
	runRefusals(t, dhcp6, []refusal{
		{"<range start='fd00::1' end='fd00::1:0'/>", KindInternal, "range fd00::1 - fd00::1:0 is too large (> 65535)"},
		{"<range start='fd00::2' end='fd00::1'/>", KindInternal, "range fd00::2 - fd00::1 start larger than end"},
		{"<host mac='00:11:22:33:44:55' ip='fd00::2'/>", KindXML, "Invalid to specify MAC address '00:11:22:33:44:55' in network 'n' IPv6 static host definition"},
		{"<host ip='fd00::2'/>", KindXML, "Static host definition in IPv6 network 'n' must have id or name attribute"},
	})
	runRefusals(t, inside, []refusal{
		{"<ip address='10.0.0.1' netmask='255.0.255.0'><dhcp><range start='10.0.0.2' end='10.0.0.3'/></dhcp></ip>", KindInternal, "bad prefix -1 for network 10.0.0.1 when checking range 10.0.0.2 - 10.0.0.3"},
		{"<ip address='10.0.0.1'><dhcp><range start='10.0.0.2' end='10.1.0.2'/></dhcp></ip>", KindInternal, "range 10.0.0.2 - 10.1.0.2 is too large (> 65535)"},
	})
}

func TestRefuseDNS(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", 483)
	runRefusals(t, dns, []refusal{
		{"<forwarder addr='x'/>", KindXML, "Invalid forwarder IP address 'x' in network 'n'"},
		{"<forwarder/>", KindXML, "Invalid forwarder element, must contain at least one of addr or domain"},
		{"<forwarder domain='a #b'/>", KindDetail, "invalid char in forwarder domain: # (<forwarder> in line 1: all is allowed but control characters, double quotes, # behind a blank)"},
		{"<forwarder domain=''/>", KindXML, "Invalid forwarder element, must contain at least one of addr or domain"},
		{"<host ip='10.0.0.1'/>", KindDetail, "Missing hostname in network 'n' DNS HOST record"},
		{"<host ip='10.0.0.1'><hostname/></host>", KindDetail, "Missing hostname in network 'n' DNS HOST record"},
		{"<host><hostname>a</hostname></host>", KindDetail, "Missing IP address in network 'n' DNS HOST record"},
		{"<host ip='x'><hostname>a</hostname></host>", KindDetail, "Invalid IP address in network 'n' DNS HOST record"},
		{"<host ip='10.0.0.1'>\n<hostname>a\nb</hostname></host>", KindDetail, "invalid char in hostname: 0x0a (<hostname> in line 2: all is allowed but control characters, # at the beginning of a word)"},
		{"<host ip='10.0.0.1'><hostname>a #b</hostname></host>", KindDetail, "invalid char in hostname: # (<hostname> in line 1: all is allowed but control characters, # at the beginning of a word)"},
		{"<srv protocol='tcp'/>", KindDetail, "missing required service attribute in DNS SRV record of network 'n'"},
		{"<srv service='" + long + "' protocol='tcp'/>", KindDetail, "service attribute '" + long + "' in network 'n' is too long, limit is 482 bytes"},
		{"<srv service='a b' protocol='tcp'/>", KindDetail, "invalid character in service attribute 'a b' in DNS SRV record of network 'n'"},
		{"<srv service='a'/>", KindDetail, "missing required protocol attribute in DNS SRV record 'a' of network 'n'"},
		{"<srv service='a' protocol='t_p'/>", KindDetail, "invalid character in protocol attribute 't_p' in DNS SRV record of network 'n'"},
		{"<srv service='a' protocol='tcp' port='1'/>", KindDetail, "DNS SRV port attribute not permitted without target for service 'a' in network 'n'"},
		{"<srv service='a' protocol='tcp' target='x' port='0'/>", KindDetail, "invalid DNS SRV port attribute for service 'a' in network 'n'"},
		{"<srv service='a' protocol='tcp' target='x' priority='65536'/>", KindDetail, "Invalid DNS SRV priority attribute for service 'a' in network 'n'"},
		{"<srv service='a' protocol='tcp' target='x' weight='x'/>", KindDetail, "invalid DNS SRV weight attribute for service 'a' in network 'n'"},
		{"<srv service='a' protocol='tcp' domain='a&#10;b'/>", KindDetail, "invalid line break in DNS SRV record domain attribute"},
		{"<srv service='a' protocol='tcp' target='a&#13;b'/>", KindDetail, "invalid line break in DNS SRV record target attribute"},
		{"<srv service='a' protocol='tcp' target='a,b'/>", KindDetail, "invalid char in DNS SRV record target: , (<srv> in line 1: all is allowed but control characters, commas, double quotes, # behind a blank)"},
		{"<txt value='a'/>", KindDetail, "missing required name attribute in DNS TXT record of network n"},
		{"<txt name='a b' value='a'/>", KindDetail, "prohibited character in DNS TXT record name 'a b' of network n"},
		{"<txt name='a'/>", KindDetail, "missing required value attribute in DNS TXT record named 'a' of network n"},
		{"<txt name='a' value='b&#10;dhcp-script=/x'/>", KindDetail, "invalid line break in TXT record value"},
		{"<txt name='a&#34;b' value='c'/>", KindDetail, `invalid char in DNS TXT record name: " (<txt> in line 1: all is allowed but control characters, double quotes)`},
	})
	runRefusals(t, inside, []refusal{
		{"<dns enable='no'><txt name='a' value='b'/></dns>", KindXML, "Extra data in disabled network 'n'"},
		{"<dns enable='on'/>", KindXML, "Invalid value for attribute 'enable' in element 'dns': 'on'."},
	})
}
