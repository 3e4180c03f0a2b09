package xml

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// full has every element and attribute that a <network> can have, in canonical
// form.
const full = `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0' ipv6='yes' trustGuestRxFilters='no'>
  <name>lab &amp; &quot;more&quot;</name>
  <uuid>0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0</uuid>
  <title>A lab</title>
  <description>First line
second line</description>
  <metadata>
    <v:note xmlns:v="urn:virbr:test" who="me">
      <v:line>one &amp; two</v:line>
      <v:mixed>a <b/> c</v:mixed>
    </v:note>
  </metadata>
  <forward dev='eth0' mode='nat'>
    <driver name='vfio' model='vfio-pci-x'/>
    <nat ipv6='yes'>
      <address start='198.51.100.10' end='198.51.100.12'/>
      <port start='2000' end='3000'/>
    </nat>
    <interface dev='eth0'/>
  </forward>
  <bridge name='lab0' zone='work' stp='off' delay='3' macTableManager='libvirt'/>
  <mtu size='9000'/>
  <mac address='52:54:00:0a:0b:0c'/>
  <domain name='lab.example' localOnly='yes' register='yes'/>
  <dns enable='yes' forwardPlainNames='no'>
    <forwarder domain='corp.example' addr='2001:db8::53'/>
    <forwarder addr='192.0.2.53'/>
    <txt name='note' value='it&apos;s &lt;here&gt; ☃'/>
    <srv service='ldap' protocol='tcp' domain='lab.example' target='dc.lab.example' port='389' priority='10' weight='20'/>
    <srv service='none' protocol='udp' target='.'/>
    <host ip='198.51.100.1'>
      <hostname>gw</hostname>
      <hostname>gw.lab.example</hostname>
    </host>
  </dns>
  <vlan trunk='yes'>
    <tag id='10' nativeMode='untagged'/>
    <tag id='20'/>
  </vlan>
  <bandwidth>
    <inbound average='1000' peak='2000' burst='3000'/>
    <outbound average='500'/>
  </bandwidth>
  <port isolated='yes'/>
  <ipv6 advprefix='2001:db8:31::/64' dhcp='stateless' nat='no' inbound='accept' lifetime='3600' force='yes'/>
  <ip family='ipv4' address='10.1.2.1' netmask='255.255.255.0' localPtr='yes'>
    <tftp root='/srv/tftp'/>
    <dhcp>
      <range start='10.1.2.10' end='10.1.2.99'>
        <lease expiry='2' unit='hours'/>
      </range>
      <range start='10.1.2.110' end='10.1.2.120'/>
      <host mac='52:54:0:A:B:C' name='one.lab' ip='10.1.2.5'>
        <lease expiry='0'/>
      </host>
      <host name='two' ip='10.1.2.6'/>
      <bootp file='pxelinux.0' server='10.1.2.3'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='2001:db8:7::1' prefix='64'>
    <dhcp>
      <host id='00:01:02' name='three' ip='2001:db8:7::3'/>
    </dhcp>
  </ip>
  <ip type='auto'>
  </ip>
  <route family='ipv4' address='10.9.0.0' prefix='16' gateway='10.1.2.2' metric='7'/>
  <route address='10.8.0.0' netmask='255.255.0.0' gateway='10.1.2.2'/>
  <virtualport type='802.1Qbg'>
    <parameters managerid='11' typeid='1193047' typeidversion='2' instanceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/>
  </virtualport>
  <portgroup name='sales' default='yes' trustGuestRxFilters='yes'>
    <vlan>
      <tag id='42'/>
    </vlan>
    <virtualport type='openvswitch'>
      <parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p1'/>
    </virtualport>
    <bandwidth>
      <inbound average='10'/>
    </bandwidth>
  </portgroup>
  <portgroup name='empty'>
  </portgroup>
  <dnsmasq:options>
    <dnsmasq:option value='cname=*.a,&quot;b&quot;'/>
  </dnsmasq:options>
</network>
`

func TestFormatCanonical(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(full, mustParse(t, full).Format(0)); diff != "" {
		t.Errorf("canonical form changed (-want +got):\n%s", diff)
	}
}

// TestFormatForms has what differs from its input, or between the live and the
// inactive form.
func TestFormatForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"isolated", "<forward mode='none' dev='eth0'/>", "  <bridge stp='on' delay='0'/>\n"},
		{"forward without mode", "<forward/><ip type='auto'/>", "  <forward mode='nat'/>\n  <bridge stp='on' delay='0'/>\n  <ip type='auto'>\n  </ip>\n"},
		{"macvtap", "<forward mode='vepa'/>", "  <forward mode='vepa'/>\n"},
		{"foreign bridge", "<bridge name='br0'/><forward mode='bridge'/>", "  <forward mode='bridge'/>\n  <bridge name='br0'/>\n"},
		{"own bridge in bridge mode", "<bridge name='br0' create='yes'/><forward mode='bridge'/>", "  <forward mode='bridge'/>\n  <bridge name='br0' stp='on' delay='0' create='yes'/>\n"},
		{"hostdev is managed or not", "<forward mode='hostdev' managed='YES'/>", "  <forward mode='hostdev' managed='yes'/>\n"},
		{"driver alone", "<forward mode='hostdev'><driver model='x'/></forward>", "  <forward mode='hostdev' managed='no'>\n    <driver model='x'/>\n  </forward>\n"},
		{"pci", "<forward mode='hostdev'><address type='pci' domain='0x1' bus='10' slot='010' function='3'/></forward>", "  <forward mode='hostdev' managed='no'>\n    <address type='pci' domain='0x0001' bus='0x0a' slot='0x08' function='0x3'/>\n  </forward>\n"},
		{"interfaces beat a physical function", "<forward mode='vepa'><interface dev='a'/><pf dev='b'/></forward>", "  <forward dev='a' mode='vepa'>\n    <interface dev='a'/>\n  </forward>\n"},
		{"bootp alone is lost", "<ip address='10.0.0.1'><dhcp><bootp file='x'/></dhcp></ip>", "  <bridge stp='on' delay='0'/>\n  <ip address='10.0.0.1'>\n  </ip>\n"},
		{"domain without name", "<domain localOnly='yes'/>", "  <bridge stp='on' delay='0'/>\n"},
		{"dns attributes alone", "<dns forwardPlainNames='yes'/>", "  <bridge stp='on' delay='0'/>\n  <dns forwardPlainNames='yes'/>\n"},
		{"single vlan tag", "<vlan trunk='no'><tag id='4'/></vlan>", "  <bridge stp='on' delay='0'/>\n  <vlan>\n    <tag id='4'/>\n  </vlan>\n"},
		{"lease without expiry", "<ip address='10.0.0.1'><dhcp><range start='10.0.0.2' end='10.0.0.3'><lease unit='hours'/></range></dhcp></ip>", "  <bridge stp='on' delay='0'/>\n  <ip address='10.0.0.1'>\n    <dhcp>\n      <range start='10.0.0.2' end='10.0.0.3'/>\n    </dhcp>\n  </ip>\n"},
		{"default unit", "<ip address='10.0.0.1'><dhcp><range start='10.0.0.2' end='10.0.0.3'><lease expiry='5'/></range></dhcp></ip>", "  <bridge stp='on' delay='0'/>\n  <ip address='10.0.0.1'>\n    <dhcp>\n      <range start='10.0.0.2' end='10.0.0.3'>\n        <lease expiry='5' unit='minutes'/>\n      </range>\n    </dhcp>\n  </ip>\n"},
		{"typeless empty virtualport", "<portgroup name='a'><virtualport/></portgroup>", "  <bridge stp='on' delay='0'/>\n  <portgroup name='a'>\n  </portgroup>\n"},
		{"midonet keeps interfaceid only", "<virtualport type='midonet'><parameters profileid='x'/></virtualport>", "  <bridge stp='on' delay='0'/>\n  <virtualport type='midonet'/>\n"},
		{"empty bandwidth", "<bandwidth/>", "  <bridge stp='on' delay='0'/>\n"},
		{"zero bandwidth", "<bandwidth><inbound average='0' peak='5'/></bandwidth>", "  <bridge stp='on' delay='0'/>\n"},
		{"escaped port group", "<portgroup name=\"it's &lt;\"/>", "  <bridge stp='on' delay='0'/>\n  <portgroup name='it&apos;s &lt;'>\n  </portgroup>\n"},
		{"carriage return", "<description>a&#13;b</description>", "  <description>a&#13;b</description>\n  <bridge stp='on' delay='0'/>\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := "<network>\n  <name>n</name>\n" + tt.want + "</network>\n"
			if diff := cmp.Diff(want, mustParse(t, inside(tt.in)).Format(0)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFormatLive(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside("<forward mode='passthrough'><pf dev='eth0'/></forward>"))
	n.Connections = 3
	n.Forward.Interfaces = []ForwardInterface{{Dev: "eth0v0", Connections: 2}, {Dev: "eth0v1"}}
	live := "<network connections='3'>\n  <name>n</name>\n  <forward mode='passthrough'>\n    <pf dev='eth0'/>\n" +
		"    <interface dev='eth0v0' connections='2'/>\n    <interface dev='eth0v1'/>\n  </forward>\n</network>\n"
	if diff := cmp.Diff(live, n.Format(0)); diff != "" {
		t.Errorf("live form (-want +got):\n%s", diff)
	}
	inactive := "<network>\n  <name>n</name>\n  <forward mode='passthrough'>\n    <pf dev='eth0'/>\n  </forward>\n</network>\n"
	if diff := cmp.Diff(inactive, n.Format(Inactive)); diff != "" {
		t.Errorf("inactive form (-want +got):\n%s", diff)
	}
}

func TestFormatIndent(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside("<metadata><a:b xmlns:a='urn:a'><c/></a:b></metadata>"))
	want := "    <network>\n      <name>n</name>\n      <metadata>\n        <a:b xmlns:a=\"urn:a\">\n          <c/>\n        </a:b>\n" +
		"      </metadata>\n      <bridge stp='on' delay='0'/>\n    </network>\n"
	if diff := cmp.Diff(want, n.FormatIndent(2, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestClone changes every list and pointer of a clone and wants the original
// to stay what it was.
func TestClone(t *testing.T) {
	t.Parallel()
	n := mustParse(t, full)
	n.Forward.Interfaces = append(n.Forward.Interfaces, ForwardInterface{PCI: &PCIAddress{Bus: 1}})
	before := n.Format(0)
	c := n.Clone()
	if diff := cmp.Diff(n, c, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("the clone differs (-want +got):\n%s", diff)
	}
	c.Forward.Interfaces[1].PCI.Bus = 9
	c.DNS.Hosts[0].Hostnames[0] = "changed"
	c.DNS.SRV[0].Port, c.DNS.TXT[0].Value, c.DNS.Forwarders[0].Domain = 1, "changed", "changed"
	c.VLAN.Tags[0].ID, c.Bandwidth.Inbound.Average = 99, 99
	c.IPs[0].Ranges[0].Lease.Expiry, c.IPs[0].Hosts[0].Lease.Expiry, c.IPs[0].Bootp.File = 99, 99, "changed"
	c.Routes[0].Metric, *c.VirtualPort.ManagerID, c.VirtualPort.InstanceID[0] = 99, 99, 99
	c.PortGroups[0].VLAN.Tags[0].ID, c.PortGroups[0].Bandwidth.Inbound.Average = 99, 99
	c.PortGroups[0].VirtualPort.ProfileID = "changed"
	c.DnsmasqOptions[0], c.Advertise.DHCP = "changed", "no"
	if err := c.SetMetadata("urn:virbr:test", "v", "<gone/>"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, n.Format(0)); diff != "" {
		t.Errorf("the original changed (-want +got):\n%s", diff)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]string{
		KindInternal: "internal error: m", KindXML: "XML error: m", KindDetail: "m", KindSystem: "m",
		KindUnsupported: "unsupported configuration: m", KindOverflow: "numerical overflow: m",
		KindOperation: "Requested operation is not valid: m", KindNotSupported: "Operation not supported: m",
		KindInvalidArg: "invalid argument: m", KindSchema: "XML document failed to validate against schema: m",
	} {
		if got := (&Error{Kind: kind, Msg: "m"}).Error(); got != want {
			t.Errorf("kind %d prints %q, want %q", kind, got, want)
		}
	}
	_, err := ParseNetwork([]byte("<network/>"))
	if want := "missing name information"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	if e := (*Error)(nil); !errors.As(err, &e) || e.Origin != OriginNetwork {
		t.Errorf("origin of %v is not the network parser", err)
	}
}
