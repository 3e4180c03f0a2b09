package host_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// What somebody does to our table is told, with who did it; what is no concern
// of ours, and what we do, is not.
func TestRulesAreWatched(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := newBeside(t, host.Config{})
		rules, err := firewall.Compile(&xml.Network{
			Name: "lab", Bridge: xml.Bridge{Name: labBridge}, Forward: xml.Forward{Mode: xml.ForwardNAT},
			IPs: []xml.IP{{Address: netip.MustParseAddr("192.168.122.1"), Prefix: 24}},
		}, nil, firewall.Where{})
		if err != nil {
			t.Fatal(err)
		}
		add := step.AddRules{Rules: rules}
		run(t, l.host, add, guestAccepts())
		l.watch()
		next := func(what, by string, ours bool) {
			t.Helper()
			if n := <-l.news; n.ours != ours || !strings.HasPrefix(n.by, by+" (pid ") {
				t.Errorf("%s: told %+v, want %s, ours %v", what, n, by, ours)
			}
		}
		// All that comes before something that is told has been heard by then, so
		// it shows in what is told next whether it was told itself.
		l.sh("nft add table inet filter; nft add chain inet filter forward '{ type filter hook forward priority 0; }'")
		l.sh("nft add rule inet filter forward iifname eth7 drop; nft add set inet filter banned '{ type ipv4_addr; }'")
		run(t, l.host, add, step.DelRules{Bridge: "virbr9"}, add)
		for _, script := range []string{
			"nft flush ruleset",
			"nft delete table inet virbr",
			"nft flush chain inet virbr forward",
			"nft add rule inet virbr postrouting counter",
			"nft flush table inet virbr",
		} {
			l.sh(script)
			next(script, "nft", true)
			if gone, err := l.host.Missing(t.Context(), []step.Op{add}); err != nil || len(gone) != 1 {
				t.Errorf("%s: nothing is missing: %v, %v", script, gone, err)
			}
			run(t, l.host, add)
			if gone, err := l.host.Missing(t.Context(), []step.Op{add}); err != nil || len(gone) != 0 {
				t.Errorf("%s: after the rules were installed again there is missing: %v, %v", script, gone, err)
			}
		}
		script := "nft add table inet filter; nft add chain inet filter forward '{ type filter hook forward priority 0; policy drop; }'"
		l.sh(script)
		next(script, "nft", false)
		run(t, l.host, guestAccepts())
		script = "nft flush chain inet filter forward"
		l.sh(script)
		next(script, "nft", true)
		run(t, l.host, guestAccepts())
		select {
		case n := <-l.news:
			t.Errorf("told %+v, of which there was no need", n)
		default:
		}
	})
}

// A storm of changes is told in few words, and none of it is lost.
func TestStormOfRules(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := newBeside(t, host.Config{})
		l.sh("nft add table inet filter; nft add chain inet filter forward '{ type filter hook forward priority 0; policy drop; }'")
		run(t, l.host, guestAccepts())
		l.watch()
		l.sh(`for i in $(seq 40); do
			(echo flush chain inet filter forward; for j in $(seq 200); do echo add rule inet filter forward ip saddr 10.0.$i.$j drop; done) | nft -f -
		done`)
		l.mendUntil(l.accepted("nft list chain inet filter forward", `oifname "virbr0"`))
		if err := l.check(forward4, answerPatience); err != nil {
			t.Error(err)
		}
	})
}
