package host_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// rulesOf lists the rules and routes of ours, as ip prints them.
func rulesOf(t *testing.T, family string) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(ip(t, family, "rule") + ip(t, family, "route", "show", "table", "all", "proto", "118")) {
		if strings.Contains(line, "118") {
			list = append(list, strings.TrimSuffix(strings.Join(strings.Fields(line), " "), " linkdown"))
		}
	}
	return list
}

// TestRouteNetwork: two processes, as virbrd's hook and its agent, each route for a
// network of theirs; what one does leaves the other's alone, and with the last network
// all is gone. Without uplinks, and with one way out, there is nothing at all.
func TestRouteNetwork(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "ip")
	netnstest.Run(t, func(t *testing.T) {
		one, two := testHost(t), testHost(t)
		uplink(t, one)
		run(t, two, step.AddBridge{Name: "virbr1"}, step.AddAddress{Link: "virbr1", Address: netip.MustParsePrefix("10.8.0.1/24")}, step.SetUp{Link: "virbr1"})
		ip(t, "route", "add", "default", "via", "192.0.2.2")
		plain := step.RouteNetwork{Bridge: "virbr0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.7.0.1/24"), netip.MustParsePrefix("fd00:7::1/64")}}
		run(t, one, plain, plain)
		if list := rulesOf(t, "-4"); list != nil {
			t.Errorf("nobody needs %q", list)
		}
		led := step.RouteNetwork{
			Bridge: "virbr1", Addresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.1/24")},
			IPv4: &step.Way{Link: "up0", Gateway: netip.MustParseAddr("192.0.2.2"), Guard: true}, IPv6: &step.Way{Guard: true},
		}
		run(t, two, led, led)
		run(t, one, plain)
		want := []string{
			"1991: from all lookup 118000 proto 118",
			"1992: from all fwmark 0x5a000000/0xff000000 lookup main suppress_prefixlength 1 proto 118",
			"1994: from all iif virbr1 lookup main suppress_prefixlength 1 proto 118",
			"1995: from all iif virbr1 lookup 118100 proto 118",
			"default via 192.0.2.2 dev up0 table 118100 metric 1 onlink",
			"unreachable default table 118100 metric 4294967295",
			"10.7.0.0/24 dev virbr0 table 118000 scope link src 10.7.0.1 metric 1",
			"10.8.0.0/24 dev virbr1 table 118000 scope link src 10.8.0.1 metric 1",
			"default via 192.0.2.2 dev up0 table 118001 metric 1 onlink",
		}
		got := map[string]bool{}
		for _, line := range rulesOf(t, "-4") {
			got[line] = true
		}
		for _, line := range want {
			if !got[line] {
				t.Errorf("there is no %q, but %s", line, cmp.Diff(want, rulesOf(t, "-4")))
			}
		}
		if text := strings.Join(rulesOf(t, "-6"), "\n"); !strings.Contains(text, "unreachable default dev lo table 118100 metric") && !strings.Contains(text, "unreachable default table 118100") {
			t.Errorf("IPv6 of virbr1 is not refused:\n%s", text)
		}
		run(t, one, step.UnrouteNetwork{Bridge: "virbr0"}, step.UnrouteNetwork{Bridge: "virbr0"})
		if text := strings.Join(rulesOf(t, "-4"), "\n"); strings.Contains(text, "virbr0") || !strings.Contains(text, "dev virbr1") || !strings.Contains(text, "1995:") {
			t.Errorf("without virbr0 there is\n%s", text)
		}
		run(t, two, step.UnrouteNetwork{Bridge: "virbr1"})
		for _, family := range []string{"-4", "-6"} {
			if list := rulesOf(t, family); list != nil {
				t.Errorf("what stays: %q", list)
			}
		}
		refused(t, one, step.RouteNetwork{Bridge: "a/b"}, syscall.EINVAL)
	})
}
