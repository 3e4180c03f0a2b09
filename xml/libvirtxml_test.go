package xml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

// TestLibvirtXMLReads has libvirt's own Go binding read our canonical form and
// write it again: nothing may be lost but what is virbr's own.
func TestLibvirtXMLReads(t *testing.T) {
	t.Parallel()
	n := mustParse(t, full)
	n.Advertise = nil
	n.IPs = n.IPs[:2]
	n.Metadata = nil                                                // the binding keeps it as text; compared below
	n.Title, n.Description, n.PortGroups[0].Bandwidth = "", "", nil // which the binding does not know
	var def libvirtxml.Network
	if err := def.Unmarshal(n.Format(0)); err != nil {
		t.Fatal(err)
	}
	theirs, err := def.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(n.Format(0), mustParse(t, theirs).Format(0)); diff != "" {
		t.Errorf("lost on the way through libvirtxml (-want +got):\n%s", diff)
	}
	if err := def.Unmarshal(full); err != nil {
		t.Fatal(err)
	}
	if def.Metadata == nil || !strings.Contains(def.Metadata.XML, `<v:note xmlns:v="urn:virbr:test" who="me">`) {
		t.Errorf("libvirtxml reads our metadata as %+v", def.Metadata)
	}
}
