package dnsmasq_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

// TestHostileDocuments: what could bring a line, a field or a path of its own
// into dnsmasq's files is refused, be it by the parser or by Compile.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	const evil = "x&#10;dhcp-script=/tmp/evil"
	dhcp := func(inner string) string {
		return "<bridge name='virbr0'/><ip address='10.0.0.1' prefix='24'><dhcp>" + inner + "</dhcp></ip>"
	}
	dns := func(inner string) string {
		return "<bridge name='virbr0'/><dns>" + inner + "</dns><ip address='10.0.0.1' prefix='24'/>"
	}
	for _, tt := range []struct{ name, elements string }{
		{"name: newline", "<name>a\nb</name>"},
		{"name: slash", "<name>../a</name>"},
		{"domain: newline", "<domain name='" + evil + "'/>"},
		{"domain: comma", "<domain name='a,10.0.0.0/8'/>"},
		{"domain: quote", "<domain name='a\"b'/>"},
		{"domain: comment", "<domain name='a #b'/>"},
		{"forwarder domain: newline", dns("<forwarder domain='" + evil + "' addr='192.0.2.1'/>")},
		{"srv domain: newline", dns("<srv service='a' protocol='tcp' domain='" + evil + "' target='b'/>")},
		{"srv target: newline", dns("<srv service='a' protocol='tcp' target='" + evil + "'/>")},
		{"srv target: comma", dns("<srv service='a' protocol='tcp' target='b,1,2,3'/>")},
		{"srv service: newline", dns("<srv service='" + evil + "' protocol='tcp'/>")},
		{"srv protocol: newline", dns("<srv service='a' protocol='" + evil + "'/>")},
		{"txt name: newline", dns("<txt name='" + evil + "' value='b'/>")},
		{"txt name: comma", dns("<txt name='a,b' value='b'/>")},
		{"txt value: newline", dns("<txt name='a' value='" + evil + "'/>")},
		{"txt value: carriage return", dns("<txt name='a' value='b&#13;c'/>")},
		{"hostname: newline", dns("<host ip='10.0.0.2'><hostname>a\n10.0.0.3 b</hostname></host>")},
		{"hostname: comment", dns("<host ip='10.0.0.2'><hostname>a #b</hostname></host>")},
		{"dhcp name: newline", dhcp("<host mac='52:54:00:00:00:01' ip='10.0.0.2' name='" + evil + "'/>")},
		{"dhcp name: ignore", dhcp("<host mac='52:54:00:00:00:01' ip='10.0.0.2' name='a,ignore'/>")},
		{"dhcp name: tag", dhcp("<host mac='52:54:00:00:00:01' ip='10.0.0.2' name='a,set:x'/>")},
		{"dhcp mac: newline", dhcp("<host mac='52:54:00:00:00:01&#10;x' ip='10.0.0.2'/>")},
		{"dhcp mac: blank", dhcp("<host mac='52:54:00:00:00:01 ,ignore' ip='10.0.0.2'/>")},
		{"dhcp id: newline", "<bridge name='virbr0'/><ip family='ipv6' address='fd00::1' prefix='64'><dhcp><host id='0:1&#10;x' ip='fd00::2'/></dhcp></ip>"},
		{"dhcp id: letters", "<bridge name='virbr0'/><ip family='ipv6' address='fd00::1' prefix='64'><dhcp><host id='0:1,ignore' ip='fd00::2'/></dhcp></ip>"},
		{"bootp file: newline", dhcp("<range start='10.0.0.2' end='10.0.0.3'/><bootp file='" + evil + "'/>")},
		{"tftp root: newline", "<bridge name='virbr0'/><ip address='10.0.0.1' prefix='24'><tftp root='" + evil + "'/></ip>"},
		{"bridge: two", "<bridge name='a,b'/>"},
		{"bridge: wildcard", "<bridge name='virbr*'/>"},
		{"bridge: newline", "<bridge name='" + evil + "'/>"},
		{"bridge: slash", "<bridge name='../a'/>"},
		{"bridge: long", "<bridge name='abcdefghijklmnop'/>"},
		{"option: newline", "<bridge name='virbr0'/><d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='" + evil + "'/></d:options>"},
		{"option: second line by length", "<bridge name='virbr0'/><d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='" +
			strings.Repeat("x", 1024) + "dhcp-script=/tmp/evil'/></d:options>"},
		{"txt value: second line by length", dns("<txt name='a' value='" + strings.Repeat("x", 1010) + "dhcp-script=/tmp/evil'/>")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := "<network>" + tt.elements + "</network>"
			if !strings.Contains(tt.elements, "<name>") {
				doc = strings.Replace(doc, "<network>", "<network><name>net</name>", 1)
			}
			if !strings.Contains(tt.elements, "<bridge") {
				doc = strings.Replace(doc, "</network>", "<bridge name='virbr0'/></network>", 1)
			}
			def, err := xml.ParseNetwork([]byte(doc))
			if err != nil {
				return
			}
			if files, err := dnsmasq.Compile(def, places); err == nil {
				t.Errorf("accepted:\n%s%s%s", files.Conf, files.Hosts, files.AddnHosts)
			}
		})
	}
}

// TestHostileDefinitions: Compile refuses by itself, whoever made the
// definition.
func TestHostileDefinitions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  func(*xml.Network)
	}{
		{"name", func(n *xml.Network) { n.Name = "a\nb" }},
		{"name: slash", func(n *xml.Network) { n.Name = "../a" }},
		{"name: second line by length", func(n *xml.Network) { n.Name = strings.Repeat("x", 1003) + "log-queries" }},
		{"bridge: none", func(n *xml.Network) { n.Bridge.Name = "" }},
		{"bridge: dots", func(n *xml.Network) { n.Bridge.Name = ".." }},
		{"bridge: two", func(n *xml.Network) { n.Bridge.Name = "a,b" }},
		{"bridge: wildcard", func(n *xml.Network) { n.Bridge.Name = "a*" }},
		{"bridge: newline", func(n *xml.Network) { n.Bridge.Name = "a\nb" }},
		{"domain: newline", func(n *xml.Network) { n.Domain.Name = "a\nb" }},
		{"domain: nul", func(n *xml.Network) { n.Domain.Name = "a\x00b" }},
		{"domain: next line", func(n *xml.Network) { n.Domain.Name = "a\u0085b" }},
		{"domain: invalid UTF-8", func(n *xml.Network) { n.Domain.Name = "a\xffb" }},
		{"domain: comma", func(n *xml.Network) { n.Domain.Name = "a,b" }},
		{"forwarder domain", func(n *xml.Network) { n.DNS.Forwarders = []xml.Forwarder{{Domain: `a"b`}} }},
		{"forwarder: empty", func(n *xml.Network) { n.DNS.Forwarders = []xml.Forwarder{{}} }},
		{"txt name", func(n *xml.Network) { n.DNS.TXT = []xml.TXT{{Name: "a,b"}} }},
		{"srv service", func(n *xml.Network) { n.DNS.SRV = []xml.SRV{{Service: "a,b"}} }},
		{"srv protocol", func(n *xml.Network) { n.DNS.SRV = []xml.SRV{{Protocol: "a b"}} }},
		{"srv domain", func(n *xml.Network) { n.DNS.SRV = []xml.SRV{{Domain: `a"b`}} }},
		{"srv target", func(n *xml.Network) { n.DNS.SRV = []xml.SRV{{Target: "a,b"}} }},
		{"hostname", func(n *xml.Network) { n.DNS.Hosts = []xml.DNSHost{{IP: n.IPs[0].Address, Hostnames: []string{"a\nb"}}} }},
		{"hostname: comment", func(n *xml.Network) { n.DNS.Hosts = []xml.DNSHost{{IP: n.IPs[0].Address, Hostnames: []string{"#a"}}} }},
		{"txt value", func(n *xml.Network) { n.DNS.TXT = []xml.TXT{{Name: "a", Value: "b\nc"}} }},
		{"domain: comment", func(n *xml.Network) { n.Domain.Name = "a #b" }},
		{"hostname: empty", func(n *xml.Network) { n.DNS.Hosts = []xml.DNSHost{{IP: n.IPs[0].Address, Hostnames: []string{""}}} }},
		{"tftp root", func(n *xml.Network) { n.IPs[0].TFTPRoot = "/a\nb" }},
		{"bootp file", func(n *xml.Network) { n.IPs[0].Bootp = &xml.Bootp{File: "a\nb"} }},
		{"dhcp name", func(n *xml.Network) { n.IPs[0].Hosts[0].Name = "a,set:b" }},
		{"dhcp name: tag", func(n *xml.Network) { n.IPs[0].Hosts[0].Name = "set:b" }},
		{"dhcp mac", func(n *xml.Network) { n.IPs[0].Hosts[0].MAC = "52:54:00:00:00:01\nx" }},
		{"dhcp id", func(n *xml.Network) { n.IPs[0].Hosts[0].ID = "00 #" }},
		{"option", func(n *xml.Network) { n.DnsmasqOptions = []string{"a\nb"} }},
		{"option: second line by length", func(n *xml.Network) { n.DnsmasqOptions = []string{strings.Repeat("x", 1024)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			def := parse(t, "<ip address='10.0.0.1' prefix='24'><dhcp><host mac='52:54:00:00:00:01' name='a' ip='10.0.0.2'/></dhcp></ip>")
			if _, err := dnsmasq.Compile(def, places); err != nil {
				t.Fatalf("before: %v", err)
			}
			tt.set(def)
			if files, err := dnsmasq.Compile(def, places); err == nil {
				t.Errorf("accepted:\n%s%s%s", files.Conf, files.Hosts, files.AddnHosts)
			}
		})
	}
}
