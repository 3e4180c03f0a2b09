package netlink_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/firewall/netlink"
	"github.com/virbr/virbr/tests/netnstest"
)

// theirs are rules as people and programs have them. Comments say how they are
// understood where that is not as they are written.
const theirs = `table inet mine {
	set ports { type inet_service; flags interval; elements = { 22, 8000-8099 }; }
	set lans { type ifname; elements = { "eth1" }; }
	set banned { type ipv4_addr; elements = { 192.0.2.66 }; }
	set empty { type ifname; }
	map ways { type ifname : verdict; elements = { "eth1" : jump lan, "eth2" : drop }; }
	chain lan { accept; }
	chain input {
		type filter hook input priority 10; policy drop;
		iifname "lo" accept
		iifname "virbr*" udp dport 53 accept
		iifname != "eth0" tcp dport != 22 drop
		ct state established,related accept
		ct state new tcp dport @ports accept
		ct state vmap { invalid : drop, established : accept }
		iifname { "eth1", "eth2" } accept
		iifname @empty accept
		ip saddr 192.168.0.0/16 drop
		ip6 saddr fd00::/8 tcp sport 1024-65535 accept
		ip saddr @banned drop
		icmpv6 type { nd-router-solicit, nd-neighbor-solicit } accept
		meta l4proto { tcp, udp } th dport 7 reject
		fib daddr type { local, broadcast } accept
		meta mark 7 accept
		limit rate 5/second accept comment "not too much"
		iifname vmap @ways
		iifname . tcp dport { "eth1" . 22 } accept
		counter log prefix "refused "
		goto lan
	}
	chain prerouting { type nat hook prerouting priority dstnat; }
}
table ip6 quiet {
	chain prerouting { type filter hook prerouting priority 0; policy drop; }
}
`

const understood = `inet mine input hook input priority 10 drop true
  iifname "lo" accept
  iifname "virbr*" meta l4proto udp th dport 53 accept
  iifname != "eth0" meta l4proto tcp th dport != 22 drop
  ct state established,related accept
  ct state new meta l4proto tcp th dport { 22, 8000-8099 } accept
  ct state vmap { ... }
  iifname { "eth1", "eth2" } accept
  iifname != "*" accept
  meta nfproto 2 saddr 192.168.0.0/16 drop
  meta nfproto 10 saddr fd00::/8 meta l4proto tcp th sport 1024-65535 th sport 0-65535 accept
  meta nfproto 2 saddr { ... } drop
  meta nfproto 10 meta l4proto icmpv6 icmp type { 133, 135 } accept
  meta l4proto { tcp, udp } th dport 7 reject
  fib daddr type { local, broadcast } accept
  meta mark 0x7 accept
  [limit] accept comment "not too much"
  iifname vmap { ... }
  meta l4proto tcp iifname { ... } accept
  
  goto lan
inet mine lan hook  priority 0 drop false
  accept
inet mine prerouting hook  priority -100 drop false
`

// The rules of iptables, as iptables-nft has them in the kernel.
const theirIptables = `iptables-nft -P FORWARD DROP
iptables-nft -A FORWARD -i virbr+ ! -o eth0 -j ACCEPT
iptables-nft -A FORWARD -s 10.0.0.0/8 -d 10.1.2.3 -m conntrack --ctstate NEW,UNTRACKED -j DROP
iptables-nft -A FORWARD -m state --state ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -p tcp -m multiport --dports 22,80:88 -j REJECT
iptables-nft -A FORWARD -m addrtype --dst-type LOCAL -m comment --comment "some words" -j RETURN
iptables-nft -A FORWARD -m pkttype --pkt-type broadcast -j LOG
iptables-nft -A FORWARD -p icmp -m icmp --icmp-type 8 -j NFQUEUE --queue-num 1
`

const understoodIptables = `ip filter FORWARD hook forward priority 0 drop true
  iifname "virbr*" oifname != "eth0" accept
  saddr 10.0.0.0/8 daddr 10.1.2.3 ct state new,untracked drop
  ct state established accept
  meta l4proto tcp th dport { 22, 80-88 } reject
  fib daddr type local return comment "some words"
  [pkttype]
  meta l4proto icmp icmp type 8 queue to 1
`

func TestSurvey(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "nft", "iptables-nft")
		load(t, theirs)
		if diff := cmp.Diff(understood, surveyed(t)); diff != "" {
			t.Errorf("rules of nft (-want +got):\n%s", diff)
		}
		load(t, "flush ruleset\n")
		for line := range strings.Lines(theirIptables) {
			if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", line).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", line, err, out)
			}
		}
		if diff := cmp.Diff(understoodIptables, surveyed(t)); diff != "" {
			t.Errorf("rules of iptables (-want +got):\n%s", diff)
		}
	})
}

func load(t *testing.T, rules string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
}

// surveyed prints a survey; chains in the order of their names.
func surveyed(t *testing.T) string {
	t.Helper()
	conn, err := netlink.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	view, err := netlink.ReadSurvey(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := netlink.ReadSurvey(conn, view)
	if err != nil || again != view {
		t.Errorf("a survey that still holds was not taken: %v", err)
	}
	var b strings.Builder
	for i := range view.Survey.Tables {
		table := &view.Survey.Tables[i]
		for _, c := range sortedChains(table.Chains) {
			b.WriteString(table.String() + " " + c.Name + describe(c))
			for _, r := range c.Rules {
				b.WriteString("  " + r.String() + "\n")
			}
		}
	}
	return b.String()
}

func sortedChains(chains []coexist.Chain) []coexist.Chain {
	return slices.SortedFunc(slices.Values(chains), func(a, b coexist.Chain) int { return strings.Compare(a.Name, b.Name) })
}

func describe(c coexist.Chain) string {
	return fmt.Sprintf(" hook %s priority %d drop %v\n", c.Hook, c.Priority, c.Drop)
}
