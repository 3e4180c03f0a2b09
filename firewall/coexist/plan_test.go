package coexist_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/firewall/coexist"
)

// table makes a table from lines: "CHAIN [HOOK drop|accept]" and, indented, its
// rules, which have their number in the table as their handle.
func table(family, name string, lines ...string) coexist.Table {
	t := coexist.Table{Family: family, Name: name}
	for i, line := range lines {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, " ") {
			c := coexist.Chain{Name: words[0]}
			if len(words) > 1 {
				c.Hook, c.Drop = coexist.Hook(words[1]), words[2] == "drop"
			}
			t.Chains = append(t.Chains, c)
			continue
		}
		c := &t.Chains[len(t.Chains)-1]
		c.Rules = append(c.Rules, rule(uint64(i), words))
	}
	return t
}

func rule(handle uint64, words []string) coexist.Rule {
	r := coexist.Rule{Handle: handle}
	kinds := map[string]coexist.VerdictKind{
		"accept": coexist.Accept, "drop": coexist.Drop, "reject": coexist.Reject, "jump": coexist.Jump, "goto": coexist.Goto, "return": coexist.Return,
	}
	for i := 0; i < len(words); i++ {
		arg := func() string { i++; return words[i] }
		match := func(f coexist.Field, v coexist.Value) {
			r.Match = append(r.Match, coexist.Match{Field: f, Values: []coexist.Value{v}})
		}
		number := func(f coexist.Field) {
			var n uint64
			_, _ = fmt.Sscan(arg(), &n)
			match(f, coexist.Value{Low: n, High: n})
		}
		switch words[i] {
		case "in":
			match(coexist.InName, coexist.Value{Name: arg()})
		case "out":
			match(coexist.OutName, coexist.Value{Name: arg()})
		case "not-out":
			r.Match = append(r.Match, coexist.Match{Field: coexist.OutName, Not: true, Values: []coexist.Value{{Name: arg()}}})
		case "dport":
			number(coexist.DestPort)
		case "proto":
			number(coexist.L4Proto)
		case "established":
			match(coexist.State, coexist.Value{Low: coexist.StateEstablished})
		case "what?":
			r.Match = append(r.Match, coexist.Match{Text: "what?"})
		case "mark":
			r.Comment = coexist.Mark(arg())
		case "log":
		default:
			r.Verdict.Kind = kinds[words[i]]
			if r.Verdict.Kind == coexist.Jump || r.Verdict.Kind == coexist.Goto {
				r.Verdict.Chain = arg()
			}
		}
	}
	return r
}

// printed is a change in short: what is deleted, and each insertion with its
// place.
func printed(changes []coexist.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s %s:", c.Family, c.Table)
		for _, d := range c.Delete {
			fmt.Fprintf(&b, " -%s/%d", d.Chain, d.Handle)
		}
		for _, in := range c.Insert {
			what := strings.TrimSpace(strings.Join([]string{in.Accept.In, in.Accept.Out}, "<"))
			if in.Accept.Reply {
				what += " reply"
			}
			if in.Accept.Translated {
				what += " dnat"
			}
			if in.Accept.Proto != "" {
				what += fmt.Sprintf("/%s:%d", in.Accept.Proto, int(in.Accept.Port)+int(in.Accept.FromPort)+int(in.Accept.Type))
			}
			fmt.Fprintf(&b, " +%s/%d(%s)", in.Chain, in.Before, what)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	t.Parallel()
	forward := coexist.Wish{Bridge: "virbr0", Forward: true, Exits: []string{"up0"}, Enter: coexist.EnterAny}
	names := coexist.Wish{Bridge: "virbr0", Serve: []coexist.Service{{Proto: "udp", Port: 53}}}
	tests := []struct {
		name  string
		wish  coexist.Wish
		table coexist.Table
		want  string
		left  int // obstacles that stay
	}{
		{"open", forward, table("ip", "filter", "FORWARD forward accept"), "", 0},
		{"closed", forward, table("ip", "filter", "FORWARD forward drop", "  established accept"), "ip filter: +FORWARD/0(virbr0<virbr0) +FORWARD/0(virbr0<up0) +FORWARD/0(<virbr0)\n", 0},
		{"both families at once", forward, table("inet", "filter", "f forward drop"), "inet filter: +f/0(virbr0<virbr0) +f/0(virbr0<up0) +f/0(<virbr0)\n", 0},
		{"before what drops all", forward, table("ip", "filter", "FORWARD forward accept", "  in eth0 accept", "  log", "  reject"),
			"ip filter: +FORWARD/3(virbr0<virbr0) +FORWARD/3(virbr0<up0) +FORWARD/3(<virbr0)\n", 0},
		{"one way is open", forward, table("ip", "filter", "FORWARD forward drop", "  in virbr0 accept"), "ip filter: +FORWARD/0(<virbr0)\n", 0},
		{"on purpose, by name", forward, table("ip", "filter", "FORWARD forward accept", "  in virbr0 drop"), "", 2},
		{"on purpose, some kind", names, table("ip", "filter", "INPUT input accept", "  proto 17 drop"), "", 1},
		{"by name before Docker", forward, table("ip", "filter", "FORWARD forward drop", "  jump DOCKER-USER", "DOCKER-USER", "  in virbr0 drop"),
			"ip filter: +DOCKER-USER/0(<virbr0)\n", 2},
		{"Docker's own place", forward, table("ip", "filter", "FORWARD forward drop", "  jump DOCKER-USER", "  jump DOCKER-FORWARD",
			"DOCKER-USER", "  in eth0 drop", "  return", "DOCKER-FORWARD", "  in docker0 accept"),
			"ip filter: +DOCKER-USER/5(virbr0<virbr0) +DOCKER-USER/5(virbr0<up0) +DOCKER-USER/5(<virbr0)\n", 0},
		{"the last documented place", forward, table("ip", "filter", "FORWARD forward drop", "  jump DOCKER-USER", "  jump ufw-after-forward",
			"DOCKER-USER", "ufw-after-forward", "  what? drop"),
			"ip filter: +ufw-after-forward/5(virbr0<virbr0) +ufw-after-forward/5(virbr0<up0) +ufw-after-forward/5(<virbr0)\n", 0},
		{"ufw sends noise to its policy", names, table("ip", "filter", "INPUT input drop", "  jump ufw-after-input", "ufw-after-input", "  dport 53 jump ufw-skip-to-policy-input", "ufw-skip-to-policy-input", "  drop"),
			"ip filter: +ufw-after-input/3(virbr0</udp:53)\n", 0},
		{"not among those who only refuse", forward, table("inet", "filter", "f forward accept", "  jump work", "work", "  in eth0 accept", "  jump log-refuse",
			"log-refuse", "  log", "  jump refuse", "refuse", "  drop"),
			"inet filter: +work/4(virbr0<virbr0) +work/4(virbr0<up0) +work/4(<virbr0)\n", 0},
		{"not where other hooks come", forward, table("inet", "filter", "f forward accept", "  jump all", "i input accept", "  jump all", "all", "  in lo accept", "  drop"),
			"inet filter: +f/1(virbr0<virbr0) +f/1(virbr0<up0) +f/1(<virbr0) +i/3(virbr0</icmpv6:133) +i/3(virbr0</icmpv6:135) +i/3(virbr0</icmpv6:136)\n", 0},
		{"what is not understood is passed over", forward, table("inet", "filter", "f forward drop", "  what? accept", "  what? drop"), "inet filter: +f/0(virbr0<virbr0) +f/0(virbr0<up0) +f/0(<virbr0)\n", 0},
		{"the owner alone", forward, table("inet", "firewalld", "f forward accept", "  reject"), "", 6},
		{"there already", forward, table("ip", "filter", "FORWARD forward drop", "  in virbr0 out virbr0 accept mark virbr0",
			"  in virbr0 out up0 accept mark virbr0", "  out virbr0 accept mark virbr0"), "", 0},
		{"one is missing", forward, table("ip", "filter", "FORWARD forward drop", "  in virbr0 accept mark virbr0"),
			"ip filter: -FORWARD/1 +FORWARD/0(virbr0<virbr0) +FORWARD/0(virbr0<up0) +FORWARD/0(<virbr0)\n", 0},
		{"not before denials", forward, table("ip", "filter", "FORWARD forward drop", "  in virbr0 accept mark virbr0", "  out virbr0 accept mark virbr0", "  in virbr0 dport 25 drop"),
			"ip filter: -FORWARD/1 -FORWARD/2 +FORWARD/0(virbr0<virbr0) +FORWARD/0(virbr0<up0) +FORWARD/0(<virbr0)\n", 0},
		{"needed no more", forward, table("ip", "filter", "FORWARD forward accept", "  in virbr0 accept mark virbr0"), "ip filter: -FORWARD/1\n", 0},
		{"of another bridge", forward, table("ip", "filter", "FORWARD forward drop", "  in virbr1 accept mark virbr1"), "ip filter: +FORWARD/0(virbr0<virbr0) +FORWARD/0(virbr0<up0) +FORWARD/0(<virbr0)\n", 0},
		{"libvirt's accepts do not last", names, table("ip", "filter", "INPUT input drop", "  jump LIBVIRT_INP", "LIBVIRT_INP", "  in virbr0 dport 53 accept"),
			"ip filter: +INPUT/0(virbr0</udp:53)\n", 0},
		{"a loop ends", forward, table("ip", "filter", "FORWARD forward drop", "  jump a", "a", "  jump b", "b", "  jump a"), "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &coexist.Survey{Tables: []coexist.Table{tt.table}}
			changes, left := s.Plan(tt.wish)
			if diff := cmp.Diff(tt.want, printed(changes)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if len(left) != tt.left {
				t.Errorf("obstacles that stay: %+v, want %d", left, tt.left)
			}
		})
	}
}

func TestRemoval(t *testing.T) {
	t.Parallel()
	s := &coexist.Survey{Tables: []coexist.Table{
		table("ip", "filter", "FORWARD forward drop", "  in virbr0 accept mark virbr0", "  in virbr1 accept mark virbr1", "INPUT input drop", "  in virbr0 accept mark virbr0"),
		table("inet", "mine", "f forward drop"),
	}}
	if diff := cmp.Diff("ip filter: -FORWARD/1 -INPUT/4\n", printed(s.Removal("virbr0"))); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// Chains that are no place for rules of others, or were shut on purpose, stay as they
// are unless a network asks for all.
func TestShut(t *testing.T) {
	t.Parallel()
	guests := coexist.Wish{Bridge: "virbr0", Forward: true, Exits: []string{"up0", "wg0"}, Enter: coexist.EnterReplies}
	opened := func(chain string, before int) string {
		return fmt.Sprintf("+%[1]s/%[2]d(virbr0<virbr0) +%[1]s/%[2]d(virbr0<up0) +%[1]s/%[2]d(virbr0<wg0) +%[1]s/%[2]d(<virbr0 reply)", chain, before)
	}
	tests := []struct {
		name   string
		tables []coexist.Table
		want   string
		all    string // with all
	}{
		{"somebody's own table", []coexist.Table{table("inet", "mine", "f forward drop")}, "", "inet mine: " + opened("f", 0) + "\n"},
		{"mangle", []coexist.Table{table("ip", "mangle", "FORWARD forward accept", "  drop")}, "", "ip mangle: " + opened("FORWARD", 1) + "\n"},
		{"Mullvad", []coexist.Table{table("inet", "mullvad", "f forward drop", "  out wg0 accept", "  in wg0 established accept", "  reject")}, "",
			"inet mullvad: +f/3(virbr0<virbr0) +f/3(virbr0<up0) +f/3(<virbr0 reply)\n"},
		{"a tunnel by hand", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  out wg0 accept", "  in wg0 established accept")},
			"", "ip filter: +FORWARD/0(virbr0<virbr0) +FORWARD/0(virbr0<up0) +FORWARD/0(<virbr0 reply)\n"},
		{"a tunnel that is no exit of ours", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  out tun9 accept")},
			"", "ip filter: " + opened("FORWARD", 0) + "\n"},
		{"a tunnel for one family, nothing for the other", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  out tun9 accept"), table("ip6", "filter", "FORWARD forward drop")},
			"",
			"ip filter: " + opened("FORWARD", 0) + "\nip6 filter: " + opened("FORWARD", 0) + "\n"},
		{"a tunnel for what the host sends", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "OUTPUT output drop", "  out lo accept", "  out tun9 accept")},
			"", "ip filter: " + opened("FORWARD", 0) + "\n"},
		{"not this link, after DOCKER-USER", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  jump DOCKER-USER", "  not-out wg0 reject", "DOCKER-USER")},
			"ip filter: +DOCKER-USER/0(virbr0<wg0)\n", "ip filter: +DOCKER-USER/0(virbr0<wg0)\n"},
		{"a denial after DOCKER-USER is not skipped", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  jump DOCKER-USER", "  dport 25 reject", "DOCKER-USER")},
			"ip filter: " + opened("FORWARD", 0) + "\n", "ip filter: " + opened("FORWARD", 0) + "\n"},
		{"a kill switch of ufw", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  jump ufw-user-forward", "  jump ufw-after-forward",
			"ufw-user-forward", "  out tun9 accept", "ufw-after-forward")},
			"", "ip filter: " + opened("ufw-after-forward", 0) + "\n"},
		{"IVPN", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  jump IVPN-FORWARD", "IVPN-FORWARD", "  jump IVPN-FORWARD-VPN", "  drop", "IVPN-FORWARD-VPN", "  out wgivpn accept")},
			"", "ip filter: " + opened("IVPN-FORWARD", 4) + "\n"},
		{"only the policy is IVPN's", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  jump IVPN-FORWARD", "IVPN-FORWARD", "  established accept")},
			"", "ip filter: +FORWARD/0(virbr0<virbr0) +FORWARD/0(virbr0<up0) +FORWARD/0(virbr0<wg0)\n"},
		{"networks of containers are no exits", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  out lxdbr0 accept", "  in lxdbr0 accept")},
			"ip filter: " + opened("FORWARD", 0) + "\n", "ip filter: " + opened("FORWARD", 0) + "\n"},
		{"a way between two networks is no exit", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  in lan0 out up0 accept", "  in up0 out lan0 established accept")},
			"ip filter: " + opened("FORWARD", 0) + "\n", "ip filter: " + opened("FORWARD", 0) + "\n"},
		{"Tailscale's chain is no kill switch", []coexist.Table{table("ip", "filter", "FORWARD forward drop", "  jump ts-forward", "ts-forward", "  what? accept", "  out tailscale0 accept")},
			"ip filter: " + opened("FORWARD", 0) + "\n", "ip filter: " + opened("FORWARD", 0) + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &coexist.Survey{Tables: tt.tables}
			for _, all := range []bool{false, true} {
				wish, want := guests, tt.want
				if wish.All = all; all {
					want = tt.all
				}
				changes, left := s.Plan(wish)
				if diff := cmp.Diff(want, printed(changes)); diff != "" {
					t.Errorf("changes with all %v (-want +got):\n%s", all, diff)
				}
				if want == "" && len(left) == 0 {
					t.Error("nothing is said of what stays in the way")
				}
			}
		})
	}
}

// What is in the way is told in words that a person can use.
func TestTrace(t *testing.T) {
	t.Parallel()
	out := coexist.Packet{Hook: coexist.Forward, In: "virbr0", Out: "up0"}
	name := coexist.Packet{Hook: coexist.Input, IPv6: true, In: "virbr0", Proto: "udp", Port: 53}
	tests := []struct {
		name      string
		table     coexist.Table
		packet    coexist.Packet
		why, mend string
	}{
		{"Docker", table("ip", "filter", "FORWARD forward drop", "  jump DOCKER-USER", "DOCKER-USER"), out,
			"Docker: chain FORWARD of table ip filter drops everything from virbr0 to up0 (IPv4): its policy is drop", "iptables -I DOCKER-USER -i virbr0 -o up0 -j ACCEPT"},
		{"replies", table("ip", "filter", "FORWARD forward drop"), coexist.Packet{Hook: coexist.Forward, Out: "virbr0", Reply: true},
			"iptables: chain FORWARD of table ip filter drops replies to virbr0 (IPv4): its policy is drop",
			"iptables -I FORWARD -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"},
		{"ufw", table("ip6", "filter", "INPUT input drop", "  jump ufw6-after-input", "ufw6-after-input"), name,
			"ufw: chain INPUT of table ip6 filter drops udp to port 53 from virbr0 (IPv6): its policy is drop", "ufw allow in on virbr0 to any port 53 proto udp"},
		{"somebody, on purpose", table("ip", "filter", "FORWARD forward accept", "  in virbr0 drop"), out,
			"iptables: chain FORWARD of table ip filter drops everything from virbr0 to up0 (IPv4): rule `iifname \"virbr0\" drop` (handle 1)",
			"nft delete rule ip filter FORWARD handle 1"},
		{"nftables.service", table("inet", "filter", "forward forward drop"), out,
			"nftables: chain forward of table inet filter drops everything from virbr0 to up0 (IPv4): its policy is drop",
			`nft insert rule inet filter forward iifname '"virbr0"' oifname '"up0"' accept`},
		{"a VPN's switch", table("inet", "mullvad", "forward forward drop", "  out wg0-mullvad accept", "  reject"), out,
			"Mullvad VPN: chain forward of table inet mullvad drops everything from virbr0 to up0 (IPv4): rule `reject` (handle 2)", "mullvad lan set allow"},
		{"a VPN's chain", table("ip", "filter", "FORWARD forward drop", "  jump IVPN-FORWARD", "IVPN-FORWARD", "  out wgivpn accept", "  drop"), out,
			"IVPN: chain IVPN-FORWARD of table ip filter drops everything from virbr0 to up0 (IPv4): rule `drop` (handle 4)", "ivpn firewall -lan_allow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &coexist.Survey{Tables: []coexist.Table{tt.table}}
			list, _ := s.Trace(tt.packet)
			if len(list) == 0 || list[0].Why != tt.why || list[0].Mend != tt.mend {
				t.Errorf("got %+v\nwant %s\nby   %s", list, tt.why, tt.mend)
			}
		})
	}
}
