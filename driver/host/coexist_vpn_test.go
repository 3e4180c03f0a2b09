package host_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall/coexist"
	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// killSwitch is a rule set as a VPN program writes it, or a person with a tunnel: what
// is forwarded must not leave past the tunnel.
type killSwitch struct {
	name, owner string
	needs       []string
	setup       string
	firm        bool // by a rule about such packets: not even a network that wants all opens it
}

// The rules are those of the programs' own sources (talpid-core's firewall/linux.rs,
// nordvpn-linux's nft goldens, IVPN's firewall.sh), in their order, without what is
// about other packets than forwarded ones where that is long.
var killSwitches = []killSwitch{{
	name: "Mullvad, connected", owner: "Mullvad VPN", setup: `nft -f - <<X
table inet mullvad {
	chain input { type filter hook input priority filter; policy drop; iif lo accept; iifname "wg0" accept; }
	chain output { type filter hook output priority filter; policy drop; oif lo accept; udp dport 53 reject; oifname "wg0" accept; reject; }
	chain forward {
		type filter hook forward priority filter; policy drop
		udp sport 68 ip daddr 255.255.255.255 udp dport 67 accept
		udp dport 53 reject
		tcp dport 53 reject with tcp reset
		oifname "wg0" accept
		iifname "wg0" ct state established accept
		reject
	}
}
X`}, {
	name: "NordVPN", owner: "NordVPN", setup: `nft -f - <<X
table inet nordvpn {
	set lan_ranges { type ipv4_addr; flags constant,interval; elements = { 10.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16 }; }
	chain input { type filter hook input priority filter; policy drop; iifname "lo" accept; ct mark 0xe1f1 accept; iifname "wg0" accept; }
	chain output {
		type route hook output priority mangle; policy drop
		oifname "lo" accept
		meta mark 0xe1f1 ct mark set meta mark accept
		oifname "wg0" accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		oifname "wg0" accept comment "traffic to VPN"
		iifname "wg0" ct state established,related accept
		ip daddr @lan_ranges tcp dport 53 drop
	}
}
X`}, {
	name: "IVPN", owner: "IVPN", needs: []string{"iptables-nft", "ip6tables-nft"}, setup: `for i in iptables-nft ip6tables-nft; do
	for c in IVPN-IN IVPN-OUT IVPN-FORWARD IVPN-FORWARD-VPN; do $i -N $c; done
	$i -A IVPN-OUT -o lo -j ACCEPT; $i -A IVPN-IN -i lo -j ACCEPT
	$i -I OUTPUT -j IVPN-OUT; $i -I INPUT -j IVPN-IN; $i -I FORWARD -j IVPN-FORWARD
	$i -A IVPN-FORWARD -j IVPN-FORWARD-VPN; $i -A IVPN-FORWARD-VPN -o wg0 -j ACCEPT
	$i -P INPUT DROP; $i -P OUTPUT DROP; $i -P FORWARD DROP
	$i -A IVPN-OUT -j DROP; $i -A IVPN-IN -j DROP; $i -A IVPN-FORWARD -j DROP
done`}, {
	name: "a tunnel for what the host sends", owner: "iptables", needs: []string{"iptables-nft", "ip6tables-nft"}, setup: `for i in iptables-nft ip6tables-nft; do
	$i -P FORWARD DROP; $i -P OUTPUT DROP; $i -A OUTPUT -o lo -j ACCEPT
	$i -A OUTPUT -o wg0 -m state --state NEW,RELATED,ESTABLISHED -j ACCEPT
done`}, {
	name: "PostUp", firm: true, owner: "iptables", needs: []string{"iptables-nft", "ip6tables-nft"}, setup: `for i in iptables-nft ip6tables-nft; do
	$i -I FORWARD ! -o wg0 -m mark ! --mark 51820 -j MARK --set-mark 0; $i -A FORWARD ! -o wg0 -j REJECT
done`}, {
	name: "PostUp beside Docker", firm: true, owner: "Docker", needs: []string{"iptables-nft", "ip6tables-nft"}, setup: `for i in iptables-nft ip6tables-nft; do
	$i -N DOCKER-USER; $i -A FORWARD -j DOCKER-USER; $i -P FORWARD DROP; $i -A FORWARD ! -o wg0 -j REJECT
done`}, {
	name: "nftables.service with one exit", owner: "nftables", setup: `nft -f - <<X
table inet filter {
	chain forward { type filter hook forward priority filter; policy drop; oifname "wg0" accept; iifname "wg0" ct state established,related accept; }
}
X`}, {
	name: "mangle", owner: "iptables", needs: []string{"iptables-nft", "ip6tables-nft"},
	setup: `for i in iptables-nft ip6tables-nft; do $i -t mangle -A FORWARD -j DROP; done`,
}, {
	name: "security", owner: "iptables", needs: []string{"iptables-nft", "ip6tables-nft"},
	setup: `for i in iptables-nft ip6tables-nft; do $i -t security -P FORWARD DROP; done`,
}}

// A kill switch stays shut, which is said in one line for each of its tables; a network
// that asks for all has it open, unless the owner's rule is about such packets.
func TestKillSwitches(t *testing.T) {
	t.Parallel()
	for _, tt := range killSwitches {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				netnstest.NeedProgram(t, tt.needs...)
				said := &binaries.Log{}
				l := newBeside(t, host.Config{Log: slog.New(slog.NewTextHandler(said, nil))})
				l.sh("ip link add wg0 type veth peer name wg1; ip addr add 10.64.0.2/32 dev wg0; ip link set wg0 up; ip link set wg1 up")
				l.leaves(true)
				l.sh(tt.setup)
				before := l.rules()
				l.accepts.Enter = coexist.EnterReplies
				for range 2 {
					run(t, l.host, l.accepts)
				}
				l.leaves(false)
				for line := range strings.Lines(l.rules()) {
					if strings.Contains(line, "virbr: ") && strings.Contains(line, "up0") {
						t.Errorf("in what is shut: %s", line)
					}
				}
				saidOnce(t, said.String(), tt.owner)
				l.accepts.All = true
				run(t, l.host, l.accepts)
				l.leaves(!tt.firm)
				run(t, l.host, step.UnacceptInForeignTables{Bridge: labBridge})
				if diff := cmp.Diff(before, l.rules()); diff != "" {
					t.Errorf("rules before and after the network (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// leaves wants guests to get outside, or not.
func (l *beside) leaves(want bool) {
	l.t.Helper()
	for _, to := range []string{"192.0.2.2", "fd00:2::2"} {
		patience := silencePatience
		if want {
			patience = answerPatience
		}
		if err := asks(l.guest, to, patience); (err == nil) != want {
			l.t.Errorf("asking %s: %v, want an answer: %v\n%s", to, err, want, l.rules())
		}
	}
}

// saidOnce wants one line for each table that is left shut, all of one owner.
func saidOnce(t *testing.T, log, owner string) {
	t.Helper()
	lines := map[string]int{}
	for line := range strings.Lines(log) {
		_, table, ok := strings.Cut(line, " table=")
		if !ok {
			continue
		}
		lines[table]++
		if !strings.Contains(line, "owner="+owner) && !strings.Contains(line, `owner="`+owner+`"`) {
			t.Errorf("said %q, want owner %s", line, owner)
		}
	}
	if len(lines) == 0 {
		t.Errorf("nothing was said of what is left as it is:\n%s", log)
	}
	for line, n := range lines {
		if n > 1 {
			t.Errorf("said %d times: %s", n, line)
		}
	}
}

// What Docker's containers have for themselves stays theirs: guests reach published
// ports, and others only from where Docker lets them.
func TestContainersStayShut(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "iptables-nft", "ip6tables-nft")
		l := newBeside(t, host.Config{})
		l.sh("ip link add docker0 type bridge; ip link set docker0 up; ip addr add 172.17.0.1/16 dev docker0")
		container := netnstest.NewGuest(t, "container", "docker0")
		container.Address(t, netip.MustParsePrefix("172.17.0.2/16"))
		container.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("172.17.0.1"))
		answerUDP(t, container)
		for _, rules := range []string{
			script(t, "@docker-iptables.sh"),
			// Docker before version 28 relies on the policy alone.
			`iptables-nft -F; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			iptables-nft -A FORWARD -o docker0 -j DOCKER; iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT; iptables-nft -A FORWARD -i docker0 -o docker0 -j ACCEPT`,
		} {
			l.sh(rules)
			l.accepts.Enter = coexist.EnterForwarded
			run(t, l.host, l.accepts)
			if err := asks(l.guest, "192.0.2.2", answerPatience); err != nil {
				t.Errorf("a guest does not get outside: %v\n%s", err, l.rules())
			}
			if asks(l.guest, "172.17.0.2", silencePatience) == nil {
				t.Errorf("a guest reaches what a container has not published:\n%s", l.rules())
			}
			if asks(l.outside, "192.168.122.2", silencePatience) == nil {
				t.Errorf("somebody outside reaches a guest by an accept of ours:\n%s", l.rules())
			}
			l.sh(fmt.Sprintf("iptables-nft -I DOCKER -d 172.17.0.2/32 -o docker0 -p udp --dport %d -j ACCEPT", labPort))
			if err := asks(l.guest, "172.17.0.2", answerPatience); err != nil {
				t.Errorf("a guest does not reach a published port: %v", err)
			}
		}
	})
}

// Guests leave by links that come later, too.
func TestExitComesLater(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "iptables-nft")
		l := newBeside(t, host.Config{})
		l.sh(script(t, "@docker-iptables.sh"))
		run(t, l.host, l.accepts)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- l.host.Watch(ctx, func(c step.Change) {
				if c.Kind == step.ChangeRules {
					l.news <- news{c.By, c.Ours}
				}
			})
		}()
		t.Cleanup(func() { cancel(); <-ended })
		netnstest.Wait(t, "the host listens", listening)
		late := netnstest.NewOutside(t, "late", "tun7", netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.2/24"))
		late.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("198.51.100.1"))
		answerUDP(t, late)
		l.mendUntil(l.accepted("iptables-nft -S DOCKER-USER", "-i virbr0 -o tun7 "))
		if err := asks(l.guest, "198.51.100.2", answerPatience); err != nil {
			t.Error(err)
		}
		l.sh("ip link del tun7")
		l.mendUntil(func() error {
			if strings.Contains(l.sh("iptables-nft -S DOCKER-USER"), "tun7") {
				return errors.New("the link is gone and may still be left by")
			}
			return nil
		})
	})
}
