package topology_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/topology"
	"github.com/virbr/virbr/xml"
)

// kinds are the networks of docs/packets.md. Where its table is made real datagrams
// are sent between networks of the same definitions.
var kinds = map[string]string{
	"isolated":  "",
	"nat":       "<forward mode='nat'/>",
	"nat dev":   "<forward mode='nat' dev='uplink'/>",
	"nat ipv6":  "<forward mode='nat'><nat ipv6='yes'/></forward>",
	"route":     "<forward mode='route'/>",
	"route dev": "<forward mode='route' dev='uplink'/>",
	"open":      "<forward mode='open'/>",
	"bridge":    "<forward mode='bridge'/>",
}

// placeOf is a kind of network, the number-th of its host.
func placeOf(t *testing.T, kind string, number int) topology.Place {
	t.Helper()
	if kind == "external" {
		return topology.Outside("uplink")
	}
	forward, ok := kinds[kind]
	if !ok {
		t.Fatalf("a kind of network that the test does not know: %q", kind)
	}
	doc := fmt.Sprintf("<network><name>%s</name>%s<bridge name='virbr%d'/>", kind, forward, number)
	if kind != "bridge" {
		doc += fmt.Sprintf("<ip address='10.%[1]d.0.1' prefix='24'/><ip family='ipv6' address='2001:db8:%[1]d::1' prefix='64'/>", number)
	}
	def, err := xml.ParseNetwork([]byte(doc + "</network>"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := topology.Inside(def)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMayIsThePacketTable: what the map draws is what docs/packets.md says, which is
// what real packets do.
func TestMayIsThePacketTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/packets.md")
	if err != nil {
		t.Fatal(err)
	}
	cells, six := 0, false
	var heads []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## IPv"):
			six = line == "## IPv6"
			heads = nil
			continue
		case !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---"):
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.Trim(row[i], " *")
		}
		if heads == nil {
			heads = row
			continue
		}
		for col := 1; col < len(row); col++ {
			if row[col] == "" {
				continue
			}
			cells++
			from, to := placeOf(t, row[0], cells%200), placeOf(t, heads[col], 201)
			got := topology.Between(from, to).May(from, to, six)
			if diff := cmp.Diff(topology.Verdict(row[col]), got); diff != "" {
				t.Errorf("IPv6 %t, from %s to %s (-docs +May):\n%s", six, row[0], heads[col], diff)
			}
		}
	}
	if want := 2 * 9 * 8; cells != want {
		t.Errorf("the tables have %d cells, want %d", cells, want)
	}
}
