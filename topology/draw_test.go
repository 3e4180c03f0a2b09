package topology_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/topology"
	definition "github.com/virbr/virbr/xml"
)

var update = flag.Bool("update", false, "write the golden files")

func defined(t *testing.T, doc string) *definition.Network {
	t.Helper()
	def, err := definition.ParseNetwork([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// office is a host with four networks, of which ufw blocks one, and hostile guests.
func office(t *testing.T, guests int) *topology.Facts {
	t.Helper()
	const forwards = `<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
<virbr:portForward proto='tcp' guest='web1'><virbr:range start='8080' to='80'/></virbr:portForward>
<virbr:address public='203.0.113.7' guest='web1'/></virbr:network></metadata>`
	network := func(name, xml string, addresses ...string) doctor.Network {
		n := doctor.Network{Name: name, Active: true, Started: doctor.KeeperVirbrd, Def: defined(t, "<network><name>"+name+"</name>"+xml+"</network>")}
		for i, a := range addresses {
			n.Leases = append(n.Leases, dnsmasq.Entry{Address: a, MAC: fmt.Sprintf("52:54:00:00:%02x:%02x", len(name), i), Hostname: fmt.Sprintf("%s-%d", name, i)})
		}
		return n
	}
	var many []string
	for i := range guests {
		many = append(many, netip.AddrFrom4([4]byte{192, 168, 122, byte(i + 2)}).String())
	}
	f := &topology.Facts{
		Host: &doctor.Facts{Checked: 1, Networks: []doctor.Network{
			network("default", forwards+`<forward mode='nat'/><bridge name='virbr0'/><ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
<ip family='ipv6' address='fd00:1::1' prefix='64'/>`, many...),
			network("dmz", `<forward mode='route'/><bridge name='virbr1'/><ip address='198.51.100.1' prefix='28'/>`, "198.51.100.2", "198.51.100.3"),
			network("lab", `<forward mode='open'/><bridge name='virbr2'/><ip address='10.9.0.1' prefix='24'/>`, "10.9.0.5"),
			network("quiet", `<bridge name='virbr3'/><ip address='10.10.0.1' prefix='24'/>`),
			{Name: "spare", Def: defined(t, "<network><name>spare</name><forward mode='nat'/><bridge name='virbr4'/><ip address='10.11.0.1' prefix='24'/></network>")},
		}},
		Report: &doctor.Report{Findings: []doctor.Finding{{ID: "forward-dropped", Severity: doctor.Problem, Network: "lab", Text: "ufw drops what the host forwards"}}},
		Last:   map[string]topology.Change{"lab": {Time: time.Unix(1, 0).UTC(), Event: "started", Text: "started"}},
		Connections: []topology.Connection{
			{From: netip.MustParseAddrPort("192.168.122.2:4000"), To: netip.MustParseAddrPort("198.51.100.2:443"), By: netip.MustParseAddrPort("198.51.100.2:443")},
			{From: netip.MustParseAddrPort("192.168.122.2:4001"), To: netip.MustParseAddrPort("192.0.2.80:443"), By: netip.MustParseAddrPort("192.0.2.80:443")},
		},
	}
	f.Host.Plan.Routes = []step.Route{{Dest: netip.MustParsePrefix("0.0.0.0/0"), Link: "eth0", Gateway: netip.MustParseAddr("192.0.2.254")}}
	drop := coexist.Rule{Handle: 7, Match: []coexist.Match{{Field: coexist.InName, Values: []coexist.Value{{Name: "virbr2"}}}}, Verdict: coexist.Verdict{Kind: coexist.Drop}}
	f.Host.Filters = &coexist.Survey{Tables: []coexist.Table{{Family: coexist.IPv4, Name: "filter", Chains: []coexist.Chain{
		{Name: "FORWARD", Hook: coexist.Forward, Rules: []coexist.Rule{{Verdict: coexist.Verdict{Kind: coexist.Jump, Chain: "ufw-user-forward"}}}},
		{Name: "ufw-user-forward", Rules: []coexist.Rule{drop}},
	}}}}
	f.Host.Networks[0].Leases[0].Hostname = "web1"
	if guests > 1 {
		f.Host.Networks[0].Leases[1].Hostname = "\x1b[31m<script>alert(1)</script>\u202e\"'&"
	}
	return f
}

// golden compares text with a file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s, which -update writes (-want +got):\n%s", file, diff)
	}
}

func TestDrawing(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/office.svg", topology.Map(office(t, 5)).SVG())
	friendly := office(t, 3) // the picture of the README
	friendly.Host.Networks[0].Leases[1].Hostname = "mail"
	friendly.Host.Networks = friendly.Host.Networks[:4]
	golden(t, "../docs/map.svg", topology.Map(friendly).SVG())
}

// wellFormed reads XML to its end, and returns the texts and attributes in it.
func wellFormed(t *testing.T, doc string) []string {
	t.Helper()
	var texts []string
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.CharData:
			texts = append(texts, string(e))
		case xml.StartElement:
			if e.Name.Local == "script" {
				t.Error("there is a script")
			}
		}
	}
}

// TestManyGuests: a drawing of 200 is whole, no wider or taller than a person scrolls,
// and no two boxes of guests overlap; and what a guest calls itself stays text.
func TestManyGuests(t *testing.T) {
	t.Parallel()
	g := topology.Map(office(t, 200))
	svg := g.SVG()
	texts := wellFormed(t, svg)
	if !strings.Contains(strings.Join(texts, "\n"), "?[31m<script>") {
		t.Error("the name of a guest is not shown as it is")
	}
	var width, height int
	if _, err := fmt.Sscanf(svg[strings.Index(svg, "viewBox"):], "viewBox=\"0 0 %d %d\"", &width, &height); err != nil || width > 1900 || height > 3600 {
		t.Errorf("the drawing is %d by %d, %v", width, height, err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(svg) {
		var x, y int
		if n, _ := fmt.Sscanf(line, `<rect x="%d" y="%d" width="226"`, &x, &y); n == 2 && strings.Contains(line, `width="226" height="24" rx="5"`) {
			key := fmt.Sprint(x, " ", y)
			if seen[key] {
				t.Errorf("two guests are at %s", key)
			}
			seen[key] = true
		}
	}
	if len(seen) != 203 {
		t.Errorf("%d guests are drawn, want 203", len(seen))
	}
	page := g.HTML("Networks of <host>")
	for _, never := range []string{"<script", "\x1b", "\u202e", "http-equiv=\"refresh\"", "src=", "<host>", "url(http"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
}

// TestEdges: lines are where packets may pass, thick where some do, and blocked where
// another's rule stops them.
func TestEdges(t *testing.T) {
	t.Parallel()
	var got []string
	for _, e := range topology.Map(office(t, 5)).Edges {
		text := fmt.Sprintf("%s > %s: %s %d", e.From, e.To, e.IPv4, e.Connections)
		for _, b := range e.Blocks {
			text += " " + b.Owner
		}
		got = append(got, text)
	}
	want := []string{
		"default > dmz: NAT 1", "default > lab: NAT 0", "default > eth0: NAT 1",
		"dmz > lab: yes 0", "dmz > eth0: yes 0", "eth0 > dmz: yes 0",
		"lab > dmz: yes 0 ufw", "lab > eth0: yes 0 ufw", "eth0 > lab: yes 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
