package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// TestCompare: how a running network becomes another, and what guests notice.
func TestCompare(t *testing.T) {
	t.Parallel()
	const base = "<bridge name='virbr0' stp='off'/><mac address='52:54:00:00:00:01'/>"
	const net4 = "<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>"
	const adv = "<ipv6 advprefix='fd00:1::/64'/>"
	tests := []struct {
		name, from, to string
		way            plan.Way
		effect         plan.Effect
		text           string // of one of the changes
	}{
		{"the same", "<forward mode='nat'/>" + base + net4, "<forward mode='nat'/>" + base + net4, plan.WayNone, plan.EffectNothing, ""},
		{"mode", "<forward mode='nat'/>" + base + net4, "<forward mode='route'/>" + base + net4, plan.WayLive, plan.EffectNothing, "~ firewall install virbr0 (leave_virbr0 enter_virbr0 ingress_virbr0)"},
		{"isolated", "<forward mode='nat'/>" + base + net4, base + net4, plan.WayLive, plan.EffectCut, "~ forward mode nat -> none"},
		{"no longer", base + net4, "<forward mode='nat'/>" + base + net4, plan.WayLive, plan.EffectNothing, "+ sysctl net/ipv4/ip_forward = 1"},
		{"another kind", base + net4, "<forward mode='bridge'/><bridge name='br0'/>", plan.WayRestart, plan.EffectCut, "~ forward mode none -> bridge"},
		{"device", "<forward mode='nat'/>" + base + net4, "<forward mode='nat' dev='eth1'/>" + base + net4, plan.WayLive, plan.EffectCut, "~ forward device eth1"},
		{"prefix", adv + base + net4, base + net4, plan.WayLive, plan.EffectRenumbered, "- address add fd00:1::1/64 nodad dev virbr0"},
		{"another prefix", adv + base + net4, "<ipv6 advprefix='fd00:2::/64'/>" + base + net4, plan.WayLive, plan.EffectRenumbered, "+ address add fd00:2::1/64 nodad dev virbr0"},
		{"a subnet less", base + net4 + "<ip address='10.2.0.1' prefix='24'/>", base + net4, plan.WayLive, plan.EffectCut, "- address add 10.2.0.1/24 broadcast 10.2.0.255 dev virbr0"},
		{"another subnet", base + net4, base + "<ip address='10.2.0.1' prefix='24'><dhcp><range start='10.2.0.2' end='10.2.0.9'/></dhcp></ip>", plan.WayLive, plan.EffectRenumbered, "~ subnet 10.1.0.0/24 stays until the leases in it have ended"},
		{"another subnet, leases for ever", base + strings.Replace(net4, "10.1.0.9'/>", "10.1.0.9'><lease expiry='0'/></range>", 1), base + "<ip address='10.2.0.1' prefix='24'><dhcp><range start='10.2.0.2' end='10.2.0.9'/></dhcp></ip>", plan.WayLive, plan.EffectCut, "- address add 10.1.0.1/24 broadcast 10.1.0.255 dev virbr0"},
		{"a larger subnet", base + net4, base + "<ip address='10.1.0.2' prefix='16'><dhcp><range start='10.1.1.2' end='10.1.1.9'/></dhcp></ip>", plan.WayRestart, plan.EffectCut, "- address add 10.1.0.1/24 broadcast 10.1.0.255 dev virbr0"},
		{"MTU", base + net4, base + net4 + "<mtu size='1400'/>", plan.WayLive, plan.EffectRenewal, "+ link set virbr0 mtu 1400"},
		{"no MTU", base + "<mtu size='1400'/>", base, plan.WayLive, plan.EffectNothing, "- link set virbr0 mtu 1400"},
		{"bridge", base, "<bridge name='virbr1' stp='off'/><mac address='52:54:00:00:00:01'/>", plan.WayRestart, plan.EffectFlap, "~ stopped and started, with its guests put back"},
		{"MAC address", base, "<bridge name='virbr0' stp='off'/><mac address='52:54:00:00:00:02'/>", plan.WayRestart, plan.EffectCut, "~ link add virbr0 type bridge address 52:54:00:00:00:02"},
		{"a route less", base + net4 + "<route address='10.9.0.0' prefix='24' gateway='10.1.0.9'/>", base + net4, plan.WayLive, plan.EffectCut, "- route add 10.9.0.0/24 via 10.1.0.9 dev virbr0 metric 1"},
		{"a route more", base + net4, base + net4 + "<route address='10.9.0.0' prefix='24' gateway='10.1.0.9'/>", plan.WayLive, plan.EffectNothing, "+ route add 10.9.0.0/24 via 10.1.0.9 dev virbr0 metric 1"},
		{"STP", base, "<bridge name='virbr0'/><mac address='52:54:00:00:00:01'/>", plan.WayLive, plan.EffectNothing, "~ bridge set virbr0 stp_state 1"},
		{"bandwidth", base, base + "<bandwidth><inbound average='100'/></bandwidth>", plan.WayLive, plan.EffectNothing, "+ shape virbr0 inbound average 100"},
		{"for what is plugged in later", base, base + "<portgroup name='a'/>", plan.WayLive, plan.EffectNothing, "~ its definition, for what is plugged in later"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			from := parse(t, tt.from)
			to := plan.Succeed(from, parse(t, tt.to), time.Unix(1e9, 0))
			steps := func(def *xml.Network) []step.Step {
				p, err := plan.Compile(def, nil, step.Facts{Dnsmasq: step.DnsmasqFacts{Path: "/usr/sbin/dnsmasq"}}, plan.Dirs{Run: "/run", Dnsmasq: "/var"})
				if err != nil {
					t.Fatal(err)
				}
				return p.Steps
			}
			got := plan.Compare(from, to, steps(from), steps(to), false)
			if got.Way != tt.way || got.Effect() != tt.effect {
				t.Errorf("way %d, guests notice %q; want %d, %q\n%+v", got.Way, got.Effect(), tt.way, tt.effect, got.Changes)
			}
			if tt.text != "" && !slices.ContainsFunc(got.Changes, func(c plan.Change) bool { return c.Text == tt.text }) {
				t.Errorf("no %q in\n%+v", tt.text, got.Changes)
			}
		})
	}
}
