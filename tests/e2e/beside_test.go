package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// A firewall of somebody else that is closed, before a network starts and after:
// guests have their network, whatever is done to the rules, and what is accepted
// for them goes with the network.
func TestBesideAnotherFirewall(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "iptables-nft", "nft")
		d := startVirbrd(t)
		newOutside(t)
		shut := func() {
			for _, args := range []string{"-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
				"-P INPUT DROP", "-P FORWARD DROP", "-P OUTPUT ACCEPT"} {
				run(t, "iptables-nft", strings.Fields(args)...)
			}
		}
		shut()
		before := run(t, "nft", "-s", "list", "table", "ip", "filter")
		d.up("shut", `<network><name>shut</name><forward mode='nat'/><bridge name='virbr7'/>
			<ip address='192.168.77.1' netmask='255.255.255.0'><dhcp><range start='192.168.77.10' end='192.168.77.20'/></dhcp></ip></network>`)
		g := netnstest.NewGuest(t, "guest", "virbr7")
		works := func(when string) {
			t.Helper()
			netnstest.Wait(t, when+" rules are whole", func() error {
				if !strings.Contains(run(t, "nft", "list", "ruleset"), `chain forward`) {
					return errors.New("our table is not there")
				}
				_, err := g.TryDHCP(t.Context(), t.TempDir(), "-t", "2")
				return errors.Join(err, pings(g, t, outside4))
			})
		}
		works("beside a closed firewall")
		run(t, "nft", "flush", "ruleset")
		works("after a flush")
		shut()
		works("beside a firewall that came later")
		run(t, "iptables-nft", "-F", "FORWARD")
		shut()
		works("after its owner wrote it again")
		run(t, "nft", "flush", "ruleset")
		shut()
		works("at the end")
		d.virsh("net-destroy", "shut")
		if after := run(t, "nft", "-s", "list", "table", "ip", "filter"); after != before {
			t.Errorf("the other firewall was\n%s\nand is\n%s", before, after)
		}
	})
}
