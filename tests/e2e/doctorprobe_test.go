package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// probes are ways to cut guests off by firewalls and routing of others, in the forms that
// their programs give them: ufw's, NordVPN's, NixOS', and those of administrators.
func probes(t *testing.T, guest *netnstest.Guest) []fault {
	t.Helper()
	cut := func(script string) func(t *testing.T) {
		return func(t *testing.T) {
			if err := pings(guest, t, outside4); err != nil {
				t.Fatalf("before: %v", err)
			}
			run(t, "sh", "-ec", script)
			if err := pings(guest, t, outside4); err == nil {
				t.Fatalf("%s does not cut guests off", script)
			}
		}
	}
	table := func(family, hook, rule string) string {
		return "nft 'table " + family + " mine { chain c { type filter hook " + hook + "; " + rule + "; }; }'"
	}
	dropped := []string{"forward-dropped"}
	return []fault{
		{name: "a rule for the subnet and the way out", want: dropped, seen: "saddr 10.81.0.0/24",
			inject: cut(table("inet", "forward priority 0", `ip saddr 10.81.0.0/24 oifname "uplink" drop`))},
		{name: "a rule for the way out", want: dropped, seen: `oifname \"uplink\" drop`,
			inject: cut(table("inet", "forward priority 0", `oifname "uplink" drop`))},
		{name: "a set of addresses", want: dropped, seen: "saddr {",
			inject: cut(`nft 'table inet mine { set bad { type ipv4_addr; flags interval; elements = { 10.80.0.0-10.81.0.200, 192.0.2.9 }; };
				chain c { type filter hook forward priority 0; ip saddr @bad drop; }; }'`)},
		{name: "a chain that rejects what is for the next router", want: dropped, seen: "reject",
			inject: cut(`nft 'table inet mine { chain guests { ip daddr ` + outside4 + `/24 reject; };
				chain c { type filter hook forward priority 0; iifname "vb-nat" jump guests; }; }'`)},
		{name: "interfaces that begin so", want: dropped, seen: "reject",
			inject: cut("iptables -I FORWARD -i vb-n+ -o uplink -j REJECT")},
		{name: "mangle PREROUTING", want: dropped, seen: "table ip mangle", inject: cut("iptables -t mangle -A PREROUTING -i vb-nat -j DROP")},
		{name: "raw PREROUTING", want: dropped, seen: "table ip raw", inject: cut("iptables -t raw -A PREROUTING -i vb-nat -j DROP")},
		{name: "mangle POSTROUTING", want: dropped, seen: "table ip mangle",
			inject: cut("iptables -t mangle -A POSTROUTING -o uplink -s 10.81.0.0/24 -j DROP")},
		{name: "a chain of type nat", want: dropped, seen: "drop",
			inject: cut(`nft 'table ip mine { chain c { type nat hook prerouting priority -100; iifname "vb-nat" drop; }; }'`)},
		{name: "answers that come in", want: dropped, seen: "replies",
			inject: cut(table("inet", "prerouting priority -150", `iifname "uplink" ct state established drop`))},
		{name: "ingress of the bridge", want: dropped, seen: "table netdev mine",
			inject: cut(table("netdev", "ingress device vb-nat priority 0", "policy drop"))},
		{name: "ingress of the guest's port", want: dropped, seen: "table netdev mine",
			inject: cut(table("netdev", "ingress device vnet-nat priority 0", "ip saddr 10.81.0.0/24 drop"))},
		{name: "the number of an interface", want: dropped, seen: `iifname \"vb-nat\" drop`,
			inject: cut(table("inet", "forward priority 0", "iif vb-nat drop"))},
		{name: "a range of addresses", want: dropped, seen: "saddr {",
			inject: cut("iptables -I FORWARD -m iprange --src-range 10.81.0.2-10.81.0.254 -j DROP")},
		{name: "the next router's answers", want: dropped, seen: "saddr 203.0.113.0/24",
			inject: cut(table("netdev", "ingress device uplink priority 0", "ip saddr "+outside4+"/24 drop"))},
		{name: "egress of the uplink", want: dropped, seen: "table netdev mine",
			inject: cut(table("netdev", "egress device uplink priority 0", "ip protocol icmp drop; drop"))},
		{name: "a bridge's chain", want: dropped, seen: "table bridge mine", inject: cut(table("bridge", "input priority 0", "policy drop"))},
		{name: "ARP", want: []string{"input-dropped"}, seen: "table arp mine",
			inject: cut(table("arp", "input priority 0", "policy drop") + "; ip neigh flush dev vb-nat; ip -n " + guest.Name + " neigh flush dev eth0")},
		{name: "a filter of tc", want: dropped, seen: "redirect to another device", inject: cut("tc qdisc add dev vnet-nat clsact; " +
			"tc filter add dev vnet-nat ingress protocol all u32 match u32 0 0 action mirred egress redirect dev tun1")},
		{name: "packets without a mark", want: dropped, seen: "meta mark != 0x7", inject: cut(table("inet", "forward priority 0", "meta mark != 7 drop"))},
		{name: "packets without a mark, by iptables", want: dropped, seen: "meta mark != 0x7",
			inject: cut("iptables -I FORWARD -i vb-nat -m mark ! --mark 0x7 -j DROP")},
		{name: "a queue to a program that has ended", want: dropped, seen: "queue to 7, to which no program listens",
			inject: cut("iptables -I FORWARD -i vb-nat -j NFQUEUE --queue-num 7")},
		{name: "a filter of reverse paths", want: []string{"forward-dropped", "subnet-clash"}, seen: "fib saddr . iif oif missing",
			inject: cut(table("inet", "prerouting priority -140", `iifname "vb-nat" fib saddr . iif oif missing drop`) +
				"; ip route add 10.81.0.0/24 dev tun0 table 77; ip rule add lookup 77 priority 77")},
		{name: "a rule of routing", want: []string{"route-refused"}, seen: "iif vb-nat prohibit", inject: cut("ip rule add iif vb-nat prohibit priority 77")},
		{name: "a default route that refuses", want: []string{"route-refused"}, seen: "unreachable default table 254",
			inject: func(t *testing.T) {
				run(t, "sh", "-ec", "ip route del default via "+outside4+"; ip route add default via "+outside4+" metric 50; ip route add unreachable default metric 5")
			}},
		{name: "a table that refuses", want: []string{"route-refused"}, seen: "unreachable default table 77",
			inject: cut("ip route add unreachable default table 77; ip rule add from 10.81.0.0/24 lookup 77 priority 77")},
		{name: "a table that takes the subnet", want: []string{"subnet-clash"}, seen: "table 52",
			inject: cut("ip route add 10.81.0.0/24 dev tun0 table 52; ip rule add lookup 52 priority 78")},
		{name: "a strict filter, which is loosened, and a VPN's table", want: []string{"subnet-clash"}, seen: "table 51",
			inject: cut("sysctl -qw net.ipv4.conf.uplink.rp_filter=1; ip route add default dev tun0 table 51; ip rule add not iif vb-nat lookup 51 priority 78")},
	}
}

// TestDoctorProbes: whatever cuts guests off is found, and the printed command gives
// them their network back.
func TestDoctorProbes(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "iptables", "nft", "ping", "sysctl", "bash")
		healthy(t)
		run(t, "sh", "-ec", "ip link add tun0 type veth peer tun1; ip link set tun0 up; ip link set tun1 up")
		d := startVirbrd(t)
		d.up("nat", strings.Replace(handed["nat"], "  <ip family='ipv6' address='fd00:81::1' prefix='64'/>\n", "", 1))
		guest := netnstest.NewGuest(t, "nat", "vb-nat")
		guest.Address(t, netip.MustParsePrefix("10.81.0.50/24"))
		guest.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.81.0.1"))
		reached := func(what string) {
			netnstest.Wait(t, "the guest reaches the outside "+what, func() error { return pings(guest, t, outside4) })
		}
		reached("before all")
		for _, f := range probes(t, guest) {
			f.try(t)
			reached("after " + f.name)
			if t.Failed() {
				return
			}
			run(t, "sh", "-c", "for f in inet ip netdev bridge arp; do nft delete table $f mine; done 2>/dev/null; ip rule del priority 77; ip rule del priority 78; ip rule del to 10.81.0.0/24; ip route flush table 77; true")
		}
	})
}
