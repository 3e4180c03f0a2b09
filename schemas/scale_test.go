package schemas_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/schemas"
	"github.com/virbr/virbr/xml"
)

// TestLargeDocuments has the largest networks that people make, and the worst
// that one can think of.
func TestLargeDocuments(t *testing.T) {
	t.Parallel()
	hosts := func(format string) string {
		var b strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&b, format+"\n", i>>8&255, i&255, i>>8&255, i&255)
		}
		return b.String()
	}
	const host = "<host mac='52:54:00:00:%02x:%02x' ip='10.0.%d.%d'/>"
	subnet := "<ip address='10.0.0.1' prefix='8'><dhcp>%s</dhcp></ip>"
	rules := within(inNetwork, []rule{
		{"10,000 hosts", fmt.Sprintf(subnet, hosts(host)), ""},
		{"10,000 hosts and a wrong one", fmt.Sprintf(subnet, hosts(host)+"<host/>"), `line 10003: element "host": attribute "mac" or "name" is missing`},
		{"10,000 DNS hosts", "<dns>" + hosts("<host ip='%d.%d.0.1'><hostname>h%d-%d</hostname></host>") + "</dns>", ""},
		{"4,000 unknown elements in metadata", "<metadata>" + unknown(4000, "<u%d xmlns='urn:%[1]d' a%[1]d='1'/>") + "</metadata>", ""},
		{"4,000 unknown elements, nested", "<metadata><m xmlns='urn:m'>" + unknown(4000, "<u%d/>") + "</m></metadata>", ""},
		{"60 unknown attributes", "<bridge " + unknown(60, " a%d='1'") + "/>", `attribute "a0" is not allowed here`},
		{"60 attributes in metadata", "<metadata><m xmlns='urn:m' " + unknown(60, " a%d='1'") + "/></metadata>", ""},
		{"10,000 forwards", "<metadata><v:network xmlns:v='urn:virbr:network:1'>" + unknown(10_000, "<v:portForward proto='tcp' guest='web%d'><v:range start='8080' to='80'/></v:portForward>\n") + "</v:network></metadata>", ""},
		{"1,000 port groups", unknown(1000, "<portgroup name='g%d'><vlan><tag id='1'/></vlan></portgroup>"), ""},
	})
	v := schemas.New()
	check(t, "network.rng", v.ValidateNetwork, rules)
	// Not for jing, which tells of each one in a long line.
	err := v.ValidateNetwork(fmt.Appendf(nil, inNetwork, unknown(4000, "<u%d/>")))
	if err == nil || !strings.Contains(err.Error(), `element "u0" is not allowed here`) {
		t.Errorf("4,000 unknown elements: %v, want an error for the first one", err)
	}
}

func unknown(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestNoXML has documents that never come to a schema.
func TestNoXML(t *testing.T) {
	t.Parallel()
	v := schemas.New()
	for _, doc := range []string{"", "<network", "<network><name>n</network>", "<network>\xff</network>", "<!DOCTYPE network [<!ENTITY a 'b'>]><network/>"} {
		bad := (*xml.Error)(nil)
		if err := v.ValidateNetwork([]byte(doc)); !errors.As(err, &bad) || bad.Kind == xml.KindSchema {
			t.Errorf("%q: %v, want an *xml.Error that is not of KindSchema", doc, err)
		}
	}
}

// TestFiles makes sure that what is installed is what is embedded.
func TestFiles(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.rng")
	if err != nil || len(names) != 5 {
		t.Fatalf("%q, %v, want five schemas", names, err)
	}
	for _, name := range names {
		onDisk, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := schemas.FS().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != int64(len(onDisk)) {
			t.Errorf("%s: %v, %v, want %d bytes", name, info, err, len(onDisk))
		}
	}
}

const defaultNetwork = `<network>
  <name>default</name>
  <uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='52:54:00:17:3f:37'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
  <ipv6 advprefix='ula'/>
</network>
`

func BenchmarkNetwork(b *testing.B) {
	v := schemas.New()
	b.ReportAllocs()
	for b.Loop() {
		if err := v.ValidateNetwork([]byte(defaultNetwork)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFirst(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := schemas.New().ValidateNetwork([]byte(defaultNetwork)); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzNetwork looks for documents that crash the validator, and for those that
// it takes though the parser finds them to be no network at all.
func FuzzNetwork(f *testing.F) {
	f.Add([]byte(defaultNetwork))
	for _, rules := range [][]rule{documentRules(), within(inNetwork, extensionRules()), within(inNetwork, dhcpRules()), within(inNetwork, policyRules())} {
		for _, r := range rules {
			f.Add([]byte(r.doc))
		}
	}
	v := schemas.New()
	f.Fuzz(func(t *testing.T, doc []byte) {
		err := v.ValidateNetwork(doc)
		bad := (*xml.Error)(nil)
		if err != nil && (!errors.As(err, &bad) || bad.Msg == "" || bad.Kind == xml.KindInternal) {
			t.Fatalf("%#v, want an *xml.Error about the document", err)
		}
		if err != nil {
			return
		}
		tree, err := xml.ParseTree(doc)
		if err != nil || tree.Name != "network" || tree.Space != "" {
			t.Fatalf("a document was accepted that is no network: %v, %v", tree, err)
		}
	})
}
