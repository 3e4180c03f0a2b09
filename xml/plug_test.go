package xml

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const portHead = `<networkport>
  <uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid>
  <owner>
    <name>web1</name>
    <uuid>06578fc1-c686-46fa-bc2c-83893b466a6f</uuid>
  </owner>
`

func port(body string) string { return portHead + body + "</networkport>\n" }

// TestPortCanonical wants canonical documents to come out as they went in.
func TestPortCanonical(t *testing.T) {
	t.Parallel()
	const mac = "  <mac address='52:54:00:0a:0b:0c'/>\n"
	for name, body := range map[string]string{
		"none":    mac,
		"network": mac + "  <plug type='network' bridge='virbr0'/>\n",
		"bridge": "  <group>web</group>\n" + mac +
			"  <virtualport type='openvswitch'>\n    <parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/>\n  </virtualport>\n" +
			"  <bandwidth classID='3'>\n    <inbound average='4' peak='8' floor='2' burst='5'/>\n    <outbound average='1'/>\n  </bandwidth>\n" +
			"  <vlan trunk='yes'>\n    <tag id='1'/>\n    <tag id='2' nativeMode='tagged'/>\n  </vlan>\n" +
			"  <port isolated='yes'/>\n  <rxfilters trustGuest='no'/>\n  <plug type='bridge' bridge='br0' macTableManager='libvirt'/>\n",
		"direct":    mac + "  <plug type='direct' dev='ens3' mode='passthrough'/>\n",
		"hostdev":   mac + "  <plug type='hostdev-pci' managed='no'>\n    <driver name='vfio' model='x'/>\n    <address domain='0x0001' bus='0x02' slot='0x03' function='0x4'/>\n  </plug>\n",
		"unmanaged": mac + "  <plug type='hostdev-pci'>\n    <address domain='0x0001' bus='0x02' slot='0x03' function='0x4'/>\n  </plug>\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePort([]byte(port(body)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(port(body), p.Format()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(p, p.Clone()); diff != "" {
				t.Errorf("the clone differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPortDefaults(t *testing.T) {
	t.Parallel()
	p, err := ParsePort([]byte(port("<mac address='52:54:0:A:B:C'/><bandwidth classID='3'/><plug type='direct' dev='ens3'/>")))
	if err != nil {
		t.Fatal(err)
	}
	want := port("  <mac address='52:54:00:0a:0b:0c'/>\n  <plug type='direct' dev='ens3' mode='vepa'/>\n")
	if diff := cmp.Diff(want, p.Format()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.Bandwidth = &Bandwidth{}
	want = port("  <mac address='52:54:00:0a:0b:0c'/>\n  <bandwidth>\n  </bandwidth>\n  <plug type='direct' dev='ens3' mode='vepa'/>\n")
	if diff := cmp.Diff(want, p.Format()); diff != "" {
		t.Errorf("with neither direction (-want +got):\n%s", diff)
	}
}

func TestPortRefuses(t *testing.T) {
	t.Parallel()
	plug := func(attrs string) string { return port("<mac address='52:54:00:0a:0b:0c'/><plug " + attrs + "/>") }
	for _, tt := range []refusal{
		{"<network/>", KindXML, "expecting root element of 'networkport', not 'network'"},
		{"<networkport/>", KindInternal, "network port has no uuid"},
		{"<networkport><uuid>x</uuid></networkport>", KindInternal, "Unable to parse UUID 'x'"},
		{"<networkport><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid></networkport>", KindInternal, "network port has no owner name"},
		{"<networkport><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid><owner><name>a</name></owner></networkport>", KindInternal, "network port has no owner UUID"},
		{"<networkport><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid><owner><name>a</name><uuid>x</uuid></owner></networkport>", KindInternal, "Unable to parse UUID 'x'"},
		{"<networkport><uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid><owner><name>a\nb</name></owner></networkport>", KindDetail, "invalid char in owner name: 0x0a"},
		{port(""), KindInternal, "network port has no mac"},
		{port("<mac address='x'/>"), KindInternal, "Unable to parse MAC 'x'"},
		{port("<mac address='52:54:00:0a:0b:0c'/><bandwidth classID='x'/>"), KindInternal, "Unable to parse class id 'x'"},
		{port("<mac address='52:54:00:0a:0b:0c'/><bandwidth><outbound average='1' floor='1'/></bandwidth>"), KindUnsupported, "floor attribute is not supported for this config"},
		{port("<mac address='52:54:00:0a:0b:0c'/><rxfilters trustGuest='x'/>"), KindXML, "Invalid value for attribute 'trustGuest' in element 'rxfilters': 'x'."},
		{plug("type='x'"), KindXML, "Invalid value for attribute 'type' in element 'plug': 'x'."},
		{plug("type='network'"), KindXML, "Missing network port bridge name"},
		{plug("type='bridge' bridge='a/b'"), KindDetail, "invalid char in bridge name: /"},
		{plug("type='bridge' bridge='b' macTableManager='x'"), KindXML, "Invalid macTableManager setting 'x' in network port"},
		{plug("type='direct'"), KindXML, "Missing network port link device name"},
		{plug("type='direct' dev='d' mode='x'"), KindXML, "Invalid mode setting 'x' in network port"},
		{plug("type='hostdev-pci' managed='x'"), KindXML, "Invalid value for attribute 'managed' in element 'plug': 'x'."},
		{plug("type='hostdev-pci'"), KindXML, "Missing network port PCI address"},
	} {
		t.Run(tt.msg, func(t *testing.T) {
			t.Parallel()
			_, err := ParsePort([]byte(tt.doc))
			wantRefusal(t, err, tt.kind, tt.msg)
		})
	}
}
