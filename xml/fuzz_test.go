package xml

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParseNetwork wants every document to be refused with an *Error, or to
// have a canonical form that is read back as itself.
func FuzzParseNetwork(f *testing.F) {
	for _, body := range []string{
		"<title>a</title><description>b</description><metadata><a:b xmlns:a='u' c='d'>e<f/><!--g--><![CDATA[h]]></a:b></metadata>",
		"<forward dev='a'><nat ipv6='no'><address start='1.2.3.4' end='1.2.3.5'/><port start='1' end='2'/></nat></forward><ip type='auto'/>",
		"<forward mode='hostdev' managed='yes'><driver model='m'/><address type='pci' bus='1'/></forward>",
		"<forward mode='vepa'><interface dev='a'/><interface dev='b'/></forward><forward mode='x'/>",
		"<forward mode='bridge'/><bridge name='a' create='yes' delay='1'/><mtu size='3'/><mac address='2:0:0:0:0:1'/>",
		"<dns enable='no'/><domain name='a' localOnly='yes' register='no'/><vlan trunk='yes'><tag id='1' nativeMode='tagged'/></vlan>",
		"<dns><forwarder addr='1.2.3' domain='a'/><txt name='a' value='&lt;'/><srv service='a' protocol='b' target='.' port='1'/><host ip='::1'><hostname>a</hostname></host></dns>",
		"<bandwidth><inbound average='1' peak='2' burst='3'/></bandwidth><port isolated='yes'/><ipv6 advprefix='fd00::1' lifetime='600'/>",
		"<ip address='10.0.0.1' prefix='24'><tftp root='/a'/><dhcp><range start='10.0.0.2' end='10.0.0.3'><lease expiry='0'/></range><bootp file='a'/></dhcp></ip>",
		"<ip family='ipv6' address='fd00::1'><dhcp><host id='0:1' ip='fd00::2'/></dhcp></ip><route family='ipv6' address='fd01::' prefix='64' gateway='fd00::3'/>",
		"<virtualport type='midonet'><parameters profileid='a' typeid='0x1'/></virtualport><portgroup name='a' default='yes'><virtualport/></portgroup>",
		"<domain name=' a&#9;/b'/><dns><forwarder addr='fe80::1%a' domain='*/c'/><txt name='_*' value='\"a,&#9;b\" #'/><host ip='::ffff:1.2.3.4'><hostname>*.a b</hostname></host></dns>",
		"<uuid>00000000-0000-0000-0000-000000000000</uuid><ip address='10.0.0.1'><dhcp><host mac='2:0:0:0:0:1&#9; ' name='1;2' ip='10.0.0.3'/></dhcp></ip>",
		"<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='a'/></d:options>",
	} {
		f.Add([]byte(inside(body)))
	}
	f.Add([]byte("<?xml version='1.0' encoding='iso-8859-1'?><!DOCTYPE a><network xmlns:a='b'><name>\xe9&#13;</name></network>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		n, err := ParseNetwork(doc)
		if err != nil {
			wantTyped(t, err)
			return
		}
		if err := n.Validate(); err != nil {
			wantTyped(t, err)
		}
		for _, flags := range []FormatFlags{0, Inactive} {
			once := n.Format(flags)
			again, err := ParseNetwork([]byte(once))
			if err != nil {
				t.Fatalf("our own form is refused: %v\n%s", err, once)
			}
			// libvirt prints metadata that lost all its elements once more.
			once = strings.Replace(once, "  <metadata/>\n", "", 1)
			if twice := again.Format(flags); twice != once {
				t.Fatalf("unstable form:\n%s\n%s", once, twice)
			}
		}
		if n.Clone().Format(0) != n.Format(0) {
			t.Fatal("the clone differs")
		}
	})
}

// FuzzParsePort is FuzzParseNetwork for ports.
func FuzzParsePort(f *testing.F) {
	f.Add([]byte(port("<mac address='52:54:00:0a:0b:0c'/><plug type='network' bridge='virbr0'/>")))
	f.Add([]byte(port("<mac address='52:54:00:0a:0b:0c'/><plug type='hostdev-pci'><address bus='2'/></plug>")))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := ParsePort(doc)
		if err != nil {
			wantTyped(t, err)
			return
		}
		once := p.Format()
		again, err := ParsePort([]byte(once))
		if err != nil {
			t.Fatalf("our own form is refused: %v\n%s", err, once)
		}
		if twice := again.Format(); twice != once {
			t.Fatalf("unstable form:\n%s\n%s", once, twice)
		}
	})
}

// FuzzLoadNetwork wants what is accepted to be loaded without a fault, and of what is
// refused a typed error, or a network with faults that has a form.
func FuzzLoadNetwork(f *testing.F) {
	f.Add([]byte(inside("<domain name='a,b'/><mtu size='x'/><ip address='10.0.0.1'><tftp root='&#10;'/></ip>")))
	f.Add([]byte(inside("<uuid>x</uuid><dns><srv service='a' protocol='b' target='&#10;'/><txt name='a' value='&#10;'/></dns>")))
	f.Fuzz(func(t *testing.T, doc []byte) {
		strict, refused := ParseNetwork(doc)
		loaded, err := LoadNetwork(doc)
		switch {
		case err != nil:
			wantTyped(t, err)
			if refused == nil {
				t.Fatalf("accepted, and not loaded: %v", err)
			}
		case (refused == nil) != (loaded.Fault == nil):
			t.Fatalf("refused with %v, loaded with %v", refused, loaded.Fault)
		case refused == nil && strict.Format(0) != loaded.Format(0):
			t.Fatalf("parsed:\n%s\nloaded:\n%s", strict.Format(0), loaded.Format(0))
		default:
			_ = loaded.Format(Inactive)
		}
	})
}

// FuzzUpdate wants every update to be refused and without effect, or to leave a
// network that can be written.
func FuzzUpdate(f *testing.F) {
	f.Add(uint32(UpdateAddLast), uint32(SectionIPDHCPHost), -1, []byte("<host name='a' ip='10.0.0.9'/>"))
	f.Add(uint32(UpdateDelete), uint32(SectionDNSSRV), 0, []byte("<srv service='q'/>"))
	f.Add(uint32(UpdateModify), uint32(SectionPortGroup), 3, []byte("<portgroup name='g1'/>"))
	f.Fuzz(func(t *testing.T, cmd, section uint32, parent int, doc []byte) {
		n := mustParse(t, base)
		if err := n.Update(UpdateCommand(cmd), UpdateSection(section), parent, doc); err != nil {
			wantTyped(t, err)
			if n.Format(0) != base {
				t.Fatal("a refused update changed the network")
			}
			return
		}
		if _, err := ParseNetwork([]byte(n.Format(0))); err != nil {
			wantTyped(t, err) // as libvirt: the caller finds out by reading it again
		}
	})
}

// FuzzParseExtensions wants every document to be refused with an *Error, or to
// have a canonical form that is read back as itself, alone and in metadata.
func FuzzParseExtensions(f *testing.F) {
	f.Add([]byte(own(everything)))
	f.Add([]byte("<network><portForward proto='udp' dev='a' guest='::1:1'><range start='1' end='9'/><range start='3' exclude='yes'/></portForward></network>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		e, err := ParseExtensions(doc)
		if err != nil {
			wantTyped(t, err)
			return
		}
		once := e.String()
		again, err := ParseExtensions([]byte(once))
		if err != nil {
			t.Fatalf("our own form is refused: %v\n%s", err, once)
		}
		if twice := again.String(); twice != once {
			t.Fatalf("unstable form:\n%s\n%s", once, twice)
		}
		for i := range e.Forwards {
			if !e.Forwards[i].Equal(&again.Forwards[i]) {
				t.Fatalf("%v became %v", &e.Forwards[i], &again.Forwards[i])
			}
		}
		n := mustParse(t, inside("<forward mode='open'/>"))
		if err := n.SetExtensions(e); err != nil {
			wantTyped(t, err) // too large
			return
		}
		if kept, err := n.Extensions(); err != nil || kept.String() != once {
			t.Fatalf("in metadata it is %v, %v", kept, err)
		}
	})
}

// FuzzMetadata wants metadata that was set to survive writing and reading.
func FuzzMetadata(f *testing.F) {
	f.Add("urn:a", "a", "<x><y/>text</x>")
	f.Add("0", "e\u0372", "<x/>") // a letter of Unicode, but not of XML
	f.Add("urn:a", "a", "<x xmlns='urn:b' xmlns:c='urn:c' c:d='1'><y xmlns=''/></x>")
	f.Fuzz(func(t *testing.T, uri, key, text string) {
		n := mustParse(t, inside("<metadata><k:k xmlns:k='urn:k'/></metadata>"))
		if err := n.SetMetadata(uri, key, text); err != nil {
			wantTyped(t, err)
			return
		}
		once := n.Format(0)
		again, err := ParseNetwork([]byte(once))
		if err != nil {
			t.Fatalf("our own form is refused: %v\n%s", err, once)
		}
		n.Metadata.Get(uri)
		again.Metadata.Get(uri)
	})
}

func wantTyped(t *testing.T, err error) {
	t.Helper()
	if e := (*Error)(nil); !errors.As(err, &e) {
		t.Fatalf("error is %T: %v", err, err)
	}
}
