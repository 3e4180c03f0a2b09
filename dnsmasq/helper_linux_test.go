package dnsmasq_test

import (
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestSameAsLibvirtsHelper runs events through libvirt's own helper and through
// ours, and compares files and what is printed after each.
func TestSameAsLibvirtsHelper(t *testing.T) {
	t.Parallel()
	const helper = "/usr/lib/libvirt/libvirt_leaseshelper"
	netnstest.NeedProgram(t, helper)
	netnstest.Run(t, func(t *testing.T) {
		if err := os.MkdirAll("/var/lib/libvirt/dnsmasq", 0o755); err != nil {
			t.Fatal(err)
		}
		var ours []dnsmasq.Entry
		for _, c := range helperCalls() {
			cmd := exec.CommandContext(t.Context(), helper, c.args...)
			for key, value := range maps.All(c.env) {
				cmd.Env = append(cmd.Env, key+"="+value)
			}
			printed, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %v", c.args, err)
			}
			ev, err := c.parse()
			if err != nil {
				t.Fatal(err)
			}
			if ev.Action == dnsmasq.ActionInit {
				if diff := cmp.Diff(string(printed), dnsmasq.InitText(ours, ev.Entry.ServerDUID)); diff != "" {
					t.Errorf("init (-libvirt +virbr)\n%s", diff)
				}
				continue
			}
			ours = dnsmasq.Apply(ours, ev)
			compareFile(t, strings.Join(c.args, " "), ours)
		}
	})
}

func helperCalls() []call {
	v4 := func(expires, client string) map[string]string {
		return map[string]string{"VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_INTERFACE": "virbr0", "DNSMASQ_LEASE_EXPIRES": expires, "DNSMASQ_CLIENT_ID": client}
	}
	v6 := func(mac string) map[string]string {
		env := map[string]string{"VIR_BRIDGE_NAME": "virbr0", "DNSMASQ_INTERFACE": "virbr0", "DNSMASQ_LEASE_EXPIRES": "1700000300", "DNSMASQ_IAID": "11", "DNSMASQ_SERVER_DUID": serverDUID}
		if mac != "" {
			env["DNSMASQ_MAC"] = mac
		}
		return env
	}
	return []call{
		{[]string{"init"}, map[string]string{"VIR_BRIDGE_NAME": "virbr0"}},
		{[]string{"add", "52:54:00:0b:00:01", "10.0.0.2", "anna"}, v4("1700000000", "01:52:54:00:0b:00:01")},
		{[]string{"add", "52:54:00:0b:00:02", "10.0.0.3"}, v4("1700000100 ", "ff:1")},
		{[]string{"add", "00:03:00:01:52:54:00:0b:00:01", "fd00::2", "anna"}, v6("52:54:00:0b:00:01")},
		{[]string{"add", "00:03:00:01:52:54:00:0b:00:02", "fd00::3"}, v6("")},
		{[]string{"init"}, map[string]string{"VIR_BRIDGE_NAME": "virbr0"}},
		{[]string{"old", "52:54:00:0b:00:01", "10.0.0.2", "anna2"}, v4("1700000200", "01:52:54:00:0b:00:01")},
		{[]string{"add", "52:54:00:0b:00:04", "10.0.0.3", "dora"}, v4("0", "01:52:54:00:0b:00:04")},
		{[]string{"del", "52:54:00:0b:00:01", "10.0.0.2"}, v4("1700000200", "01:52:54:00:0b:00:01")},
		{[]string{"del", "52:54:00:0b:00:01", "10.0.0.77"}, v4("1700000200", "01:52:54:00:0b:00:01")},
		{[]string{"init"}, map[string]string{"VIR_BRIDGE_NAME": "virbr0"}},
	}
}

func compareFile(t *testing.T, what string, ours []dnsmasq.Entry) {
	t.Helper()
	data, err := os.ReadFile("/var/lib/libvirt/dnsmasq/virbr0.status")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := dnsmasq.ParseLeases("f", data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("%s (-libvirt +virbr)\n%s", what, diff)
	}
	if diff := cmp.Diff(string(data), string(dnsmasq.FormatLeases(ours))); diff != "" {
		t.Errorf("%s: file (-libvirt +virbr)\n%s", what, diff)
	}
}
