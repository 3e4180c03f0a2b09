package dnsmasq_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
)

// call is one call of the helper.
type call struct {
	args []string
	env  map[string]string
}

func (c call) parse() (dnsmasq.Event, error) {
	return dnsmasq.ParseEvent(c.args, func(key string) string { return c.env[key] })
}

const serverDUID = "00:01:00:01:2c:00:00:00:52:54:00:0a:00:01"

func TestParseEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		call call
		want dnsmasq.Event
	}{
		{"IPv4", call{[]string{"add", "52:54:00:0b:00:01", "10.0.0.2", "anna"}, map[string]string{
			"DNSMASQ_INTERFACE": "virbr1", "VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_CLIENT_ID": "01:52:54", "DNSMASQ_LEASE_EXPIRES": "1700000000 ",
		}}, dnsmasq.Event{Action: dnsmasq.ActionAdd, Interface: "virbr1",
			Entry: dnsmasq.Entry{Address: "10.0.0.2", MAC: "52:54:00:0b:00:01", Hostname: "anna", ClientID: "01:52:54", Expiry: 1700000000}}},
		{"IPv6", call{[]string{"old", "00:03:00:01:52:54", "fd00::2"}, map[string]string{
			"VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_IAID": "11", "DNSMASQ_MAC": "52:54:00:0b:00:01", "DNSMASQ_SERVER_DUID": serverDUID,
			"DNSMASQ_SUPPLIED_HOSTNAME": "given", "DNSMASQ_OLD_HOSTNAME": "older",
		}}, dnsmasq.Event{Action: dnsmasq.ActionOld, Interface: "virbr0",
			Entry: dnsmasq.Entry{IAID: "11", Address: "fd00::2", MAC: "52:54:00:0b:00:01", Hostname: "given", ClientID: "00:03:00:01:52:54", ServerDUID: serverDUID}}},
		{"the old name", call{[]string{"del", "52:54:00:0b:00:01", "10.0.0.2"}, map[string]string{"VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_OLD_HOSTNAME": "older"}},
			dnsmasq.Event{Action: dnsmasq.ActionDel, Interface: "virbr0", Entry: dnsmasq.Entry{Address: "10.0.0.2", MAC: "52:54:00:0b:00:01", Hostname: "older"}}},
		{"init", call{[]string{"init"}, map[string]string{"VIR_BRIDGE_NAME": "virbr0"}}, dnsmasq.Event{Action: dnsmasq.ActionInit, Interface: "virbr0"}},
		{"a guest's name with a line break", call{[]string{"add", "52:54:00:0b:00:01", "10.0.0.2"}, map[string]string{
			"VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_SUPPLIED_HOSTNAME": "a\n0 52:54:00:00:00:02 10.0.0.1 b *",
		}}, dnsmasq.Event{Action: dnsmasq.ActionAdd, Interface: "virbr0", Entry: dnsmasq.Entry{Address: "10.0.0.2", MAC: "52:54:00:0b:00:01"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.call.parse()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	bridge := map[string]string{"VIR_BRIDGE_NAME": "virbr0"}
	for _, tt := range []struct {
		name string
		call call
	}{
		{"no arguments", call{nil, bridge}},
		{"two arguments", call{[]string{"add", "52:54:00:0b:00:01"}, bridge}},
		{"five arguments", call{[]string{"add", "52:54:00:0b:00:01", "10.0.0.2", "a", "b"}, bridge}},
		{"add alone", call{[]string{"add"}, bridge}},
		{"other action", call{[]string{"tftp", "1", "10.0.0.2", "/f"}, bridge}},
		{"no interface", call{[]string{"init"}, nil}},
		{"interface is a path", call{[]string{"init"}, map[string]string{"VIR_BRIDGE_NAME": "../a"}}},
		{"interface is long", call{[]string{"init"}, map[string]string{"VIR_BRIDGE_NAME": "abcdefghijklmnop"}}},
		{"expiry is a word", call{[]string{"add", "52:54:00:0b:00:01", "10.0.0.2"}, map[string]string{"VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_LEASE_EXPIRES": "soon"}}},
		{"address has a blank", call{[]string{"add", "52:54:00:0b:00:01", "10.0.0.2 x"}, bridge}},
	} {
		if ev, err := tt.call.parse(); err == nil {
			t.Errorf("%s: accepted as %+v", tt.name, ev)
		}
	}
}

func TestApplyKeepsItsInput(t *testing.T) {
	t.Parallel()
	list := leases()
	list[1].ServerDUID = ""
	before := slices.Clone(list)
	got := dnsmasq.Apply(list, dnsmasq.Event{Action: dnsmasq.ActionDel, Entry: dnsmasq.Entry{Address: "192.168.150.10", ServerDUID: serverDUID}})
	if diff := cmp.Diff(before, list); diff != "" {
		t.Errorf("input changed (-before +after)\n%s", diff)
	}
	want := leases()[1:]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestInitText(t *testing.T) {
	t.Parallel()
	list := append(leases(), dnsmasq.Entry{Address: "10.0.0.3", MAC: "52:54:00:0b:00:03"},
		dnsmasq.Entry{Address: "10.0.0.4", MAC: "52:54:00:0b:00:04", Hostname: "a b\n0 c"},
		dnsmasq.Entry{Address: "10.0.0.5", MAC: "06-00:11:22", ClientID: "ff:1"},
		dnsmasq.Entry{Address: "10.0.0.6", MAC: "none"}, dnsmasq.Entry{Address: "10.0.0.7", MAC: "52:54:00:0b:00:0g"},
		dnsmasq.Entry{Address: "10.0.0.8", MAC: strings.Repeat("00:", 16) + "00"}, dnsmasq.Entry{Address: "10.0.0", MAC: "52:54:00:0b:00:05"},
		dnsmasq.Entry{Address: "10.0.0.9", MAC: "52:54:00:0b:00:05", ClientID: "x"}, dnsmasq.Entry{Address: "10.0.0.9", MAC: "52:54:00:0b:00:05", Expiry: -1},
		dnsmasq.Entry{Address: "fd00::1%eth0", MAC: "52:54:00:0b:00:05"}, dnsmasq.Entry{Address: "fd00::1", MAC: "52:54:00:0b:00:05", IAID: "x"})
	want := `1700000000 52:54:00:0b:00:01 192.168.150.10 anna 01:52:54:00:0b:00:01
0 52:54:00:0b:00:03 10.0.0.3 * *
0 06-00:11:22 10.0.0.5 * ff:1
duid ` + serverDUID + `
0 11 2001:db8:33::50 * 00:03:00:01:52:54:00:0b:00:01
`
	if diff := cmp.Diff(want, dnsmasq.InitText(list, "")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
