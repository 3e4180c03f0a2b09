package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/doctor/collect"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/topology"
)

// nft puts rules of somebody else in.
func nft(t *testing.T, rules string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s\n%s", err, out, rules)
	}
}

// looker follows packets in this process, for it follows many.
type looker struct {
	h     *host.Host
	facts *topology.Facts
}

func newLooker(t *testing.T) *looker {
	t.Helper()
	h, err := host.New(host.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	facts, err := collect.Collect(t.Context(), h, state.System())
	if err != nil {
		t.Fatal(err)
	}
	return &looker{h, &topology.Facts{Host: facts}}
}

// verdict is what a trace says, in the words of the packet table.
func (l *looker) verdict(from, to place, version int, port uint16) (string, *topology.Trace) {
	tr := l.facts.Trace(topology.Probe{From: from.addr[version], To: to.addr[version], Proto: "udp", Port: port}, l.h.Way)
	switch {
	case tr.Outcome != topology.Arrives:
		return string(tr.Outcome), tr
	case tr.Seen == nil:
		return "yes", tr
	case *tr.Seen == to.host[version]:
		return "NAT", tr
	}
	return "from " + tr.Seen.String(), tr
}

// randomRules are chains of somebody else who drops and rejects at random.
func randomRules(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	link := func() string {
		if r.IntN(4) == 0 {
			return "uplink"
		}
		return fmt.Sprintf("virbr%d", 1+r.IntN(8))
	}
	rule := func(verdicts ...string) string {
		var words []string
		for _, m := range []string{
			"iifname " + link(), "oifname " + link(), "iifname { " + link() + ", " + link() + " }", "iifname != " + link(),
			fmt.Sprintf("ip saddr 10.%d.0.0/24", 1+r.IntN(8)), fmt.Sprintf("ip daddr 10.%d.0.10", 1+r.IntN(8)),
			fmt.Sprintf("ip6 daddr 2001:db8:%d::/64", 1+r.IntN(8)), fmt.Sprintf("udp dport < %d", 1000+r.IntN(60000)), "ct state new", "ct state established",
			"meta l4proto udp", "udp dport { 1-20000, 40000-50000 }", "meta nfproto ipv6",
		} {
			six := strings.HasPrefix(m, "ip6 ") || strings.HasSuffix(m, "ipv6")
			other := six && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "ip ") })
			if r.IntN(7) == 0 && !other && !(strings.Contains(m, "oifname") && verdicts[0] == "early") {
				words = append(words, m)
			}
		}
		return strings.Join(append(words, pick(verdicts[1:]...)), " ") + "\n"
	}
	var side, forward, early, late strings.Builder
	for range 4 {
		side.WriteString(rule("", "drop", "reject with icmpx port-unreachable", "return", "accept"))
		forward.WriteString(rule("", "reject with icmpx port-unreachable", "jump side", "accept", "counter", "goto side"))
	}
	early.WriteString(rule("early", "drop", "accept", "counter"))
	late.WriteString(rule("", "drop", "accept", "counter"))
	return fmt.Sprintf("table inet mine {}\ndelete table inet mine\ntable inet mine {\nchain side {\n%s}\nchain forward { type filter hook forward priority %d;\n%s}\n"+
		"chain early { type filter hook prerouting priority -150;\n%s}\nchain late { type filter hook postrouting priority 110;\n%s}\n}\n",
		side.String(), r.IntN(20)-10, forward.String(), early.String(), late.String())
}

// TestTraces: what a trace says is what becomes of real packets: of those of the
// packet table, and of random ones past random rules of somebody else.
func TestTraces(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		places := matrixPlaces(t)
		l := newLooker(t)
		for _, version := range []int{4, 6} {
			for _, from := range places {
				for _, to := range places {
					if from.name == to.name {
						continue
					}
					got, tr := l.verdict(from, to, version, 4000)
					a, b := kindOf(t, l, from), kindOf(t, l, to)
					want := topology.Between(a, b).May(a, b, version == 6)
					if want == topology.Rejected {
						want = topology.Verdict(topology.Stops)
					}
					if got != string(want) {
						t.Errorf("IPv%d, %s to %s: the trace says %s, and the packet table %s\n%+v", version, from.name, to.name, got, want, tr)
					}
				}
			}
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		rounds := 6
		if os.Getenv("VIRBR_STRESS") == "full" {
			rounds = 32 // more than a thousand: some pairs are of a place and itself
		}
		traced := 0
		for range rounds {
			traced += randomTraces(t, places, r)
		}
		t.Logf("%d random traces", traced)
	})
}

// kindOf is a place as the map has it.
func kindOf(t *testing.T, l *looker, p place) topology.Place {
	t.Helper()
	for i := range l.facts.Host.Networks {
		if n := &l.facts.Host.Networks[i]; n.Name == p.name {
			made, err := topology.Inside(n.Def)
			if err != nil {
				t.Fatal(err)
			}
			return made
		}
	}
	return topology.Outside("uplink")
}

// randomTraces holds up to 40 traces against real packets past the same random rules, and
// returns how many.
func randomTraces(t *testing.T, places []place, r *rand.Rand) (traced int) {
	t.Helper()
	rules := randomRules(r)
	nft(t, rules)
	l := newLooker(t)
	var wait sync.WaitGroup
	for i := range 40 {
		from, to, version := places[r.IntN(len(places))], places[r.IntN(len(places))], []int{4, 6}[r.IntN(2)]
		if from.name == to.name {
			continue
		}
		traced++
		port := uint16(1024 + 1500*i + r.IntN(1500))
		said, tr := l.verdict(from, to, version, port)
		wait.Go(func() {
			// Who is not told of a refusal waits for the answer; all of them together.
			seen, err := datagramAt(t.Context(), to.guest, from.guest, netip.AddrPortFrom(to.addr[version], port))
			got := outcome(from, to, version, seen, err)
			if got == "reject" || got == errSilent.Error() {
				got = string(topology.Stops)
			}
			if said != got {
				t.Errorf("IPv%d, %s to %s port %d: the trace says %s, and the packet %s\n%+v\n%s", version, from.name, to.name, port, said, got, tr, rules)
			}
		})
	}
	wait.Wait()
	return traced
}

// TestTrace: a trace knows what is forwarded, names who stops a packet, and the command
// that it prints has it pass.
func TestTrace(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		seen(t)
		nft(t, `table inet mine { chain forward { type filter hook forward priority 0; iifname "virbr1" tcp dport 443 drop; }; }`)
		netnstest.Wait(t, "the forward is in force", func() error {
			if tr := traceOf(t, outside4, uplink4+":8080"); tr.Outcome != topology.Arrives || tr.Dest.Port() != 80 {
				return fmt.Errorf("%+v", tr)
			}
			return nil
		})
		if tr := traceOf(t, "web1", outside4); tr.Outcome != topology.Arrives || tr.Seen == nil {
			t.Errorf("from a guest: %+v", tr)
		}
		if tr := traceOf(t, "web1", "192.168.122.1:53/udp"); tr.Outcome != topology.Arrives || tr.Hops[len(tr.Hops)-1].Step != "host" {
			t.Errorf("to the host: %+v", tr)
		}
		if tr := traceOf(t, outside4, "web1:80"); tr.Outcome != topology.Stops || !strings.HasPrefix(tr.Mend, "virbr forward add default 80/tcp 192.168.122.") {
			t.Errorf("from outside to a guest's own address: %+v", tr)
		}
		tr := traceOf(t, "lab/db", outside4+":443")
		if tr.Outcome != topology.Stops || !strings.Contains(tr.Why, "table inet mine") {
			t.Fatalf("past somebody's rule: %+v", tr)
		}
		mend(t, doctor.Finding{ID: "trace", Mend: tr.Mend})
		if tr := traceOf(t, "db", outside4+":443"); tr.Outcome != topology.Arrives {
			t.Errorf("after %q: %+v", tr.Mend, tr)
		}
		for args, want := range map[string]string{
			"trace nobody 192.0.2.1": "is neither an address nor a guest", "trace web1 192.0.2.1:0": "is no port",
			"trace web1 192.0.2.1:80/ip": "is no protocol", "trace web1 2001:db8::1": "no addresses of one family",
		} {
			if _, err := tool(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("virbr %s: %v, want %q", args, err, want)
			}
		}
	})
}

// TestTraceGuard: a trace names the port and the domain that a guest sends by, and what
// the guard makes of the address, as real packets find.
func TestTraceGuard(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		d.up("g", strings.NewReplacer("GUARD", "<virbr:guard/>", "STP", "off").Replace(guardNetwork))
		me, other := tapped(t, d, "g", "br-g", "me", ""), tapped(t, d, "g", "br-g", "other", "")
		mine, theirs := leased(t, me), leased(t, other)
		waitGuarded(t, "addresses4", mine.String())
		waitGuarded(t, "addresses4", theirs.String())
		tr := traceOf(t, mine.String(), theirs.String())
		text := fmt.Sprint(tr.Hops)
		for _, want := range []string{"{port it comes by port vnet-me of me}", "{guard the guard of port vnet-me lets it pass: " + mine.String() + " is an address of me}"} {
			if !strings.Contains(text, want) {
				t.Errorf("want %s in %s", want, text)
			}
		}
		if err := pings(me, t, theirs.String()); err != nil || tr.Outcome != topology.Arrives {
			t.Errorf("an own address: %v, %+v", err, tr)
		}
		forged := "10.77.0.77"
		me.Run(t, "ip", "addr", "add", forged+"/24", "dev", "eth0")
		setGuard(t, "<virbr:guard><virbr:allow guest='other' address='"+forged+"'/></virbr:guard>")
		waitGuarded(t, "addresses4", forged)
		tr = traceOf(t, forged, theirs.String())
		if text := fmt.Sprint(tr.Hops); !strings.Contains(text, "port vnet-other of other") {
			t.Errorf("an address of another guest: %s", text)
		}
		if pings(me, t, theirs.String(), forged) == nil {
			t.Error("the address of another guest passes")
		}
	})
}

// traceOf reads what virbr trace prints; its status tells the outcome.
func traceOf(t *testing.T, from, to string) *topology.Trace {
	t.Helper()
	out, err := tool(t, "trace", from, to, "--json")
	tr := &topology.Trace{}
	if bad := json.Unmarshal([]byte(out), tr); bad != nil {
		t.Fatalf("%v, %v", err, bad)
	}
	if (err == nil) != (tr.Outcome == topology.Arrives) {
		t.Errorf("it ended with %v and says %s", err, tr.Outcome)
	}
	return tr
}
