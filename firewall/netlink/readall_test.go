package netlink_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
)

// everywhere are rules of hooks that only doctor looks at.
const everywhere = `table inet n {
	set bad { type ipv4_addr; flags interval; elements = { 10.0.0.4-10.0.0.9, 192.0.2.0/24 }; }
	set one { type ipv6_addr; elements = { 2001:db8::1 }; }
	chain back {
		type filter hook prerouting priority -140; policy drop;
		fib saddr . iif oif missing drop
		fib saddr . mark . iif oif exists accept
		fib saddr oif exists accept
	}
	chain out {
		type filter hook postrouting priority 0;
		ip saddr @bad drop
		ip6 daddr @one drop
		iif lo drop
	}
	chain translate { type nat hook postrouting priority 100; oifname "up0" masquerade; }
}
table netdev d { chain c { type filter hook ingress device lo priority 0; policy drop; ip saddr 192.0.2.0/24 accept; ip6 daddr 2001:db8::/32 accept; }; }
table bridge b { chain c { type filter hook input priority -5; ether type ip ip protocol udp drop; }; }
`

const readEverywhere = `inet n back hook prerouting priority -140 drop true
  fib saddr . iif oif missing drop
  fib saddr . iif oif exists accept
  fib saddr oif exists accept
inet n out hook postrouting priority 0 drop false
  meta nfproto 2 saddr { 10.0.0.4/30, 10.0.0.8/31, 192.0.2.0/24 } drop
  meta nfproto 10 daddr 2001:db8::1 drop
  iifname "lo" drop
inet n translate hook postrouting priority 100 drop false
  oifname "up0" masquerade
bridge b c hook input priority -5 drop false
  meta nfproto 2 meta l4proto udp drop
netdev d c hook ingress priority 0 drop true
  meta nfproto 2 saddr 192.0.2.0/24 accept
  meta nfproto 10 daddr 2001:db8::/32 accept
`

// TestReadAll: chains of all hooks and families are read, filters of reverse paths, sets
// of addresses and interfaces by their number included.
func TestReadAll(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "nft")
		load(t, everywhere)
		conn, err := netlink.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		s, err := netlink.ReadAll(conn, map[int]string{1: "lo"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i := range s.Tables {
			for _, c := range sortedChains(s.Tables[i].Chains) {
				b.WriteString(s.Tables[i].String() + " " + c.Name + describe(c))
				for _, r := range c.Rules {
					b.WriteString("  " + r.String() + "\n")
				}
			}
		}
		if diff := cmp.Diff(readEverywhere, b.String()); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
	})
}
