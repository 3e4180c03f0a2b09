package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// closedFirewall is somebody's firewall that lets nothing of guests pass.
type closedFirewall struct {
	name    string
	needs   []string
	setup   string   // a script
	blocked []string // what works no more then
	rewrite string   // the owner writes his rules again; they are the same then
	list    string   // lists the chain that accepts belong to
	want    string   // is in the list then
	by      string   // who is told to have done it
	silent  bool     // nobody is told of changes
	all     bool     // there is no documented place for rules of others
}

// Rules that a person writes who closes his host, in the words of iptables, nft
// and ufw.
var closedFirewalls = []closedFirewall{{
	name: "iptables", needs: []string{"iptables-nft", "ip6tables-nft"},
	setup: `for i in iptables-nft ip6tables-nft; do
			$i -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			$i -A INPUT -i lo -j ACCEPT
			$i -A INPUT -p tcp --dport 22 -j ACCEPT
			$i -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			$i -P INPUT DROP; $i -P FORWARD DROP; $i -P OUTPUT ACCEPT
		done`,
	blocked: []string{forward4, forward6, names, leases},
	rewrite: `for i in iptables-nft ip6tables-nft; do $i-save > /run/$i; $i-restore < /run/$i; done
		grep -v virbr: /run/iptables-nft | iptables-nft-restore; grep -v virbr: /run/ip6tables-nft | ip6tables-nft-restore`,
	list: "iptables-nft -S FORWARD", want: `-A FORWARD -o virbr0 -m comment --comment "virbr: virbr0" -j ACCEPT`, by: "iptables-nft-re",
}, {
	name: "iptables of old hosts", needs: []string{"iptables-nft", "ip6tables-nft"},
	setup: `for i in iptables-nft ip6tables-nft; do
			$i -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
			$i -A INPUT -i lo -j ACCEPT
			$i -A INPUT -m state --state NEW -p tcp --dport 22 -j ACCEPT
			$i -A INPUT -j REJECT
			$i -A FORWARD -j REJECT
		done`,
	blocked: []string{forward4, forward6, names, leases},
	rewrite: `for i in iptables-nft ip6tables-nft; do $i -D FORWARD -j REJECT; $i -I FORWARD -j REJECT; done`,
	list:    "iptables-nft -S FORWARD", want: "-A FORWARD -i virbr0 -o up0 -m comment --comment \"virbr: virbr0\" -j ACCEPT\n" +
		"-A FORWARD -o virbr0 -m comment --comment \"virbr: virbr0\" -j ACCEPT\n-A FORWARD -j REJECT", by: "iptables-nft",
}, {
	name: "iptables-legacy", needs: []string{"iptables-legacy", "ip6tables-legacy"}, silent: true,
	setup: `for i in iptables-legacy ip6tables-legacy; do
			$i -N DOCKER-USER; $i -A DOCKER-USER -i eth0 -m comment --comment "a \"quoted\" word" -j DROP
			$i -A DOCKER-USER -j RETURN; $i -A FORWARD -j DOCKER-USER
			$i -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; $i -P FORWARD DROP
			$i -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT; $i -A INPUT -p tcp -m multiport --dports 22,80:88 -j ACCEPT
			$i -A INPUT -j REJECT
		done`,
	blocked: []string{forward4, forward6, names, leases},
	rewrite: `for i in iptables-legacy ip6tables-legacy; do $i-save | grep -v virbr: | $i-restore; done`,
	list:    "iptables-legacy -S DOCKER-USER", want: "-A DOCKER-USER -i virbr0 -o up0 -m comment --comment \"virbr: virbr0\" -j ACCEPT\n" +
		"-A DOCKER-USER -o virbr0 -m comment --comment \"virbr: virbr0\" -j ACCEPT\n-A DOCKER-USER -j RETURN",
}, {
	name: "nftables.service",
	setup: `nft -f - <<X
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state vmap { invalid : drop, established : accept, related : accept }
		iif lo accept
		tcp dport { 22, 80 } accept
		icmpv6 type echo-request limit rate 5/second accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
	chain output {
		type filter hook output priority filter; policy accept;
	}
}
X
nft -s list ruleset > /run/nftables.conf`,
	blocked: []string{forward4, forward6, names, leases},
	rewrite: `(echo flush ruleset; cat /run/nftables.conf) | nft -f -`,
	list:    "nft list chain inet filter forward", want: `comment "virbr: virbr0"`, by: "nft",
}, {
	name: "nft with chains for each case", all: true,
	setup: `nft -f - <<X
table inet mine {
	set lans { type ifname; elements = { "eth1", "eth2" }; }
	chain refuse { limit rate 1/second log prefix "refused "; counter drop; }
	chain from-lan { accept; }
	chain passing { ct state established,related accept; iifname @lans jump from-lan; jump refuse; }
	chain coming { ct state established accept; meta l4proto vmap { tcp : jump tcp-in, udp : jump udp-in }; jump refuse; }
	chain tcp-in { tcp dport 22 accept; }
	chain udp-in { udp dport 123 accept; }
	chain forward { type filter hook forward priority -5; policy accept; jump passing; }
	chain input { type filter hook input priority -5; policy accept; iifname "lo" accept; goto coming; }
}
X`,
	blocked: []string{forward4, forward6, names, leases},
	rewrite: `nft flush chain inet mine passing; nft add rule inet mine passing ct state established,related accept
		nft add rule inet mine passing iifname @lans jump from-lan; nft add rule inet mine passing jump refuse`,
	list: "nft list chain inet mine passing", want: `comment "virbr: virbr0"`, by: "nft",
}, {
	name: "nft that closes output", setup: `nft -f - <<X
table inet filter {
	chain output { type filter hook output priority filter; policy drop; oif lo accept; ct state established accept; }
	chain forward { type filter hook forward priority filter; policy accept; }
}
X
nft -s list ruleset > /run/nftables.conf`,
	blocked: []string{leases},
	rewrite: `(echo flush ruleset; cat /run/nftables.conf) | nft -f -`,
	list:    "nft list chain inet filter output", want: `oifname "virbr0" udp sport 67`, by: "nft",
}, {
	name: "Docker 29 with iptables", needs: []string{"iptables-nft", "ip6tables-nft"},
	setup:   "@docker-iptables.sh",
	blocked: []string{forward4, forward6},
	rewrite: `iptables-nft -F DOCKER-USER; ip6tables-nft -F DOCKER-USER`,
	list:    "iptables-nft -S DOCKER-USER", want: `-A DOCKER-USER -i virbr0 -o up0 -m comment --comment "virbr: virbr0" -j ACCEPT`, by: "iptables-nft",
}, {
	name: "Docker 29 with nftables after iptables", needs: []string{"iptables-nft"},
	// What the other backend left: its policy and the chain for users.
	setup:   `@docker-nftables.sh`,
	blocked: []string{forward4}, rewrite: `iptables-nft -F DOCKER-USER`,
	list: "iptables-nft -S DOCKER-USER", want: `-A DOCKER-USER -o virbr0 -m comment --comment "virbr: virbr0" -j ACCEPT`, by: "iptables-nft",
}}

// script returns a script, of which @NAME is in testdata.
func script(t *testing.T, text string) string {
	t.Helper()
	name, ok := strings.CutPrefix(text, "@")
	if !ok {
		return text
	}
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Beside everybody's firewall guests have their network, the owner's rules stay
// as they are, and nothing of ours is left when the network goes.
func TestBesideFirewalls(t *testing.T) {
	t.Parallel()
	for _, tt := range closedFirewalls {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				netnstest.NeedProgram(t, tt.needs...)
				l := newBeside(t, host.Config{})
				if _, err := l.try("iptables-legacy -S"); tt.silent && err != nil {
					netnstest.Need(t, fmt.Sprintf("needs the iptables that was before nf_tables: %v; load the kernel's module ip_tables", err))
				}
				l.works("without a firewall")
				l.sh(script(t, tt.setup))
				l.passes(tt)
			})
		})
	}
}

// passes is what is wanted beside every firewall.
func (l *beside) passes(f closedFirewall) {
	l.t.Helper()
	before := l.rules()
	l.accepts.All = f.all
	l.blocked(f.blocked...)
	run(l.t, l.host, l.accepts)
	l.works("with accepts")
	with := l.sh("nft -a -s list ruleset")
	run(l.t, l.host, l.accepts)
	if diff := cmp.Diff(with, l.sh("nft -a -s list ruleset")); diff != "" {
		l.t.Errorf("the second time changed something (-first +second):\n%s", diff)
	}
	if err := l.accepted(f.list, f.want)(); err != nil {
		l.t.Errorf("%v:\n%s", err, l.sh(f.list))
	}
	l.watch()
	l.sh(f.rewrite)
	if f.silent {
		run(l.t, l.host, l.accepts)
	}
	told := l.mendUntil(l.accepted(f.list, f.want))
	l.works("after the owner wrote his rules again")
	if !f.silent && len(told) == 0 || len(told) > 0 && (!told[len(told)-1].ours || !strings.HasPrefix(told[len(told)-1].by, f.by+" (pid ")) {
		l.t.Errorf("told %+v, want ours, by %s", told, f.by)
	}
	run(l.t, l.host, step.UnacceptInForeignTables{Bridge: labBridge}, step.UnacceptInForeignTables{Bridge: labBridge})
	if diff := cmp.Diff(before, l.rules()); diff != "" {
		l.t.Errorf("rules before and after the network (-before +after):\n%s", diff)
	}
	l.blocked(f.blocked...)
}
