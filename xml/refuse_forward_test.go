package xml

import "testing"

func TestRefuseRoute(t *testing.T) {
	t.Parallel()
	runRefusals(t, withIP, []refusal{
		{"<route/>", KindXML, "n: Missing required address attribute in route definition"},
		{"<route address='10.1.0.0'/>", KindXML, "n: Missing required gateway attribute in route definition"},
		{"<route address='x' gateway='10.0.0.2'/>", KindXML, "n: Bad network address 'x' in route definition"},
		{"<route address='10.1.0.0' gateway='x'/>", KindXML, "n: Bad gateway address 'x' in route definition"},
		{"<route address='10.1.0.0' netmask='x' gateway='10.0.0.2'/>", KindXML, "n: Bad netmask address 'x' in route definition"},
		{"<route address='fd00::' gateway='10.0.0.2'/>", KindXML, "n: No family specified for non-IPv4 address 'fd00::' in route definition"},
		{"<route family='ipv4' address='fd00::' gateway='10.0.0.2'/>", KindXML, "n: IPv4 family specified for non-IPv4 address 'fd00::' in route definition"},
		{"<route address='10.1.0.0' prefix='16' gateway='fd00::1'/>", KindXML, "n: No family specified for non-IPv4 gateway '10.1.0.0' in route definition"},
		{"<route family='ipv6' address='10.1.0.0' gateway='10.0.0.2'/>", KindXML, "n: ipv6 family specified for non-IPv6 address '10.1.0.0' in route definition"},
		{"<route family='ipv6' address='fd00::' gateway='10.0.0.2'/>", KindXML, "n: ipv6 specified for non-IPv6 gateway address '10.0.0.2' in route definition"},
		{"<route family='ipv6' address='fd00::' netmask='255.0.0.0' gateway='fd00::1'/>", KindXML, "n: Specifying netmask invalid for IPv6 address 'fd00::' in route definition"},
		{"<route address='10.1.0.0' netmask='ff::' gateway='10.0.0.2'/>", KindXML, "n: Invalid netmask 'ff::' for address '10.1.0.0' (both must be IPv4)"},
		{"<route address='10.1.0.0' netmask='255.255.0.0' prefix='16' gateway='10.0.0.2'/>", KindXML, "n: Route definition cannot have both a prefix and a netmask"},
		{"<route address='10.1.0.0' prefix='33' gateway='10.0.0.2'/>", KindXML, "n: Invalid prefix 33 specified in route definition, must be 0 - 32"},
		{"<route family='ipv6' address='fd00::' prefix='129' gateway='fd00::1'/>", KindXML, "n: Invalid prefix 129 specified in route definition, must be 0 - 128"},
		{"<route family='x' address='10.1.0.0' gateway='10.0.0.2'/>", KindXML, "n: Unrecognized family 'x' in route definition"},
		{"<route address='10.1.0.1' prefix='16' gateway='10.0.0.2'/>", KindXML, "n: Address '10.1.0.1' in route definition is not a network address"},
		{"<route address='10.1.0.0' gateway='10.0.0.2'/>", KindXML, "n: Address '10.1.0.0' in route definition is not a network address"},
		{"<route address='10.1.0.0' prefix='16' gateway='10.0.0.2' metric='0'/>", KindXML, "Invalid value for attribute 'metric' in element 'route': Zero is not permitted"},
		{"<route address='10.1.0.0' prefix='16' gateway='10.2.0.2'/>", KindUnsupported, "unreachable static route gateway '10.2.0.2' specified for network 'n'"},
	})
}

func TestRefuseForward(t *testing.T) {
	t.Parallel()
	runRefusals(t, withIP, []refusal{
		{"<forward mode='x'/>", KindUnsupported, "unknown forwarding type 'x'"},
		{"<forward><driver name='x'/></forward>", KindXML, "Invalid value for attribute 'name' in element 'driver': 'x'."},
		{"<forward><nat/><nat/></forward>", KindXML, "Only one <nat> element is allowed in <forward> of network n"},
		{"<forward mode='route'><nat/></forward>", KindXML, "The <nat> element can only be used when <forward> 'mode' is 'nat' in network n"},
		{"<forward><nat><address/><address/></nat></forward>", KindXML, "Only one <address> element is allowed in <nat> in <forward> in network n"},
		{"<forward><nat><port/><port/></nat></forward>", KindXML, "Only one <port> element is allowed in <nat> in <forward> in network n"},
		{"<forward><nat><address end='1.2.3.4'/></nat></forward>", KindXML, "missing 'start' attribute in <address> element in <nat> in <forward> in network n"},
		{"<forward><nat><address start='x'/></nat></forward>", KindXML, "missing 'end' attribute in <address> element in <nat> in <forward> in network n"},
		{"<forward><nat><address start='fd00::1' end='1.2.3.4'/></nat></forward>", KindXML, "Bad ipv4 start address 'fd00::1' in <nat> in <forward> in network 'n'"},
		{"<forward><nat><address start='1.2.3.5' end='1.2.3.4'/></nat></forward>", KindInternal, "range 1.2.3.5 - 1.2.3.4 is reversed "},
		{"<forward><nat><port end='1'/></nat></forward>", KindDetail, "Missing or invalid 'start' attribute in <port> in <nat> in <forward> in network n"},
		{"<forward><nat><port start='5' end='4'/></nat></forward>", KindDetail, "Missing or invalid 'end' attribute in <port> in <nat> in <forward> in network n"},
		{"<forward dev='a'><pf dev='b'/></forward>", KindXML, "the <forward> 'dev' attribute cannot be used when <address> or <pf> sub-elements are present in network n"},
		{"<forward><interface/></forward>", KindXML, "Missing required dev attribute in <forward> <interface> element of network n"},
		{"<forward dev='a'><interface dev='b'/></forward>", KindXML, "<forward dev='a'> must match first <interface dev='b'/> in network n"},
		{"<forward dev='a'><interface dev='a'/><interface dev='a'/></forward>", KindXML, "interface 'a' can only be listed once in network n"},
		{"<forward dev='a/b'/>", KindDetail, "invalid char in device name: /"},
		{"<forward><address/></forward>", KindXML, "missing address type in network n"},
		{"<forward><address type='netdev'/></forward>", KindXML, "unsupported address type 'netdev' in network n"},
		{"<forward><address type='usb'/></forward>", KindUnsupported, "unknown address type 'usb' in network n"},
		{"<forward mode='hostdev'><address type='pci' bus='3'/><address type='pci' bus='0x3'/></forward>", KindXML, "PCI device '0000:03:00.0' can only be listed once in network n"},
		{"<forward mode='hostdev'><address type='pci' bus='256'/></forward>", KindXML, "Invalid PCI address bus='0x100', must be <= 0xFF"},
		{"<forward mode='hostdev'><address type='pci' function='8'/></forward>", KindXML, "Invalid PCI address function=0x8, must be <= 7"},
		{"<forward><pf dev='a'/><pf dev='b'/></forward>", KindXML, "Only one <pf> element is allowed in <forward> of network n"},
		{"<forward><pf/></forward>", KindXML, "Missing required dev attribute in <pf> element of network 'n'"},
		{"<forward><interface dev='a'/><interface dev='b'/></forward>", KindXML, "multiple forwarding interfaces specified for network 'n', only one is supported"},
		{"<forward mode='open' dev='a'/>", KindXML, "forward dev not allowed for network 'n' with forward mode='open'"},
	})
}

func TestRefuseMode(t *testing.T) {
	t.Parallel()
	runRefusals(t, inside, []refusal{
		{"<forward/>", KindXML, "nat forwarding requested, but no IP address provided for network 'n'"},
		{"<forward mode='route'/>", KindXML, "route forwarding requested, but no IP address provided for network 'n'"},
		{"<forward mode='vepa'/><bridge name='b'/>", KindXML, "bridge name not allowed in vepa mode (network 'n')"},
		{"<forward mode='vepa'/><bridge zone='b'/>", KindXML, "bridge zone not allowed in vepa mode (network 'n')"},
		{"<forward mode='hostdev'/><bridge macTableManager='kernel'/>", KindXML, "bridge macTableManager setting not allowed in hostdev mode (network 'n')"},
		{"<forward mode='private'/><bridge stp='on'/>", KindXML, "bridge delay/stp/zone options only allowed in open, route, nat, and isolated mode, not in private (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b' delay='1'/>", KindXML, "bridge delay/stp/zone options only allowed in open, route, nat, and isolated mode, not in bridge (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b' zone='z' create='yes'/>", KindXML, "bridge delay/stp/zone options only allowed in open, route, nat, and isolated mode, not in bridge (network 'n')"},
		{"<forward mode='bridge' dev='a'/><bridge name='b'/>", KindXML, "A network with forward mode='bridge' can specify a bridge name or a forward dev, but not both (network 'n')"},
		{"<forward mode='bridge'/><bridge name='b'/><mtu size='9000'/>", KindXML, "mtu size only allowed in open, route, nat, and isolated mode, not in bridge (network 'n')"},
	})
}

func TestRefuseDnsmasqOptions(t *testing.T) {
	t.Parallel()
	wrap := func(body string) string {
		return inside("<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'>" + body + "</d:options>")
	}
	runRefusals(t, wrap, []refusal{
		{"<d:option/>", KindInternal, "No dnsmasq options value specified"},
		{"<d:option value='a&#10;b'/>", KindDetail, "invalid char in dnsmasq option: 0x0a"},
	})
}

func TestRefuseAdvertise(t *testing.T) {
	t.Parallel()
	bad := func(prefix, why string) refusal {
		return refusal{"<ipv6 advprefix='" + prefix + "'/>", KindXML, "Invalid advprefix '" + prefix + "' in network 'n': " + why}
	}
	const p = "2001:db8:31::/64"
	runRefusals(t, inside, []refusal{
		{"<ipv6/>", KindXML, "Missing required attribute 'advprefix' in element 'ipv6'"},
		bad("", "want an IPv6 prefix, an IPv6 address, ula or auto"),
		bad("ULA", "want an IPv6 prefix, an IPv6 address, ula or auto"),
		bad("2001:db8::1%eth0", "want an IPv6 prefix, an IPv6 address, ula or auto"),
		bad("10.0.0.0/24", "this is an IPv4 address"),
		bad("::ffff:10.0.0.0/120", "this is an IPv4-mapped address"),
		bad("::/64", "this is the unspecified address"),
		bad("::1", "this is the loopback address"),
		bad("fe80::/64", "this is a link-local address"),
		bad("ff02::/64", "this is a multicast address"),
		bad("::10.0.0.1", "this is an IPv4-compatible address"),
		bad("2001:db8::/48", "guests cannot use a prefix shorter than /64"),
		bad("2001:db8::/80", "a prefix longer than /64 needs dhcp='stateful' or hostid='ipv4'"),
		bad("2001:db8::/127", "there is no room for guests"),
		{"<ipv6 advprefix='" + p + "' hostid='ipv4' dhcp='no'/>", KindXML, "Invalid advprefix '" + p + "' in network 'n': hostid='ipv4' needs dhcp='stateful'"},
		{"<ipv6 advprefix='" + p + "' dhcp='yes'/>", KindXML, "Invalid value for attribute 'dhcp' in element 'ipv6': 'yes'."},
		{"<ipv6 advprefix='" + p + "' nat='on'/>", KindXML, "Invalid value for attribute 'nat' in element 'ipv6': 'on'."},
		{"<ipv6 advprefix='" + p + "' inbound='drop'/>", KindXML, "Invalid value for attribute 'inbound' in element 'ipv6': 'drop'."},
		{"<ipv6 advprefix='" + p + "' force='1'/>", KindXML, "Invalid value for attribute 'force' in element 'ipv6': '1'."},
		{"<ipv6 advprefix='" + p + "' lifetime='10'/>", KindXML, "Invalid lifetime '10' of advprefix in network 'n': must be 120 to 4294967295 seconds"},
	})
}

// TestRefusalLine wants the line of the element that is at fault.
func TestRefusalLine(t *testing.T) {
	t.Parallel()
	_, err := ParseNetwork([]byte("<network>\n<name>n</name>\n<mtu\n size='x'/></network>"))
	e, ok := err.(*Error)
	if !ok || e.Line != 3 {
		t.Errorf("error is %#v, want one at line 3", err)
	}
}
