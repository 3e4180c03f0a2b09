package xml_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/xml"
)

// TestGuardWords: a mistyped word would guard nobody, so none is passed over.
func TestGuardWords(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"<guard/>": "",
		"<guard mac='yes' ip='no' ra='auto' dhcp='yes' stp='no' vlan='no' rate='auto' unknown='drop'/><guard portgroup='g' ip='yes'/>":                                                "",
		"<guard><allow guest='web1' address='10.0.0.9'/><allow guest='52:54:00:00:00:01' address='fe80::1' mac='00:00:5e:00:01:0a'/><allow guest='r' address='10.1.0.0/16'/></guard>": "",
		"<guard arp='yes'/>":                           "unknown attribute 'arp'",
		"<guard mac='auto'/>":                          "mac",
		"<guard ip='1'/>":                              "ip",
		"<guard unknown='reject'/>":                    "unknown",
		"<guard/><guard/>":                             "only once for the whole network",
		"<guard portgroup='g'/><guard portgroup='g'/>": "only once for port group 'g'",
		"<guard portgroup=''/>":                        "leave the attribute out",
		"<guard portgroup='g' unknown='drop'/>":        "is of the whole network",
		"<guard portgroup='g'><allow guest='a' address='10.0.0.1'/></guard>": "belongs into the guard of the whole network",
		"<guard portgroup='other'/>":                                         "port group 'other', which network 'n' does not have",
		"<guard><permit/></guard>":                                           "unknown element 'permit'",
		"<guard><allow address='10.0.0.1'/></guard>":                         "'guest'",
		"<guard><allow guest='web1'/></guard>":                               "needs an address or a mac",
		"<guard><allow guest='10.0.0.2' address='10.0.0.1'/></guard>":        "a name or a MAC address",
		"<guard><allow guest='a' address='10.0.0.1/8'/></guard>":             "without host bits",
		"<guard><allow guest='a' address='224.0.0.1'/></guard>":              "multicast",
		"<guard><allow guest='a' address='fe80::1%eth0'/></guard>":           "zone",
		"<guard><allow guest='a' mac='01:00:5e:00:00:01'/></guard>":          "MAC address of one interface",
	}
	for guard, want := range tests {
		doc := "<network><name>n</name><metadata><v:network xmlns:v='urn:virbr:network:1'>" + strings.NewReplacer("<guard", "<v:guard", "</guard", "</v:guard", "<allow", "<v:allow", "<permit", "<v:permit").Replace(guard) +
			"</v:network></metadata><bridge name='b'/><portgroup name='g'/></network>"
		def, err := xml.ParseNetwork([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		ext, err := def.Extensions()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", guard, err, want)
		}
		if err != nil {
			continue
		}
		if again, err := xml.ParseExtensions([]byte(ext.String())); err != nil || again.String() != ext.String() {
			t.Errorf("%s: what is printed is read otherwise: %v\n%s", guard, err, ext)
		}
	}
	doc := "<network><name>n</name><metadata><v:network xmlns:v='urn:virbr:network:1'><v:guard/></v:network></metadata><forward mode='bridge'/><bridge name='b'/></network>"
	def, err := xml.ParseNetwork([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := def.Extensions(); err == nil || !strings.Contains(err.Error(), "no bridge of its own") {
		t.Errorf("a guard of a bridge that others made: %v", err)
	}
}

// TestGuardParts: what a guard leaves open is yes with it and no without, and a port
// group's own words come first.
func TestGuardParts(t *testing.T) {
	t.Parallel()
	ext, err := xml.ParseExtensions([]byte("<network><guard vlan='no'/><guard portgroup='routers' ra='no' vlan='yes'/></network>"))
	if err != nil {
		t.Fatal(err)
	}
	if g := ext.Guard("web"); g.MAC != xml.Yes || g.IP != xml.Yes || g.VLAN != xml.No || g.RA != xml.Unset {
		t.Errorf("of a group without words of its own: %+v", g)
	}
	if g := ext.Guard("routers"); g.MAC != xml.Yes || g.VLAN != xml.Yes || g.RA != xml.No || g.DHCP != xml.Unset {
		t.Errorf("of a group with some: %+v", g)
	}
	if g := (&xml.Extensions{}).Guard(""); g.MAC != xml.No || g.IP != xml.No || g.STP != xml.No || g.RA != xml.Unset || g.Rate != xml.Unset {
		t.Errorf("of a network without: %+v", g)
	}
}
