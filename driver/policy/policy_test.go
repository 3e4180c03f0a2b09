package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/policy"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// kernel are the rules of a host on which nobody changed any.
func kernel() []policy.Rule {
	return []policy.Rule{
		{Priority: 0, Table: policy.TableLocal, Suppress: -1, Protocol: 2},
		{Priority: 32766, Table: policy.TableMain, Suppress: -1, Protocol: 2},
		{Priority: 32767, Table: 253, Suppress: -1, Protocol: 2},
	}
}

func of(list ...policy.Rule) []policy.Rule {
	for i := range list {
		list[i].Suppress = max(list[i].Suppress, 0) - 1 // as a test says it: one more
	}
	return append(kernel(), list...)
}

// text prints a policy as people read ip-rule(8) and ip-route(8).
func text(p policy.Policy) string {
	var b strings.Builder
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "%d:", r.Priority)
		if r.In != "" {
			fmt.Fprintf(&b, " iif %s", r.In)
		}
		if r.To.IsValid() {
			fmt.Fprintf(&b, " to %s", r.To)
		}
		if r.Mask != 0 {
			fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
		}
		fmt.Fprintf(&b, " lookup %d", r.Table)
		if r.Suppress >= 0 {
			fmt.Fprintf(&b, " suppress_prefixlength %d", r.Suppress)
		}
		b.WriteString("\n")
	}
	for _, r := range p.Routes {
		fmt.Fprintf(&b, "%d: ", r.Table)
		if r.Link == "" {
			fmt.Fprintf(&b, "unreachable %s\n", r.Dest)
			continue
		}
		b.WriteString(r.Dest.String())
		if r.Gateway.IsValid() {
			fmt.Fprintf(&b, " via %s", r.Gateway)
		}
		fmt.Fprintf(&b, " dev %s", r.Link)
		if r.Source.IsValid() {
			fmt.Fprintf(&b, " src %s", r.Source)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestWanted(t *testing.T) {
	t.Parallel()
	lan := policy.Network{Addresses: prefixes("192.168.122.1/24")}
	vpn := lan
	vpn.Way = &policy.Way{Link: "wg0", Guard: true}
	gone := lan
	gone.Way = &policy.Way{Guard: true}
	open := lan
	open.Way = &policy.Way{Link: "eth1", Gateway: netip.MustParseAddr("203.0.113.1")}
	eth0 := policy.Default{Link: "eth0", Gateway: netip.MustParseAddr("198.51.100.1"), Table: policy.TableMain, Metric: 100}
	eth1 := policy.Default{Link: "eth1", Gateway: netip.MustParseAddr("203.0.113.1"), Table: policy.TableMain, Metric: 200}
	links := map[string]int{"eth0": 2, "eth1": 3, "wg0": 4, "far": 1 << 20}
	one := func(n policy.Network) map[string]policy.Network { return map[string]policy.Network{"virbr0": n} }
	ours := func(r policy.Rule) policy.Rule { r.Protocol = policy.Protocol; return r }
	for _, c := range []struct {
		name string
		host policy.Host
		want string
	}{
		{"one way out and no rules: nothing", policy.Host{Rules: of(), Defaults: []policy.Default{eth0}, Networks: one(lan)}, ""},
		{"no network", policy.Host{Rules: of(), Defaults: []policy.Default{eth0, eth1}}, ""},
		{
			"two providers", policy.Host{Rules: of(), Defaults: []policy.Default{eth1, eth0}, Networks: one(lan)},
			`1991: lookup 118000
1992: fwmark 0x5a000000/0xff000000 lookup 254 suppress_prefixlength 1
1993: fwmark 0x5a000002/0xffffffff lookup 118001
1993: fwmark 0x5a000003/0xffffffff lookup 118002
118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1
118001: 0.0.0.0/0 via 198.51.100.1 dev eth0
118002: 0.0.0.0/0 via 203.0.113.1 dev eth1
`,
		},
		{
			"Tailscale", policy.Host{Rules: of(
				policy.Rule{Priority: 5210, Table: policy.TableMain, Mark: 0x80000, Mask: 0xff0000}, policy.Rule{Priority: 5230, Table: 253, Mark: 0x80000, Mask: 0xff0000},
				policy.Rule{Priority: 5250, Other: true, Mark: 0x80000, Mask: 0xff0000}, policy.Rule{Priority: 5270, Table: 52},
			), Defaults: []policy.Default{eth0}, Networks: one(lan)},
			`1991: lookup 118000
1992: fwmark 0x5a000000/0xff000000 lookup 254 suppress_prefixlength 1
1993: fwmark 0x5a000002/0xffffffff lookup 118001
118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1
118001: 0.0.0.0/0 via 198.51.100.1 dev eth0
`,
		},
		{
			"wg-quick, which comes right before us", policy.Host{Rules: of(
				policy.Rule{Priority: 1989, Table: policy.TableMain, Suppress: 1}, policy.Rule{Priority: 1990, Table: 51820, Other: true},
				ours(policy.Rule{Priority: 1991, Table: policy.TableGuests}),
			), Networks: one(lan)},
			"1971: lookup 118000\n118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1\n",
		},
		{
			"an administrator's rule stays the first", policy.Host{Rules: of(policy.Rule{Priority: 100, Table: 7}), Networks: one(lan)},
			"1991: lookup 118000\n118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1\n",
		},
		{
			"an uplink", policy.Host{Rules: of(), Defaults: []policy.Default{eth0}, Networks: one(vpn)},
			`1991: lookup 118000
1992: fwmark 0x5a000000/0xff000000 lookup 254 suppress_prefixlength 1
1993: fwmark 0x5a000002/0xffffffff lookup 118001
1994: iif virbr0 lookup 254 suppress_prefixlength 1
1995: iif virbr0 lookup 118100
118100: 0.0.0.0/0 dev wg0
118100: unreachable 0.0.0.0/0
118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1
118001: 0.0.0.0/0 via 198.51.100.1 dev eth0
`,
		},
		{
			"an uplink that is gone", policy.Host{Rules: of(), Networks: one(gone)},
			`1991: lookup 118000
1994: iif virbr0 lookup 254 suppress_prefixlength 1
1995: iif virbr0 lookup 118100
118100: unreachable 0.0.0.0/0
118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1
`,
		},
		{
			"no guard, beside the table of another network, whose own is another process's", policy.Host{
				Rules: of(ours(policy.Rule{Priority: 1995, In: "virbr9", Table: 118100})), Networks: one(open),
				Routes: []policy.Route{
					{Table: policy.TableGuests, Dest: netip.MustParsePrefix("10.9.0.0/24"), Link: "virbr9"},
					{Table: policy.TableGuests, Dest: netip.MustParsePrefix("10.8.0.0/24"), Link: "virbr0"},
					{Table: 118100, Dest: netip.MustParsePrefix("0.0.0.0/0"), Link: "tun0"},
				},
			},
			`1991: lookup 118000
1994: iif virbr0 lookup 254 suppress_prefixlength 1
1994: iif virbr9 lookup 254 suppress_prefixlength 1
1995: iif virbr0 lookup 118101
1995: iif virbr9 lookup 118100
118101: 0.0.0.0/0 via 203.0.113.1 dev eth1
118100: 0.0.0.0/0 dev tun0
118000: 10.9.0.0/24 dev virbr9
118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1
`,
		},
		{
			"the host's own addresses come late", policy.Host{
				Rules: []policy.Rule{{Priority: 32765, Table: policy.TableLocal, Suppress: -1}}, Networks: one(gone),
			},
			`1990: iif virbr0 lookup 255
1994: iif virbr0 lookup 254 suppress_prefixlength 1
1995: iif virbr0 lookup 118100
118100: unreachable 0.0.0.0/0
118000: 192.168.122.0/24 dev virbr0 src 192.168.122.1
`,
		},
		{
			"guests on a link of the provider's, in IPv6; an index too large to be marked", policy.Host{
				IPv6: true, Rules: kernel()[:2], Defaults: []policy.Default{{Link: "far"}, {Link: "eth0", Gateway: netip.MustParseAddr("fe80::1")}},
				Networks: one(policy.Network{Through: prefixes("2001:db8::/64")}),
			},
			`1991: to 2001:db8::/64 lookup 254 suppress_prefixlength 4
1992: fwmark 0x5a000000/0xff000000 lookup 254 suppress_prefixlength 4
1993: fwmark 0x5a000002/0xffffffff lookup 118001
118001: ::/0 via fe80::1 dev eth0
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.host.Links = links
			got := policy.Wanted(c.host)
			if diff := cmp.Diff(c.want, text(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// Where it is as wanted, nothing is to be done, and the same is wanted.
			c.host.Rules = append(slices.DeleteFunc(slices.Clone(c.host.Rules), func(r policy.Rule) bool { return r.Protocol == policy.Protocol }), got.Rules...)
			c.host.Routes = got.Routes
			if again := text(policy.Wanted(c.host)); again != text(got) {
				t.Errorf("then there should be\n%s", again)
			}
			if d := policy.Differ(c.host, got); !cmp.Equal(d, policy.Difference{}) {
				t.Errorf("there is still to do: %+v", d)
			}
		})
	}
}
