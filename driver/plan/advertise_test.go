package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// advertising is a network with a prefix and nothing else.
func advertising(mode xml.ForwardMode, a xml.Advertise) *xml.Network {
	return &xml.Network{Name: "n", Bridge: xml.Bridge{Name: "virbr0"}, Forward: xml.Forward{Mode: mode}, Advertise: &a}
}

func via(dest, link string) step.Route {
	return step.Route{Dest: netip.MustParsePrefix(dest), Link: link, Gateway: netip.MustParseAddr("fe80::1")}
}

func onLink(dest, link string) step.Route {
	return step.Route{Dest: netip.MustParsePrefix(dest), Link: link}
}

func TestAdvertisedPrefixRefused(t *testing.T) {
	t.Parallel()
	const public, private = "2001:db8:31::/64", "fd00:31::/64"
	const noDefault = "is a global prefix, but the host has no IPv6 default route"
	for _, tt := range []struct {
		name   string
		mode   xml.ForwardMode
		a      xml.Advertise
		routes []step.Route
		want   string
	}{
		{"public, default route", xml.ForwardNAT, xml.Advertise{Prefix: public}, []step.Route{via("::/0", "eth0")}, ""},
		{"public, default route on a link", xml.ForwardNAT, xml.Advertise{Prefix: public}, []step.Route{onLink("::/0", "ppp0")}, ""},
		{"public, no default route", xml.ForwardNAT, xml.Advertise{Prefix: public}, []step.Route{via("2001:db8::/32", "eth0")}, noDefault},
		{"public, routed", xml.ForwardRoute, xml.Advertise{Prefix: public}, nil, noDefault},
		{"public, open", xml.ForwardOpen, xml.Advertise{Prefix: public}, nil, noDefault},
		{"public, isolated", xml.ForwardNone, xml.Advertise{Prefix: public}, nil, ""},
		{"public, forced", xml.ForwardNAT, xml.Advertise{Prefix: public, Force: true}, nil, ""},
		{"public, of the pool", xml.ForwardNAT, xml.Advertise{Prefix: public, From: "auto"}, nil, ""},
		{"local", xml.ForwardNAT, xml.Advertise{Prefix: private}, nil, ""},
		{"not chosen", xml.ForwardNAT, xml.Advertise{Prefix: "ula"}, nil, "no prefix has been chosen for advprefix 'ula'"},
		{"a link has it", xml.ForwardNAT, xml.Advertise{Prefix: private}, []step.Route{onLink(private, "eth1")}, "already in use: interface eth1 has fd00:31::/64"},
		{"the provider has it on the way out", xml.ForwardNAT, xml.Advertise{Prefix: public}, []step.Route{via("::/0", "eth0"), onLink(public, "eth0")}, "proxyndp='auto' has the host answer"},
		{"a link has more", xml.ForwardNAT, xml.Advertise{Prefix: private}, []step.Route{onLink("fd00::/16", "eth1")}, "interface eth1 has fd00::/16"},
		{"a link has a part, forced", xml.ForwardNAT, xml.Advertise{Prefix: private, Force: true}, []step.Route{onLink("fd00:31::8/128", "wg0")}, "interface wg0 has fd00:31::8/128"},
		{"the bridge has it", xml.ForwardNAT, xml.Advertise{Prefix: private}, []step.Route{onLink(private, "virbr0")}, ""},
		{"a router has it", xml.ForwardNAT, xml.Advertise{Prefix: private}, []step.Route{via(private, "eth1")}, ""},
		{"a link has everything", xml.ForwardNAT, xml.Advertise{Prefix: private}, []step.Route{onLink("fc00::/7", "eth1")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			facts := step.Facts{Routes: tt.routes, Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90}}
			_, err := plan.Compile(advertising(tt.mode, tt.a), nil, facts, places)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestHostKeepsItsRoutes: a host that lives on router advertisements goes on
// doing so when it becomes a router, once a link, before it becomes one.
func TestHostKeepsItsRoutes(t *testing.T) {
	t.Parallel()
	learned := via("::/0", "eth0")
	learned.FromRA = true
	facts := step.Facts{
		Routes:   []step.Route{learned, {Dest: netip.MustParsePrefix("2001:db8:1::/64"), Link: "eth0", FromRA: true}},
		AcceptRA: map[string]int{"eth0": 1, "all": 1},
		Dnsmasq:  step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq", Major: 2, Minor: 90},
	}
	p, err := plan.Compile(advertising(xml.ForwardNAT, xml.Advertise{Prefix: "fd00:31::/64"}), nil, facts, places)
	if err != nil {
		t.Fatal(err)
	}
	const want = "router advertisements: hear for virbr0\nsysctl net/ipv6/conf/all/forwarding = 1\n"
	if got := p.String(); !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
}
