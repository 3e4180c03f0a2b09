package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestBridgeIsMended: what others take from the bridge of a running network comes back,
// and the log says what it was; a bridge that is gone is said.
func TestBridgeIsMended(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		d.up("lab", `<network><name>lab</name><forward mode='nat'/><bridge name='virbr1'/><ipv6 advprefix='fd00:31::/64'/>
			<ip address='192.168.131.1' prefix='24'><dhcp><range start='192.168.131.2' end='192.168.131.9'/></dhcp></ip>
			<route address='10.55.0.0' prefix='16' gateway='192.168.131.7'/></network>`)
		g := netnstest.NewGuest(t, "g", "virbr1")
		lease := g.DHCP(t)
		state := func() string {
			return run(t, "sh", "-ec", `ip -o addr show dev virbr1 scope global | awk '{print $4}'; ip route show dev virbr1
				ip -o link show dev virbr1 | grep -o '[<,]UP[,>]' || echo down
				cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/conf/virbr1/forwarding /proc/sys/net/ipv6/conf/virbr1/disable_ipv6`)
		}
		before := state()
		for _, damage := range []string{
			"ip addr flush dev virbr1",
			"ip route del 10.55.0.0/16",
			"sysctl -qw net.ipv4.ip_forward=0",
			"sysctl -qw net.ipv6.conf.all.forwarding=0",
			"sysctl -qw net.ipv4.conf.virbr1.forwarding=0",
			"sysctl -qw net.ipv6.conf.virbr1.disable_ipv6=1",
			"ip link set virbr1 down",
		} {
			said := strings.Count(d.log.String(), "by another program, restored")
			run(t, "sh", "-ec", damage)
			if damage == "ip route del 10.55.0.0/16" { // of which nobody is told but by what happens next
				run(t, "sh", "-ec", "ip addr del 192.168.131.1/24 dev virbr1")
			}
			netnstest.Wait(t, damage+" is mended", func() error {
				if now := state(); now != before {
					return fmt.Errorf("it was\n%s\nand is\n%s", before, now)
				}
				if strings.Count(d.log.String(), "by another program, restored") == said {
					return fmt.Errorf("nothing is said: %s", d.log.String())
				}
				return nil
			})
			d.stop() // the intervals begin anew
			d = startVirbrd(t)
		}
		if again := g.DHCP(t); again["ip"] != lease["ip"] {
			t.Errorf("the guest has %v now, and had %v", again, lease)
		}
		run(t, "ip", "link", "del", "virbr1")
		netnstest.Wait(t, "the daemon says that the bridge is gone", func() error {
			if log := d.log.String(); !strings.Contains(log, "the bridge of a running network was deleted") {
				return fmt.Errorf("it said\n%s", log)
			}
			return nil
		})
	})
}
