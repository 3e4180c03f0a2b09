package virbrxml_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/virbr/virbr/virbrxml"
	"github.com/virbr/virbr/xml"
)

// nat is a network as a program makes it, with metadata of somebody else.
func nat() *libvirtxml.Network {
	return &libvirtxml.Network{
		Name: "default", Forward: &libvirtxml.NetworkForward{Mode: "nat"}, Bridge: &libvirtxml.NetworkBridge{Name: "virbr0"},
		IPs:      []libvirtxml.NetworkIP{{Address: "192.168.122.1", Prefix: 24}},
		Metadata: &libvirtxml.NetworkMetadata{XML: `<a:team xmlns:a="urn:a">ops</a:team>`},
	}
}

// Example forwards port 8080 of the host to a guest, as a Terraform provider does.
func Example() {
	net := nat()
	ext, err := virbrxml.Read(net)
	if err != nil {
		fmt.Println(err)
		return
	}
	ext.Forwards = append(ext.Forwards, virbrxml.PortForward{Proto: "tcp", Guest: "web1", Ranges: []virbrxml.Range{{Start: 8080, To: 80}}})
	ext.Publics = append(ext.Publics, virbrxml.PublicAddress{Public: netip.MustParseAddr("203.0.113.7"), Guest: "web1"})
	if err := virbrxml.Write(net, ext); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(net.Metadata.XML)
	// Output:
	// <a:team xmlns:a="urn:a">ops</a:team>
	//     <virbr:network xmlns:virbr="urn:virbr:network:1">
	//       <virbr:portForward proto="tcp" guest="web1">
	//         <virbr:range start="8080" to="80"/>
	//       </virbr:portForward>
	//       <virbr:address public="203.0.113.7" guest="web1"/>
	//     </virbr:network>
}

// TestRoundTrip: what was written is read again, by programs and by virbrd, and what is
// taken out is gone while others' metadata stays.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	net := nat()
	ext := &virbrxml.Extensions{
		Forwards:  []virbrxml.PortForward{{Proto: "udp", Guest: "52:54:00:00:00:01", From: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Ranges: []virbrxml.Range{{Start: 53}}}},
		Advertise: &virbrxml.Advertise{Prefix: "ula"},
	}
	if err := virbrxml.Write(net, ext); err != nil {
		t.Fatal(err)
	}
	doc, err := net.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	def, err := xml.ParseNetwork([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	taken, err := def.Extensions()
	if err != nil {
		t.Fatal(err)
	}
	read, err := virbrxml.Read(net)
	if err != nil || read.String() != ext.String() || taken.String() != ext.String() {
		t.Errorf("%v\n%s\n%s\nwant %s", err, read, taken, ext)
	}
	if err := virbrxml.Write(net, &virbrxml.Extensions{}); err != nil || strings.Contains(net.Metadata.XML, "virbr") || !strings.Contains(net.Metadata.XML, "ops") {
		t.Errorf("%v, %q", err, net.Metadata.XML)
	}
}

// TestRefused: what virbrd would refuse is refused here, and changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	net := nat()
	before := net.Metadata.XML
	err := virbrxml.Write(net, &virbrxml.Extensions{Forwards: []virbrxml.PortForward{{Proto: "tcp", Guest: "a b\nc", Ranges: []virbrxml.Range{{Start: 80}}}}})
	if err == nil || net.Metadata.XML != before {
		t.Errorf("a name with a line break: %v, %q", err, net.Metadata.XML)
	}
	net.Forward.Mode = "bridge"
	net.IPs = nil
	err = virbrxml.Write(net, &virbrxml.Extensions{Forwards: []virbrxml.PortForward{{Proto: "tcp", Guest: "web1", Ranges: []virbrxml.Range{{Start: 80}}}}})
	if err == nil || !strings.Contains(err.Error(), "not supported with forward mode='bridge'") {
		t.Errorf("where nothing can be forwarded: %v", err)
	}
	net.Metadata.XML = `<virbr:network xmlns:virbr="urn:virbr:network:1"><virbr:nosuch/></virbr:network>`
	if _, err := virbrxml.Read(net); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("an unknown word: %v", err)
	}
}
