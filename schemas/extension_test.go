package schemas_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/virbr/virbr/schemas"
)

// extensionRules are for what virbr adds below <network>.
func extensionRules() []rule {
	rules := []rule{
		{"advprefix with all", "<ipv6 advprefix='2001:db8:31::/64' dhcp='stateful' nat='auto' inbound='reject' hostid='ipv4' lifetime='86400' force='yes'/>", ""},
		{"advprefix missing", "<ipv6/>", `line 3: element "ipv6": attribute "advprefix" is missing`},
		{"advprefix twice", "<ipv6 advprefix='ula'/><ipv6 advprefix='auto'/>", `element "ipv6" may be given only once here`},
		{"advprefix dhcp", "<ipv6 advprefix='ula' dhcp='yes'/>", `expected "no", "stateless" or "stateful"`},
		{"advprefix nat", "<ipv6 advprefix='ula' nat='66'/>", `expected "auto", "yes" or "no"`},
		{"advprefix inbound", "<ipv6 advprefix='ula' inbound='drop'/>", `expected "reject" or "accept"`},
		{"advprefix hostid", "<ipv6 advprefix='ula' hostid='mac'/>", `expected "ipv4"`},
		{"advprefix lifetime", "<ipv6 advprefix='ula' lifetime='0'/>", `attribute "lifetime": "0"`},
		{"advprefix force", "<ipv6 advprefix='ula' force='1'/>", `expected "yes" or "no"`},
		{"advprefix of live XML", "<ipv6 advprefix='2001:db8:31::/64' from='auto'><deprecated address='2001:db8:30::1/64'/></ipv6>", ""},
		{"advprefix from elsewhere", "<ipv6 advprefix='2001:db8:31::/64' from='pool'/>", `expected "ula" or "auto"`},
		{"advprefix proxyndp", "<ipv6 advprefix='2001:db8:31::/64' proxyndp='eth0'/>", ""},
		{"advprefix proxyndp auto", "<ipv6 advprefix='auto' proxyndp='auto'/>", ""},
		{"advprefix proxyndp of no device", "<ipv6 advprefix='auto' proxyndp=''/>", `element "ipv6": attribute "proxyndp"`},
		{"firewall outside of metadata", "<firewall coexist='no'/>", `element "network": element "firewall" is not allowed here`},
		{"advprefix with a child", "<ipv6 advprefix='ula'><dhcp/></ipv6>", `element "ipv6": element "dhcp" is not allowed here`},
		{"ip auto", "<ip type='auto' family='ipv4' localPtr='yes'><tftp root='/srv'/><dhcp/></ip>", ""},
		{"ip auto with address", "<ip type='auto' address='10.0.0.1'/>", `element "ip": attribute "address" cannot be combined with the attributes before it`},
		{"ip auto with range", "<ip type='auto'><dhcp><range start='10.0.0.2' end='10.0.0.3'/></dhcp></ip>", `element "dhcp": element "range" is not allowed here`},
		{"ip auto of IPv6", "<ip type='auto' family='ipv6'/>", `element "ip": attribute "family": "ipv6" is not allowed, expected "ipv4"`},
		{"ip of another type", "<ip type='static'/>", `attribute "type": "static" is not allowed, expected "auto"`},
		{"bridge create", "<forward mode='bridge'/><bridge name='br0' create='yes'/>", ""},
		{"bridge create other", "<bridge name='br0' create='true'/>", `attribute "create": "true" is not allowed, expected "yes" or "no"`},
		{"in metadata", "<metadata><v:network xmlns:v='urn:virbr:network:1'><v:ipv6 advprefix='ula'/></v:network><o:x xmlns:o='urn:o'/></metadata>", ""},
		{"in metadata twice", "<metadata><network xmlns='urn:virbr:network:1'/><network xmlns='urn:virbr:network:1'/></metadata>", `may be given only once here`},
		{"in metadata, another root", "<metadata><v:ipv6 xmlns:v='urn:virbr:network:1' advprefix='ula'/></metadata>", `element "metadata": element "ipv6" of "urn:virbr:network:1" is not allowed here (allowed: "network" of "urn:virbr:network:1")`},
		{"portForward outside of metadata", "<portForward proto='tcp'/>", `element "network": element "portForward" is not allowed here`},
	}
	for value, ok := range map[string]bool{
		"ula": true, "auto": true, "2001:db8:31:0:0:0:0:1": true, "::1": true, "2001:db8::/0": true, "2001:db8::/128": true,
		"2001:db8::/129": false, "2001:db8::/064": false, "2001:db8::/": false, "ULA": false, "": false,
		"10.0.0.0/24": false, "2001:db8::/64 ": false, "g::/64": false, "2001:db8/64": false,
	} {
		r := rule{name: fmt.Sprintf("advprefix %s.", value), doc: "<ipv6 advprefix='" + value + "'/>"}
		if !ok {
			r.want = `expected an IPv6 prefix or address, "ula" or "auto"`
		}
		rules = append(rules, r)
	}
	return rules
}

// elementRules are for <virbr:network> as a document.
func elementRules() []rule {
	rules := within("<virbr:network xmlns:virbr='urn:virbr:network:1'>\n%s</virbr:network>", []rule{
		{"nothing", "", ""},
		{"everything", `<virbr:address public='203.0.113.7' guest='web1' mode='stateless'/>
			<virbr:portForward proto='tcp' family='ipv6' ignore='yes'><virbr:range start='8080'/></virbr:portForward>
			<virbr:ip type='auto'/>
			<virbr:portForward proto='tcp' family='ipv4' address='0.0.0.0' guest='web1'>
			  <virbr:range start='8080' to='80'/>
			  <virbr:range start='9000' end='9010'/>
			  <virbr:range start='9005' exclude='yes'/>
			</virbr:portForward>
			<virbr:uplink dev='wg0'/>
			<virbr:bridge create='yes'/>
			<virbr:uplink dev='eth0' family='ipv6' gateway='fe80::1' guard='no'/>
			<virbr:ipv6 advprefix='ula'/>
			<virbr:address public='2001:db8::7' guest='52:54:00:00:00:01'/>`, ""},
		{"forward to an address, from a device", "<virbr:portForward proto='sctp' family='all' dev='eth0' guest='2001:db8::5' ignore='no'/>", ""},
		{"forward of some sources", "<virbr:portForward proto='tcp' guest='a' from='203.0.113.0/24, 2001:db8::/32 198.51.100.7'/>", ""},
		{"forward of a source that is none", "<virbr:portForward proto='tcp' guest='a' from='office'/>", `attribute "from"`},
		{"firewall of services", "<virbr:firewall host='services'/>", ""},
		{"firewall of a host", "<virbr:firewall host='none'/>", `expected "all" or "services"`},
		{"uplink without dev", "<virbr:uplink family='all'/>", `element "uplink": attribute "dev" is missing`},
		{"uplink family", "<virbr:uplink dev='wg0' family='inet'/>", `expected "ipv4", "ipv6" or "all"`},
		{"uplink gateway", "<virbr:uplink dev='wg0' gateway='router'/>", `expected an IP address`},
		{"uplink guard", "<virbr:uplink dev='wg0' guard='off'/>", `expected "yes" or "no"`},
		{"uplink with a child", "<virbr:uplink dev='wg0'><virbr:x/></virbr:uplink>", `element "uplink": element "x" of "urn:virbr:network:1" is not allowed here`},
		{"forward without proto", "<virbr:portForward guest='a'/>", `element "portForward": attribute "proto" is missing`},
		{"forward proto", "<virbr:portForward proto='icmp' guest='a'/>", `expected "tcp", "udp" or "sctp"`},
		{"forward family", "<virbr:portForward proto='tcp' family='inet' guest='a'/>", `expected "ipv4", "ipv6" or "all"`},
		{"forward without guest", "<virbr:portForward proto='tcp'/>", `attribute "ignore" or "guest" is missing`},
		{"forward that is ignored, with a guest", "<virbr:portForward proto='tcp' ignore='yes' guest='a'/>", `attribute "guest" cannot be combined with the attributes before it`},
		{"forward to a bad guest", "<virbr:portForward proto='tcp' guest='a;b'/>", `expected a guest's DHCP name, MAC address or IP address`},
		{"forward address", "<virbr:portForward proto='tcp' address='localhost' guest='a'/>", `expected an IP address`},
		{"range without start", "<virbr:portForward proto='tcp' guest='a'><virbr:range end='1'/></virbr:portForward>", `element "range": attribute "start" is missing`},
		{"range start zero", "<virbr:portForward proto='tcp' guest='a'><virbr:range start='0'/></virbr:portForward>", `expected a number from 1 to 65535`},
		{"range that is excluded, with a target", "<virbr:portForward proto='tcp' guest='a'><virbr:range start='1' exclude='yes' to='2'/></virbr:portForward>", `attribute "to" cannot be combined with the attributes before it`},
		{"range without namespace", "<virbr:portForward proto='tcp' guest='a'><range start='1'/></virbr:portForward>", `element "portForward": element "range" is not allowed here (allowed: "range" of "urn:virbr:network:1")`},
		{"attribute with namespace", "<virbr:portForward virbr:proto='tcp' guest='a'/>", `attribute "proto" of "urn:virbr:network:1" is not allowed here`},
		{"ip with address", "<virbr:ip type='auto' address='10.0.0.1'/>", `attribute "address" is not allowed here (allowed: "type")`},
		{"bridge without create", "<virbr:bridge name='a'/>", `element "bridge": attribute "name" is not allowed here`},
		{"bridge alone", "<virbr:bridge/>", `attribute "create" is missing`},
		{"two ips", "<virbr:ip type='auto'/><virbr:ip type='auto'/>", `may be given only once here`},
		{"address without guest", "<virbr:address public='203.0.113.7'/>", `element "address": attribute "guest" is missing`},
		{"address mode", "<virbr:address public='203.0.113.7' guest='a' mode='none'/>", `expected "stateless" or "stateful"`},
		{"firewall", "<virbr:firewall coexist='no' mode='nat'/>", ""},
		{"firewall with nothing", "<virbr:firewall/>", ""},
		{"firewall twice", "<virbr:firewall/><virbr:firewall/>", `may be given only once here`},
		{"firewall coexist", "<virbr:firewall coexist='auto'/>", `expected "yes", "no" or "all"`},
		{"firewall mode", "<virbr:firewall mode='open'/>", `expected "none", "nat" or "route"`},
		{"firewall with a child", "<virbr:firewall><virbr:x/></virbr:firewall>", `element "firewall": element "x" of "urn:virbr:network:1" is not allowed here`},
		{"unknown element", "<virbr:coexit/>", `element "network": element "coexit" of "urn:virbr:network:1" is not allowed here`},
	})
	const named = "<virbr:network xmlns:virbr='urn:virbr:network:1' apply='%s'/>"
	rules = append(rules, rule{"apply live", fmt.Sprintf(named, "live"), ""}, rule{"apply start", fmt.Sprintf(named, "start"), ""},
		rule{"apply never", fmt.Sprintf(named, "never"), `expected "start" or "live"`})
	rules = append(rules, rule{"root without namespace", "<network/>", `not allowed as the root element, expected "network" of "urn:virbr:network:1"`})
	return rules
}

func TestExtensionRules(t *testing.T) {
	t.Parallel()
	rules := elementRules()
	check(t, "virbr.rng", schemas.New().ValidateExtension, rules)
}

// TestIPv6 holds the patterns for IPv6 addresses against net/netip.
func TestIPv6(t *testing.T) {
	t.Parallel()
	var rules []rule
	for i, a := range addresses() {
		_, err := netip.ParseAddr(a)
		r := rule{name: fmt.Sprintf("%d", i), doc: "<dns><forwarder addr='" + a + "'/></dns>"}
		if err != nil {
			r.want = `expected an IP address`
		}
		rules = append(rules, r)
	}
	check(t, "network.rng", schemas.New().ValidateNetwork, within(inNetwork, rules))
}

// addresses returns texts of up to nine groups with a double colon, a triple
// one or none at each place, each also with an IPv4 address at the end.
func addresses() []string {
	group := []string{"1", "ab", "0", "Cd3", "ffff", "5", "0006", "7", "8"}
	all := []string{"", ":", "::", ":::", "1", "12345::", "::12345", "g::", "1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8", "1::2::3", "::1.2.3", "::1.2.3.256", "1.2.3.4::", "1.2.3.4"}
	for n := 1; n <= len(group); n++ {
		for at := -1; at <= n; at++ {
			for _, gap := range []string{"::", ":::"} {
				a := ""
				for i := range n {
					switch {
					case i == at:
						a += gap
					case i > 0:
						a += ":"
					}
					a += group[i]
				}
				if at == n {
					a += gap
				}
				last := a[len(a)-1] == ':'
				all = append(all, a)
				if last {
					all = append(all, a+"192.0.2.255")
				} else {
					all = append(all, a+":192.0.2.255")
				}
				if at < 0 {
					break
				}
			}
		}
	}
	return all
}
