//go:build libvirt_dlopen

package stress

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestHeal: somebody throws all rules of the host away, and all networks have
// theirs again. It prints how long that takes.
func TestHeal(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "dnsmasq", "nft")
		n := size(100, 1000)
		needInotify(t, n)
		d := launch(t, exec.Command(bin("virbrd")))
		nets := d.define(n)
		for i, net := range nets {
			if i%10 == 0 { // some have forwards
				d.forward(i)
			}
			if err := net.Create(); err != nil {
				t.Fatalf("starting network %d of %d: %v", i+1, n, err)
			}
		}
		conn, err := nftables.New(nftables.AsLasting())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.CloseLasting() }()
		whole := watchpoint(t, conn, n)
		before := listing(t)
		tick := time.NewTicker(time.Millisecond) // who asks all the time takes a processor from who mends
		defer tick.Stop()
		for _, command := range []string{"flush ruleset", "delete table inet virbr"} {
			var healed, all []time.Duration
			for range sampled {
				began := time.Now()
				if out, err := exec.CommandContext(t.Context(), "nft", command).CombinedOutput(); err != nil {
					t.Fatalf("nft %s: %v\n%s", command, err, out)
				}
				gone := time.Now()
				for deadline := gone.Add(time.Minute); !whole(); {
					if (<-tick.C).After(deadline) {
						t.Fatalf("a minute after nft %s the rules are not back\n%.4000s", command, d.log)
					}
				}
				healed, all = append(healed, time.Since(gone)), append(all, time.Since(began))
			}
			t.Logf("%d networks, nft %s: whole again after %v, with nft itself %v (medians of %d)", n, command, median(healed), median(all), sampled)
			netnstest.Wait(t, "the rules are those of before", func() error {
				if diff := cmp.Diff(before, listing(t)); diff != "" {
					return fmt.Errorf("after nft %s (-before +after):\n%.4000s", command, diff)
				}
				return nil
			})
		}
		var took []time.Duration
		for line := range strings.Lines(d.log.String()) {
			_, text, found := strings.Cut(line, "took=")
			if length, err := time.ParseDuration(strings.TrimSpace(text)); found && err == nil && strings.Contains(line, "firewall rules restored") {
				took = append(took, length)
			}
		}
		if len(took) < 2*sampled {
			t.Fatalf("the log tells of %d healings, not of %d", len(took), 2*sampled)
		}
		t.Logf("of it in virbrd: %v (median of %d)", median(took), len(took))
	})
}

// forward gives a network that is defined some forwards.
func (d *daemon) forward(n int) {
	d.t.Helper()
	const forward = "<virbr:portForward proto='tcp' guest='10.%[2]d.%[3]d.9'><virbr:range start='%[4]d' end='%[5]d'/></virbr:portForward>"
	ports := 10000 + 40*(n/10)
	metadata := fmt.Sprintf("<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>"+forward+"</virbr:network></metadata>",
		n, 100+n/250, n%250, ports, ports+31)
	net, err := d.conn.LookupNetworkByName(fmt.Sprintf("net%d", n))
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = net.Free() }()
	doc, err := net.GetXMLDesc(0)
	if err == nil {
		doc = strings.Replace(doc, "<forward", metadata+"<forward", 1)
		_, err = d.conn.NetworkDefineXML(doc)
	}
	if err != nil {
		d.t.Fatalf("giving network %d forwards: %v", n, err)
	}
}

// watchpoint returns what reports, at little cost, whether all n networks have
// their rules: they come in one batch, and, where there are some in "ip mangle",
// these come in another one after it.
func watchpoint(t *testing.T, conn *nftables.Conn, n int) func() bool {
	t.Helper()
	last := fmt.Sprintf("enter_virbr%d", n-1)
	ours := &nftables.Table{Family: nftables.TableFamilyINet, Name: "virbr"}
	rules := func(table *nftables.Table, chain string) int {
		list, err := conn.GetRules(table, &nftables.Chain{Table: table, Name: chain})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return len(list)
	}
	mangle := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "mangle"}
	want, sums := rules(ours, last), rules(mangle, "VIRBR_DHCP")
	if want == 0 || sums != 0 && sums != n {
		t.Fatalf("chain %s has %d rules, VIRBR_DHCP %d: nothing is tested here", last, want, sums)
	}
	return func() bool { return rules(ours, last) == want && rules(mangle, "VIRBR_DHCP") == sums }
}

// listing returns the ruleset without counters; its tables and what is in them
// have no order.
func listing(t *testing.T) map[string]int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nft", "-s", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, out)
	}
	lines := map[string]int{}
	for line := range strings.Lines(string(out)) {
		for _, part := range strings.Split(strings.TrimSpace(line), ",") { // elements
			part = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(part), "elements = { "), " }")
			lines[strings.TrimSpace(part)]++
		}
	}
	return lines
}
