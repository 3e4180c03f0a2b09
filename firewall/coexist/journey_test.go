package coexist_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall/coexist"
)

// TestJourney: what a guest sends, what comes back for it, and what it asks of the host
// pass these hooks of the kernel, in this order.
func TestJourney(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		packet coexist.Packet
		want   string
	}{
		{"out", coexist.Packet{Hook: coexist.Forward, In: "virbr0", Out: "up0"},
			`netdev ingress vnet0>, bridge prerouting vnet0>, bridge input vnet0>, netdev ingress virbr0>, ip prerouting virbr0>, ip forward virbr0>up0, ` +
				`ip postrouting virbr0>up0, netdev egress >up0`},
		{"back", coexist.Packet{Hook: coexist.Forward, In: "up0", Out: "virbr0", Reply: true},
			`netdev ingress up0>, ip prerouting up0>, ip forward up0>virbr0, ip postrouting up0>virbr0, netdev egress >virbr0, ` +
				`bridge output >vnet0, bridge postrouting >vnet0, netdev egress >vnet0`},
		{"asked", coexist.Packet{Hook: coexist.Input, In: "virbr0", Proto: "udp", Port: 53},
			`netdev ingress vnet0>, bridge prerouting vnet0>, bridge input vnet0>, netdev ingress virbr0>, ip prerouting virbr0>, ip input virbr0>`},
		{"answered", coexist.Packet{Hook: coexist.Output, Out: "virbr0", Proto: "udp", FromPort: 53},
			`ip output >virbr0, ip postrouting >virbr0, netdev egress >virbr0, bridge output >vnet0, bridge postrouting >vnet0, netdev egress >vnet0`},
		{"ARP", coexist.Questions("virbr0")[0], `arp input virbr0>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var hooks []string
			for _, p := range tt.packet.Journey("virbr0", []string{"vnet0"}) {
				layer := p.Layer
				if layer == "" {
					layer = "ip"
				}
				hooks = append(hooks, fmt.Sprintf("%s %s %s>%s", layer, p.Hook, p.In, p.Out))
			}
			if diff := cmp.Diff(tt.want, strings.Join(hooks, ", ")); diff != "" {
				t.Errorf("hooks (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnsure: a rule whose conditions are not understood is named where it may end a
// packet's way, and not where it only says which ports or how many it is about.
func TestUnsure(t *testing.T) {
	t.Parallel()
	mark, limit := coexist.Match{Text: "mark"}, coexist.Match{Text: "limit"}
	port := coexist.Match{Field: coexist.DestPort, Values: []coexist.Value{{Low: 25, High: 25}}}
	missing := coexist.Match{Field: coexist.BackIn, Values: []coexist.Value{{Low: coexist.Missing, High: coexist.Missing}}}
	drop, accept := coexist.Verdict{Kind: coexist.Drop}, coexist.Verdict{Kind: coexist.Accept}
	p := coexist.Packet{Hook: coexist.Prerouting, In: "virbr0", Source: netip.MustParseAddr("192.168.122.2"), Back: "virbr0"}
	lost := p
	lost.Back = "tun0"
	for _, tt := range []struct {
		name          string
		rule          coexist.Rule
		packet        coexist.Packet
		drops, unsure int
	}{
		{"a mark", coexist.Rule{Match: []coexist.Match{mark}, Verdict: drop}, p, 0, 1},
		{"a mark that accepts", coexist.Rule{Match: []coexist.Match{mark}, Verdict: accept}, p, 0, 0},
		{"a queue", coexist.Rule{Verdict: coexist.Verdict{Kind: coexist.Other}}, p, 0, 1},
		{"a port", coexist.Rule{Match: []coexist.Match{port}, Verdict: drop}, p, 0, 0},
		{"a limit", coexist.Rule{Match: []coexist.Match{limit}, Verdict: drop}, p, 0, 0},
		{"a way back", coexist.Rule{Match: []coexist.Match{missing}, Verdict: drop}, p, 0, 0},
		{"no way back", coexist.Rule{Match: []coexist.Match{missing}, Verdict: drop}, lost, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := coexist.Table{Family: coexist.Inet, Name: "t", Chains: []coexist.Chain{{Name: "c", Hook: coexist.Prerouting, Rules: []coexist.Rule{tt.rule}}}}
			s := &coexist.Survey{Tables: []coexist.Table{table}}
			list, unsure := s.Trace(tt.packet)
			if len(list) != tt.drops || len(unsure) != tt.unsure {
				t.Errorf("drops %+v, unsure %+v", list, unsure)
			}
		})
	}
}
