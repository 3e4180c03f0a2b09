package dnsmasq_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/xml"
)

func TestQuery(t *testing.T) {
	t.Parallel()
	def := parse(t, "<ip address='10.0.0.1' netmask='255.255.240.0'/><ip family='ipv6' address='fd00::1' prefix='60'/><ip address='10.9.0.1' prefix='24'/>")
	entries := []dnsmasq.Entry{
		{Address: "10.0.0.2", MAC: "52:54:00:0b:00:01", Hostname: "anna", Expiry: 2000},
		{Address: "10.0.0.3", MAC: "52:54:00:0b:00:02", Expiry: 999},
		{Address: "10.0.0.4", MAC: "52:54:00:0b:00:03", Expiry: 1000, ClientID: "ff"},
		{Address: "fd00::2", MAC: "52:54:00:0B:00:01", IAID: "11"},
		{Address: "10.0.0.5", MAC: "06-52:54:00:0b:00:05"},
	}
	anna := dnsmasq.Lease{Interface: "virbr0", Expiry: 2000, MAC: "52:54:00:0b:00:01", Address: "10.0.0.2", Prefix: 20, Hostname: "anna"}
	late := dnsmasq.Lease{Interface: "virbr0", Expiry: 1000, MAC: "52:54:00:0b:00:03", Address: "10.0.0.4", Prefix: 20, ClientID: "ff"}
	anna6 := dnsmasq.Lease{Interface: "virbr0", IPv6: true, MAC: "52:54:00:0B:00:01", IAID: "11", Address: "fd00::2", Prefix: 60}
	typed := dnsmasq.Lease{Interface: "virbr0", MAC: "06-52:54:00:0b:00:05", Address: "10.0.0.5", Prefix: 20}
	for _, tt := range []struct {
		mac  string
		want []dnsmasq.Lease
		ok   bool
	}{
		{"", []dnsmasq.Lease{anna, late, anna6, typed}, true},
		{"52:54:0:b:0:1", []dnsmasq.Lease{anna, anna6}, true},
		{"52:54:00:0B:00:05", []dnsmasq.Lease{typed}, true},
		{"52:54:00:0b:00:02", nil, true},
		{"52:54:00:0b:00", nil, false},
		{"anna", nil, false},
	} {
		got, ok := dnsmasq.Query(entries, def, tt.mac, 1000)
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("mac %q: ok %v (-want +got)\n%s", tt.mac, ok, diff)
		}
	}
}

// TestQueryPrefix: the quirk that clients know, prefix 0 where an IPv6 subnet
// does not say it.
func TestQueryPrefix(t *testing.T) {
	t.Parallel()
	entries := []dnsmasq.Entry{{Address: "10.0.0.2", MAC: "a"}, {Address: "fd00::2", MAC: "b"}}
	for _, tt := range []struct {
		elements string
		v4, v6   uint32
	}{
		{"<ip address='10.0.0.1'/><ip family='ipv6' address='fd00::1'/>", 8, 0},
		{"<ip family='ipv6' address='fd00::1' prefix='64'/>", 0, 64},
		{"", 0, 0},
	} {
		got, ok := dnsmasq.Query(entries, parse(t, tt.elements), "", 0)
		if !ok || len(got) != 2 || got[0].Prefix != tt.v4 || got[1].Prefix != tt.v6 {
			t.Errorf("%s: got %+v", tt.elements, got)
		}
	}
}

func TestGuests(t *testing.T) {
	t.Parallel()
	mac := func(last byte) xml.MAC { return xml.MAC{0x52, 0x54, 0, 0x0b, 0, last} }
	var none dnsmasq.Guests
	one := none.Add("web", mac(2)).Add("db", mac(3)).Add("web", mac(1)).Add("web", mac(2))
	want := `[
  {
    "domain": "db",
    "macs": [
      "52:54:00:0b:00:03"
    ]
  },
  {
    "domain": "web",
    "macs": [
      "52:54:00:0b:00:02",
      "52:54:00:0b:00:01"
    ]
  }
]
`
	if diff := cmp.Diff(want, string(dnsmasq.FormatGuests(one))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	read, err := dnsmasq.ParseGuests("f", []byte(want))
	if diff := cmp.Diff(one, read); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	left := one.Remove("web", mac(2)).Remove("db", mac(3)).Remove("db", mac(3)).Remove("web", mac(9))
	if diff := cmp.Diff(dnsmasq.Guests{{Domain: "web", MACs: []string{"52:54:00:0b:00:01"}}}, left); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(read, one); diff != "" {
		t.Errorf("Remove changed its receiver (-before +after)\n%s", diff)
	}
	if got := string(dnsmasq.FormatGuests(left.Remove("web", mac(1)))); got != "[]\n" {
		t.Errorf("no guests are written as %q", got)
	}
}

func TestBrokenGuestFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, msg string }{
		{"[", "invalid json in file: /x/virbr0.macs"},
		{"{}", "Malformed file structure: /x/virbr0.macs"},
		{"[7]", "Malformed file structure: /x/virbr0.macs"},
		{`[{"macs":[]}]`, "Missing domain"},
		{`[{"domain":"a"}]`, "Missing macs"},
		{`[{"domain":"a","macs":["x"]},{"domain":"a","macs":[]}]`, "duplicate domain 'a'"},
	} {
		_, err := dnsmasq.ParseGuests("/x/virbr0.macs", []byte(tt.text))
		if fe, ok := errors.AsType[*dnsmasq.FileError](err); !ok || fe.Msg != tt.msg {
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.msg)
		}
	}
}
