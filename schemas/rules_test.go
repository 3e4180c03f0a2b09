package schemas_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/xml"
)

// rule is one document of a table. want is "" for one that fits, else what the
// message must hold.
type rule struct{ name, doc, want string }

// check holds our verdicts against the table, then xmllint and jing against
// the same.
func check(t *testing.T, schema string, validate func([]byte) error, rules []rule) {
	t.Helper()
	docs, fits := map[string]string{}, map[string]bool{}
	for _, r := range rules {
		if _, twice := docs[r.name]; twice {
			t.Fatalf("two rules are named %q", r.name)
		}
		docs[r.name], fits[r.name] = r.doc, r.want == ""
		err := validate([]byte(r.doc))
		bad := (*xml.Error)(nil)
		switch {
		case r.want == "" && err != nil:
			t.Errorf("%s: %v, want no error\n%s", r.name, err, r.doc)
		case r.want == "":
		case !errors.As(err, &bad):
			t.Errorf("%s: %v, want an error with %q\n%s", r.name, err, r.want, r.doc)
		case bad.Kind != xml.KindSchema || bad.Origin != xml.OriginXML || !strings.Contains(bad.Msg, r.want):
			t.Errorf("%s: %#v, want KindSchema and %q\n%s", r.name, bad, r.want, r.doc)
		case !strings.HasPrefix(bad.Msg, "Unable to validate doc against "+schemas.Dir+"/"+schema+"\nline "):
			t.Errorf("%s: the message begins with %.70q", r.name, bad.Msg)
		}
	}
	agree(t, schema, docs, fits)
}

// within makes rules out of fragments, set into a document by its format.
func within(format string, rules []rule) []rule {
	for i := range rules {
		rules[i].doc = fmt.Sprintf(format, rules[i].doc)
	}
	return rules
}

const inNetwork = "<network>\n  <name>n</name>\n  %s\n</network>\n"

func TestNetworkRules(t *testing.T) {
	t.Parallel()
	rules := documentRules()
	for _, more := range [][]rule{
		linkRules(), forwardRules(), dnsRules(), subnetRules(), dhcpRules(), policyRules(), extensionRules(),
	} {
		rules = append(rules, within(inNetwork, more)...)
	}
	check(t, "network.rng", schemas.New().ValidateNetwork, rules)
}

func documentRules() []rule {
	return []rule{
		{"least", "<network><name>n</name></network>", ""},
		{"declaration, comments and instructions", "<?xml version='1.0' encoding='UTF-8'?>\n<!-- c --><?p?><network><!-- c --><name>n</name><?p?></network><!-- c -->", ""},
		{"name with quotes", `<network><name>a"b'c d</name></network>`, ""},
		{"network attributes", "<network ipv6='yes' trustGuestRxFilters='no' connections='3'><name>n</name></network>", ""},
		{"no name", "<network>\n<uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid></network>", `line 1: element "network": element "name" is missing`},
		{"empty name", "<network>\n<name/></network>", `line 2: element "name": it is empty, expected a name without slash and line break`},
		{"slash in name", "<network><name>a/b</name></network>", `element "name": text "a/b" is not allowed here, expected a name without slash and line break`},
		{"newline in name", "<network><name>a&#10;b</name></network>", `"a\nb" is not allowed`},
		{"two names", "<network>\n<name>a</name>\n<name>b</name></network>", `line 3: element "network": element "name" may be given only once here`},
		{"element in name", "<network><name><b/></name></network>", `element "name": element "b" is not allowed here`},
		{"wrong root", "<domain/>", `line 1: element "domain": not allowed as the root element, expected "network"`},
		{"root in a namespace", "<network xmlns='urn:x'><name>n</name></network>", `not allowed as the root element`},
		{"name in a namespace", "<network xmlns:x='urn:x'><x:name>n</x:name></network>", `element "name" of "urn:x" is not allowed here (allowed: "bandwidth"`},
		{"text in network", "<network><name>n</name>word</network>", `element "network": text "word" is not allowed here`},
		{"unknown element", "<network><name>n</name>\n<brigde/></network>", `line 2: element "network": element "brigde" is not allowed here (allowed: "bandwidth", "bridge", `},
		{"unknown attribute", "<network type='nat'><name>n</name></network>", `line 1: element "network": attribute "type" is not allowed here (allowed: "connections", "ipv6", "trustGuestRxFilters")`},
		{"network ipv6 neither yes nor no", "<network ipv6='YES'><name>n</name></network>", `attribute "ipv6": "YES" is not allowed, expected "yes" or "no"`},
		{"negative connections", "<network connections='-1'><name>n</name></network>", `attribute "connections": "-1" is not allowed, expected a number from 0 to 4294967295`},
	}
}

func linkRules() []rule {
	return []rule{
		{"everything that says who it is", "<uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid><title>T 1</title><description>a\nb</description><metadata/>", ""},
		{"order is free", "<mac address='52:54:00:17:3F:37'/><forward/><mtu size='1'/><bridge/><uuid>81ff0d90c91e674264da4a736edb9a9b</uuid>", ""},
		{"empty title", "<title/>", ""},
		{"newline in title", "<title>a\nb</title>", `element "title": text "a\nb" is not allowed here, expected one line of text`},
		{"short uuid", "<uuid>81ff0d90-c91e-6742-64da</uuid>", `expected a UUID`},
		{"bridge", "<bridge name='virbr0' zone='trusted_1-a' stp='off' delay='0' macTableManager='libvirt'/>", ""},
		{"bridge template", "<bridge name='virbr%d'/>", ""},
		{"bridge named with all characters", `<bridge name='aZ0_.-\:/'/>`, ""},
		{"two bridge templates", "<bridge name='a%d%d'/>", `attribute "name": "a%d%d" is not allowed, expected a device name`},
		{"bridge named with a blank", "<bridge name='a b'/>", `line 3: element "bridge": attribute "name": "a b" is not allowed`},
		{"empty bridge name", "<bridge name=''/>", `attribute "name": "" is not allowed`},
		{"misspelt bridge attribute", "<bridge stpp='on'/>", `line 3: element "bridge": attribute "stpp" is not allowed here (allowed: "create", "delay", "macTableManager", "name", "stp", "zone")`},
		{"stp yes", "<bridge stp='yes'/>", `attribute "stp": "yes" is not allowed, expected "on" or "off"`},
		{"negative delay", "<bridge delay='-1'/>", `attribute "delay": "-1"`},
		{"delay in words", "<bridge delay='2s'/>", `attribute "delay": "2s"`},
		{"zone with a dot", "<bridge zone='a.b'/>", `expected a firewalld zone`},
		{"macTableManager", "<bridge macTableManager='user'/>", `expected "kernel" or "libvirt"`},
		{"two bridges", "<bridge/><bridge/>", `element "bridge" may be given only once here`},
		{"text in bridge", "<bridge>x</bridge>", `element "bridge": text "x" is not allowed here`},
		{"child of bridge", "<bridge><x/></bridge>", `element "bridge": element "x" is not allowed here`},
		{"blank in bridge", "<bridge> \n </bridge>", ""},
		{"mtu bounds", "<mtu size='65535'/>", ""},
		{"mtu zero", "<mtu size='0'/>", ""},
		{"mtu too large", "<mtu size='65536'/>", `attribute "size": "65536" is not allowed, expected a number from 0 to 65535`},
		{"mtu negative", "<mtu size='-1'/>", `attribute "size": "-1"`},
		{"mtu without size", "<mtu/>", `element "mtu": attribute "size" is missing`},
		{"mac", "<mac address='0e:aB:Cd:00:00:00'/>", ""},
		{"mac with one digit", "<mac address='2:54:00:17:3f:37'/>", `expected a unicast MAC address`},
		{"mac multicast", "<mac address='01:54:00:17:3f:37'/>", `expected a unicast MAC address`},
		{"mac with hyphens", "<mac address='52-54-00-17-3f-37'/>", `expected a unicast MAC address`},
		{"mac with a tail", "<mac address='52:54:00:17:3f:37 '/>", `expected a unicast MAC address`},
		{"mac too long", "<mac address='52:54:00:17:3f:37:00'/>", `expected a unicast MAC address`},
	}
}

func forwardRules() []rule {
	rules := []rule{
		{"forward bare", "<forward/>", ""},
		{"forward none", "<forward mode='none'/>", `element "forward": attribute "mode": "none" is not allowed, expected "nat", "route", "open", "bridge", "private", "vepa", "passthrough" or "hostdev"`},
		{"forward unknown mode", "<forward mode='NAT'/>", `attribute "mode": "NAT"`},
		{"forward dev", "<forward dev='eth0.5'/>", ""},
		{"forward dev with a quote", "<forward dev='eth&quot;'/>", `attribute "dev": "eth\"" is not allowed, expected a device name`},
		{"forward managed", "<forward mode='hostdev' managed='true'/>", `expected "yes" or "no"`},
		{"forward pool", "<forward mode='vepa'><interface dev='eth0' connections='2'/><interface dev='eth1'/></forward>", ""},
		{"forward interface without dev", "<forward><interface/></forward>", `element "interface": attribute "dev" is missing`},
		{"forward pf", "<forward mode='hostdev' managed='no'><driver name='vfio' model='vfio-pci+x_1'/><pf dev='eth0'/></forward>", ""},
		{"forward pf, live", "<forward mode='passthrough'><pf dev='eth0'/><interface dev='a'/></forward>", ""},
		{"forward pf, live hostdev", "<forward mode='hostdev'><address type='pci' bus='1' slot='2' function='3'/><pf dev='eth0'/></forward>", ""},
		{"forward two pfs", "<forward><pf dev='a'/><pf dev='b'/></forward>", `element "forward": element "pf" may be given only once here`},
		{"forward pf without dev", "<forward><pf/></forward>", `element "pf": attribute "dev" is missing`},
		{"forward interface and address", "<forward><interface dev='a'/><address type='pci' bus='1' slot='2' function='3'/></forward>", `element "forward": element "address" cannot be combined with the elements before it`},
		{"forward driver name", "<forward><driver name='uio'/></forward>", `expected "kvm", "vfio" or "xen"`},
		{"forward driver model", "<forward><driver model='a b'/></forward>", `expected a driver name`},
		{"address with all", "<forward><address type='pci' domain='0x0000' bus='0xff' slot='0x1f' function='0x7' multifunction='on'><zpci uid='0x0001' fid='0x00000000'/></address></forward>", ""},
		{"address without type", "<forward><address bus='1' slot='2' function='3'/></forward>", `element "address": attribute "type" is missing`},
		{"address of a usb device", "<forward><address type='usb' bus='1' slot='2' function='3'/></forward>", `attribute "type": "usb" is not allowed, expected "pci"`},
		{"address with type only", "<forward><address type='pci'/></forward>", ""},
		{"address slot", "<forward><address type='pci' bus='1' slot='0x20' function='0'/></forward>", `expected a number from 0 to 31`},
		{"address slot decimal", "<forward><address type='pci' bus='1' slot='32' function='0'/></forward>", `expected a number from 0 to 31`},
		{"address bus", "<forward><address type='pci' bus='256' slot='1' function='0'/></forward>", `expected a number from 0 to 255`},
		{"address function", "<forward><address type='pci' bus='1' slot='1' function='8'/></forward>", `expected a number from 0 to 7`},
		{"nat", "<forward><nat ipv6='yes'><port start='1' end='65535'/><address start='10.0.0.1' end='10.0.0.2'/></nat></forward>", ""},
		{"nat port zero", "<forward><nat><port start='0' end='5'/></nat></forward>", `attribute "start": "0" is not allowed, expected a number from 1 to 65535`},
		{"nat port too large", "<forward><nat><port start='1' end='65536'/></nat></forward>", `attribute "end": "65536"`},
		{"nat port without end", "<forward><nat><port start='1'/></nat></forward>", `element "port": attribute "end" is missing`},
		{"nat address of IPv6", "<forward><nat><address start='::1' end='::2'/></nat></forward>", `expected an IPv4 address`},
		{"two nats", "<forward><nat/><nat/></forward>", `element "nat" may be given only once here`},
	}
	for _, mode := range strings.Fields("nat route open bridge private vepa passthrough hostdev") {
		rules = append(rules, rule{"forward mode " + mode, "<forward mode='" + mode + "'/>", ""})
	}
	return rules
}

func dnsRules() []rule {
	return []rule{
		{"domain", "<domain name='a-1.example.com' localOnly='yes' register='no'/>", ""},
		{"domain without name", "<domain localOnly='yes'/>", `element "domain": attribute "name" is missing`},
		{"domain with underscore", "<domain name='a_b'/>", `expected a DNS name`},
		{"domain localOnly", "<domain name='a' localOnly='1'/>", `expected "yes" or "no"`},
		{"dns empty", "<dns enable='no' forwardPlainNames='yes'/>", ""},
		{"dns all, in any order", "<dns><host ip='::1'><hostname>a</hostname><hostname>b.c</hostname></host><txt name='t' value='&quot; any, thing'/><forwarder addr='1.1.1.1'/><srv service='_s' protocol='udp'/><txt name='u' value=''/></dns>", ""},
		{"dns enable", "<dns enable='on'/>", `expected "yes" or "no"`},
		{"two dns", "<dns/><dns/>", `element "dns" may be given only once here`},
		{"forwarder domain", "<dns><forwarder domain='e.com'/><forwarder addr='::1' domain='e.com'/></dns>", ""},
		{"forwarder empty", "<dns><forwarder/></dns>", `element "forwarder": attribute "addr" or "domain" is missing`},
		{"forwarder name for address", "<dns><forwarder addr='ns1'/></dns>", `attribute "addr": "ns1" is not allowed, expected an IP address`},
		{"forwarder domain with slash", "<dns><forwarder domain='/e/'/></dns>", `expected a DNS name`},
		{"txt without value", "<dns><txt name='t'/></dns>", `element "txt": attribute "value" is missing`},
		{"txt without name", "<dns><txt value='t'/></dns>", `element "txt": attribute "name" is missing`},
		{"txt name with comma", "<dns><txt name='a,b' value='t'/></dns>", `expected a DNS name`},
		{"dns host without ip", "<dns><host><hostname>a</hostname></host></dns>", `element "host": attribute "ip" is missing`},
		{"dns host without name", "<dns><host ip='1.1.1.1'/></dns>", `element "host": element "hostname" is missing`},
		{"dns host with empty name", "<dns><host ip='1.1.1.1'><hostname/></host></dns>", `element "hostname": it is empty, expected a DNS name`},
		{"dns host with blank name", "<dns><host ip='1.1.1.1'><hostname> </hostname></host></dns>", `element "hostname": it is empty, expected a DNS name`},
		{"dns host name with blank", "<dns><host ip='1.1.1.1'><hostname>a b</hostname></host></dns>", `text "a b" is not allowed here, expected a DNS name`},
		{"srv", "<dns><srv service='a/B_*+-' protocol='tcp' domain='d' target='.' port='1' priority='0' weight='65535'/></dns>", ""},
		{"srv protocol", "<dns><srv service='s' protocol='sctp'/></dns>", `attribute "protocol": "sctp" is not allowed, expected "tcp" or "udp"`},
		{"srv without protocol", "<dns><srv service='s'/></dns>", `attribute "protocol" is missing`},
		{"srv service", "<dns><srv service='a.b' protocol='tcp'/></dns>", `expected a service name`},
		{"srv service at the limit", "<dns><srv service='" + strings.Repeat("s", 482) + "' protocol='tcp'/></dns>", ""},
		{"srv service too long", "<dns><srv service='" + strings.Repeat("s", 483) + "' protocol='tcp'/></dns>", `expected a service name`},
		{"srv port without target", "<dns><srv service='s' protocol='tcp' port='1'/></dns>", `attribute "target" is missing`},
		{"srv port zero", "<dns><srv service='s' protocol='tcp' target='.' port='0'/></dns>", `attribute "port": "0"`},
		{"srv target with underscore", "<dns><srv service='s' protocol='tcp' target='a_b.'/></dns>", ""},
		{"srv target with slash", "<dns><srv service='s' protocol='tcp' target='a/b'/></dns>", `expected a host name`},
		{"srv weight", "<dns><srv service='s' protocol='tcp' target='.' weight='65536'/></dns>", `attribute "weight": "65536"`},
		{"srv domain with newline", "<dns><srv service='s' protocol='tcp' domain='a&#10;b'/></dns>", `attribute "domain": "a\nb"`},
		{"srv target with newline", "<dns><srv service='s' protocol='tcp' target='a&#10;b'/></dns>", `attribute "target": "a\nb"`},
		{"dnsmasq options", "<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='a=b, c'/><d:option value=''/></d:options>", ""},
		{"dnsmasq options, none", "<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'/>", ""},
		{"dnsmasq option without value", "<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option/></d:options>", `element "option": attribute "value" is missing`},
		{"dnsmasq options of another namespace", "<d:options xmlns:d='urn:d'/>", `element "options" of "urn:d" is not allowed here`},
		{"dnsmasq option without namespace", "<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><option value='a'/></d:options>", `element "option" is not allowed here`},
	}
}

func subnetRules() []rule {
	return []rule{
		{"ip", "<ip address='192.168.122.1' netmask='255.255.255.0' localPtr='yes'/>", ""},
		{"ip family", "<ip family='ipv4' address='192.168.122.1' prefix='32'/>", ""},
		{"ip prefix zero", "<ip address='192.168.122.1' prefix='0'/>", ""},
		{"ip alone", "<ip address='10.0.0.1'/><ip address='10.0.1.1'/>", ""},
		{"ip without address", "<ip netmask='255.0.0.0'/>", `element "ip": attribute "address" is missing`},
		{"ip with nothing", "<ip/>", `element "ip": attribute "address", "type" or "family" is missing`},
		{"ip address", "<ip address='192.168.122.256'/>", `attribute "address": "192.168.122.256" is not allowed, expected an IPv4 address`},
		{"ip address of three parts", "<ip address='192.168.122'/>", `expected an IPv4 address`},
		{"ip address with zeros", "<ip address='192.168.122.01'/>", `expected an IPv4 address`},
		{"ip netmask and prefix", "<ip address='10.0.0.1' netmask='255.0.0.0' prefix='8'/>", `element "ip": attribute "prefix" cannot be combined with the attributes before it`},
		{"ip prefix too large", "<ip address='10.0.0.1' prefix='33'/>", `attribute "prefix": "33" is not allowed, expected a number from 0 to 32`},
		{"ip prefix with sign", "<ip address='10.0.0.1' prefix='+8'/>", `attribute "prefix": "+8"`},
		{"ip of another family", "<ip family='ipx' address='10.0.0.1'/>", `attribute "family": "ipx" is not allowed, expected "ipv4" or "ipv6"`},
		{"ip of IPv6 without family", "<ip address='2001:db8::1' prefix='64'/>", `attribute "family" is missing`},
		{"ip of IPv6 called IPv4", "<ip family='ipv4' address='2001:db8::1'/>", `attribute "address": "2001:db8::1" is not allowed, expected an IPv4 address`},
		{"ip of IPv4 called IPv6", "<ip family='ipv6' address='10.0.0.1'/>", `expected an IPv6 address`},
		{"ip of IPv6", "<ip family='ipv6' address='2001:db8::1' prefix='128' localPtr='no'/>", ""},
		{"ip of IPv6 without prefix", "<ip family='ipv6' address='2001:db8::1'/>", ""},
		{"ip of IPv6 with netmask", "<ip family='ipv6' address='2001:db8::1' netmask='ffff::'/>", `attribute "netmask" cannot be combined with the attributes before it`},
		{"ip of IPv6 prefix", "<ip family='ipv6' address='2001:db8::1' prefix='129'/>", `expected a number from 0 to 128`},
		{"ip localPtr", "<ip address='10.0.0.1' localPtr='maybe'/>", `expected "yes" or "no"`},
		{"tftp", "<ip address='10.0.0.1'><dhcp/><tftp root='/srv/a b'/></ip>", ""},
		{"tftp without root", "<ip address='10.0.0.1'><tftp/></ip>", `attribute "root" is missing`},
		{"tftp with newline", "<ip address='10.0.0.1'><tftp root='/a&#10;dhcp-script=/b'/></ip>", `expected one line of text`},
		{"tftp on IPv6", "<ip family='ipv6' address='::1'><tftp root='/srv'/></ip>", `element "ip": element "tftp" is not allowed here`},
		{"route", "<route address='10.1.0.0' prefix='16' gateway='10.0.0.2'/><route family='ipv4' address='10.2.0.0' netmask='255.255.0.0' gateway='10.0.0.2' metric='4294967295'/>", ""},
		{"route of IPv6", "<route family='ipv6' address='2001:db8:1::' prefix='48' gateway='2001:db8::2' metric='1'/>", ""},
		{"route metric zero", "<route address='10.1.0.0' prefix='16' gateway='10.0.0.2' metric='0'/>", `attribute "metric": "0" is not allowed`},
		{"route without gateway", "<route address='10.1.0.0' prefix='16'/>", `element "route": attribute "gateway" is missing`},
		{"route without address", "<route gateway='10.1.0.0'/>", `element "route": attribute "address" is missing`},
		{"route of two families", "<route address='10.1.0.0' prefix='16' gateway='::2'/>", `attribute "gateway": "::2" is not allowed, expected an IPv4 address`},
		{"route netmask and prefix", "<route address='10.1.0.0' netmask='255.255.0.0' prefix='16' gateway='10.0.0.2'/>", `attribute "prefix" cannot be combined`},
	}
}

func dhcpRules() []rule {
	rules := within("<ip address='10.0.0.1' prefix='8'><dhcp>%s</dhcp></ip>", []rule{
		{"dhcp in any order", "<host mac='52:54:00:00:00:01' ip='10.0.0.5'/><bootp file='/a' server='10.0.0.9'/><range start='10.0.0.2' end='10.0.0.3'/><host name='h' ip='10.0.0.6'/><range start='10.0.1.2' end='10.0.1.3'/>", ""},
		{"range without end", "<range start='10.0.0.2'/>", `element "range": attribute "end" is missing`},
		{"range of IPv6", "<range start='::1' end='::2'/>", `expected an IPv4 address`},
		{"lease", "<range start='10.0.0.2' end='10.0.0.3'><lease expiry='0'/></range><host name='h' ip='10.0.0.6'><lease expiry='24' unit='hours'/></host>", ""},
		{"lease unit", "<range start='10.0.0.2' end='10.0.0.3'><lease expiry='1' unit='days'/></range>", `expected "seconds", "minutes" or "hours"`},
		{"lease without expiry", "<range start='10.0.0.2' end='10.0.0.3'><lease unit='hours'/></range>", `element "lease": attribute "expiry" is missing`},
		{"lease for ever in words", "<range start='10.0.0.2' end='10.0.0.3'><lease expiry='infinite'/></range>", `attribute "expiry": "infinite"`},
		{"two leases", "<range start='10.0.0.2' end='10.0.0.3'><lease expiry='1'/><lease expiry='1'/></range>", `element "lease" may be given only once here`},
		{"host with all", "<host mac='52:54:00:00:00:01' id='0:3:0:1:0:16:3e:11:22:33' name='h-1.x_y' ip='10.0.0.5'/>", ""},
		{"host without ip", "<host mac='52:54:00:00:00:01'/>", `element "host": attribute "ip" is missing`},
		{"host with ip only", "<host ip='10.0.0.5'/>", `element "host": attribute "mac" or "name" is missing`},
		{"host mac multicast", "<host mac='ff:ff:ff:ff:ff:ff' ip='10.0.0.5'/>", `expected a unicast MAC address`},
		{"host name with comma", "<host name='a,b' ip='10.0.0.5'/>", `expected a host name`},
		{"host name with hyphen first", "<host name='-a' ip='10.0.0.5'/>", `expected a host name`},
		{"bootp by name", "<bootp file='a' server='boot.example.com'/>", ""},
		{"bootp by IPv6 address", "<bootp file='a' server='2001:db8::9'/>", ""},
		{"bootp without file", "<bootp server='10.0.0.9'/>", `element "bootp": attribute "file" is missing`},
		{"bootp server", "<bootp file='a' server='a b'/>", `expected an address or a DNS name`},
		{"two bootps", "<bootp file='a'/><bootp file='b'/>", `element "bootp" may be given only once here`},
	})
	for i, duid := range []struct {
		id string
		ok bool
	}{
		{"0:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", true},
		{"00:01:00:01:18:aa:62:fe:00:16:3e:44:55:66", true},
		{"0:1:0:1:18:aa:62:fe", false},
		{"0:2:0:0:b:bf:1", true},
		{"0:2:0:0:b:bf", false},
		{"0:3:0:1:0:16:3e:11:22:33", true},
		{"0:3:0:1", false},
		{"0:4:7e:7d:f0:7d:a8:bc:c5:d2:13:32:11:ed:16:ea:84:63", true},
		{"0:4:7e:7d:f0:7d:a8:bc:c5:d2:13:32:11:ed:16:ea:84", false},
		{"0:4:7e:7d:f0:7d:a8:bc:c5:d2:13:32:11:ed:16:ea:84:63:64", false},
		{"0:5:0:1:0:16:3e:11:22:33", false},
		{"1:1:0:1:18:aa:62:fe:0:16:3e:44:55:66", false},
		{"0:3:0:1:0:16:3e:11:22:333", false},
		{"", false},
	} {
		r := rule{name: fmt.Sprintf("duid %d", i), doc: "<host id='" + duid.id + "' ip='2001:db8::5'/>"}
		if !duid.ok {
			r.want = `expected a DUID of type 1 to 4`
		}
		rules = append(rules, within("<ip family='ipv6' address='2001:db8::1' prefix='64'><dhcp>%s</dhcp></ip>", []rule{r})...)
	}
	return append(rules, within("<ip family='ipv6' address='2001:db8::1' prefix='64'><dhcp>%s</dhcp></ip>", []rule{
		{"dhcpv6", "<range start='2001:db8::10' end='2001:db8::ff'><lease expiry='5'/></range><host name='h' ip='2001:db8::5'/><bootp file='a'/>", ""},
		{"dhcpv6 host with mac", "<host mac='52:54:00:00:00:01' name='h' ip='2001:db8::5'/>", `element "host": attribute "mac" is not allowed here (allowed: "id", "ip", "name")`},
		{"dhcpv6 host with ip only", "<host ip='2001:db8::5'/>", `attribute "id" or "name" is missing`},
		{"dhcpv6 range of IPv4", "<range start='10.0.0.2' end='10.0.0.3'/>", `expected an IPv6 address`},
	})...)
}

func policyRules() []rule {
	return []rule{
		{"bandwidth", "<bandwidth><outbound average='1'/><inbound average='18014398509481984' peak='2' burst='3'/></bandwidth>", ""},
		{"bandwidth empty", "<bandwidth/>", ""},
		{"bandwidth zero", "<bandwidth><inbound average='0'/></bandwidth>", `attribute "average": "0" is not allowed, expected a number from 1 to 18014398509481984`},
		{"bandwidth too large", "<bandwidth><inbound average='18014398509481985'/></bandwidth>", `attribute "average": "18014398509481985"`},
		{"bandwidth without average", "<bandwidth><inbound peak='1'/></bandwidth>", `element "inbound": attribute "average" is missing`},
		{"bandwidth floor", "<bandwidth><inbound average='1' floor='1'/></bandwidth>", `attribute "floor" is not allowed here (allowed: "average", "burst", "peak")`},
		{"bandwidth class", "<bandwidth classID='3'/>", `element "bandwidth": attribute "classID" is not allowed here`},
		{"two inbounds", "<bandwidth><inbound average='1'/><inbound average='1'/></bandwidth>", `element "inbound" may be given only once here`},
		{"vlan", "<vlan trunk='yes'><tag id='0'/><tag id='4095' nativeMode='untagged'/></vlan>", ""},
		{"vlan without trunk", "<vlan><tag id='5' nativeMode='tagged'/></vlan>", ""},
		{"vlan no trunk", "<vlan trunk='no'><tag id='1'/></vlan>", `attribute "trunk": "no" is not allowed, expected "yes"`},
		{"vlan without tag", "<vlan/>", `element "vlan": element "tag" is missing`},
		{"vlan tag", "<vlan><tag id='4096'/></vlan>", `expected a number from 0 to 4095`},
		{"vlan tag without id", "<vlan><tag/></vlan>", `element "tag": attribute "id" is missing`},
		{"vlan native mode", "<vlan><tag id='1' nativeMode='native'/></vlan>", `expected "tagged" or "untagged"`},
		{"port", "<port isolated='yes'/>", ""},
		{"port isolated", "<port isolated='true'/>", `expected "yes" or "no"`},
		{"virtualport 802.1Qbg", "<virtualport type='802.1Qbg'><parameters managerid='255' typeid='0xFFFFFF' typeidversion='0x1' instanceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>", ""},
		{"virtualport 802.1Qbh", "<virtualport type='802.1Qbh'><parameters profileid='p'/></virtualport>", ""},
		{"virtualport openvswitch", "<virtualport type='openvswitch'><parameters profileid='p' interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>", ""},
		{"virtualport midonet", "<virtualport type='midonet'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>", ""},
		{"virtualport alone", "<virtualport type='openvswitch'/>", ""},
		{"virtualport without type", "<virtualport/>", `element "virtualport": attribute "type" is missing`},
		{"virtualport type", "<virtualport type='ovs'/>", `expected "802.1Qbg", "802.1Qbh", "openvswitch" or "midonet"`},
		{"virtualport managerid", "<virtualport type='802.1Qbg'><parameters managerid='256'/></virtualport>", `expected a number from 0 to 255`},
		{"virtualport typeid", "<virtualport type='802.1Qbg'><parameters typeid='16777216'/></virtualport>", `expected a number from 0 to 16777215`},
		{"virtualport parameter of another type", "<virtualport type='802.1Qbh'><parameters managerid='1'/></virtualport>", `element "parameters": attribute "managerid" is not allowed here (allowed: "profileid")`},
		{"virtualport profile too long", "<virtualport type='802.1Qbh'><parameters profileid='" + strings.Repeat("p", 40) + "'/></virtualport>", `expected a profile id of up to 39 characters`},
		{"portgroup", "<portgroup name='g' default='yes' trustGuestRxFilters='no'><bandwidth/><virtualport><parameters profileid='p' managerid='1'/></virtualport><vlan><tag id='1'/></vlan></portgroup><portgroup name='h'/>", ""},
		{"portgroup without name", "<portgroup/>", `element "portgroup": attribute "name" is missing`},
		{"portgroup name", "<portgroup name='a b'/>", `expected a group name`},
		{"portgroup default", "<portgroup name='a' default='YES'/>", `expected "yes" or "no"`},
		{"portgroup virtualport type", "<portgroup name='a'><virtualport type='802.1Qbg'><parameters typeid='1'/></virtualport></portgroup>", ""},
		{"metadata of others", "<metadata><a:x xmlns:a='urn:a' y='1'>text<z xmlns='' w='2'>more</z><!-- c --></a:x><b xmlns='urn:b'/></metadata>", ""},
		{"text in metadata", "<metadata>text</metadata>", `element "metadata": text "text" is not allowed here`},
	}
}
