package host_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// output runs a program and returns what it prints.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tc returns what tc prints, without the blanks that end its lines.
func tc(t testing.TB, args ...string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(output(t, "tc", args...)) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}

// byLibvirt runs the tc commands that libvirt runs on a bridge for an inbound
// limit, as far as the kernel has them, and returns what tc then shows.
func byLibvirt(t testing.TB, bridge string) string {
	t.Helper()
	for _, line := range []string{
		"qdisc add dev BR root handle 1: htb default 2",
		"class add dev BR parent 1: classid 1:1 htb rate 1000kbps ceil 5000kbps quantum 85",
		"class add dev BR parent 1:1 classid 1:2 htb rate 1000kbps ceil 5000kbps burst 5120kb quantum 85",
		"class add dev BR parent 1:1 classid 1:3 htb rate 200kbps ceil 5000kbps quantum 42",
		"filter add dev BR protocol ip prio 2 handle 800::803 u32 match u16 0x0800 0xffff at -2 match u32 0x00aabbcc 0xffffffff at -12 match u16 0x5254 0xffff at -14 flowid 1:3",
		"class change dev BR classid 1:2 htb rate 800kbps ceil 5000kbps burst 5120kb quantum 85",
	} {
		tc(t, strings.Fields(strings.ReplaceAll(line, "BR", bridge))...)
	}
	return shown(t, bridge)
}

// shown returns what tc shows of the limits of a bridge, by bare names.
func shown(t testing.TB, bridge string) string {
	t.Helper()
	text := tc(t, "-d", "class", "show", "dev", bridge) + "\n" + tc(t, "filter", "show", "dev", bridge)
	leaf := strings.NewReplacer(" leaf 2:", "", " leaf 3:", "") // only kernels with SFQ have them
	return leaf.Replace(text)
}

func TestLimitsAreLibvirts(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"}, step.AddBridge{Name: "virbr1"})
		want := byLibvirt(t, "virbr1")

		in := xml.Rate{Average: 1000, Peak: 5000, Burst: 5120}
		shape := step.ShapeNetwork{Bridge: "virbr0", Bandwidth: xml.Bandwidth{Inbound: &in}}
		port := step.ShapePort{Bridge: "virbr0", Class: 3, MAC: xml.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}, Floor: 200, Ceil: 5000, Average: 500}
		rest := step.SetDefaultRate{Bridge: "virbr0", Rate: 800, Inbound: in}
		before := tc(t, "qdisc", "show", "dev", "virbr0")
		run(t, h, shape, port, rest)
		mark := "filter parent 1: protocol all pref 1 fw chain 0\nfilter parent 1: protocol all pref 1 fw chain 0 handle 0x1 classid 1:1\n"
		if diff := cmp.Diff(want, strings.Replace(shown(t, "virbr0"), mark, "", 1)); diff != "" {
			t.Errorf("limits (-libvirt +ours):\n%s", diff)
		}
		once := shown(t, "virbr0")
		run(t, h, shape, port, rest) // as after a crash
		if diff := cmp.Diff(once, shown(t, "virbr0")); diff != "" {
			t.Errorf("limits (-first time +second time):\n%s", diff)
		}

		run(t, h, step.ShapeNetwork{Bridge: "virbr0", Bandwidth: xml.Bandwidth{Inbound: &xml.Rate{Average: 700}}})
		if text := shown(t, "virbr0"); !strings.Contains(text, "rate 5600Kbit") || strings.Contains(text, "rate 8Mbit") {
			t.Errorf("after the limit has changed:\n%s", text)
		}
		run(t, h, step.ShapeNetwork{Bridge: "virbr0"}) // in no direction any more
		if diff := cmp.Diff(before, tc(t, "qdisc", "show", "dev", "virbr0")); diff != "" {
			t.Errorf("with no limit (-want +got):\n%s", diff)
		}
		run(t, h, shape, port, rest)

		run(t, h, step.UnshapePort{Bridge: "virbr0", Class: 3})
		if text := shown(t, "virbr0"); strings.Contains(text, "1:3") {
			t.Errorf("class 3 is there after its port has gone:\n%s", text)
		}
		run(t, h, step.UnshapePort{Bridge: "virbr0", Class: 3}, step.UnshapeNetwork{Bridge: "virbr0"})
		if diff := cmp.Diff(before, tc(t, "qdisc", "show", "dev", "virbr0")); diff != "" {
			t.Errorf("after the limits were lifted (-want +got):\n%s", diff)
		}
		// A network that libvirt limited is lifted too.
		run(t, h, step.UnshapeNetwork{Bridge: "virbr1"}, step.UnshapeNetwork{Bridge: "virbr1"}, step.UnshapeNetwork{Bridge: "gone"},
			step.UnshapePort{Bridge: "gone", Class: 3})
		if text := tc(t, "qdisc", "show", "dev", "virbr1"); strings.Contains(text, "htb") {
			t.Errorf("after libvirt's limits were lifted:\n%s", text)
		}
	})
}

func TestLargeAndSmallRates(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		for name, in := range map[string]xml.Rate{
			"virbr0": {Average: 1},
			"virbr1": {Average: 4294967295, Peak: 1 << 62, Burst: 1 << 62},
			"virbr2": {Average: 1 << 29},
			"virbr3": {Average: 1<<64 - 1, Burst: 1<<64 - 1},
		} {
			run(t, h, step.AddBridge{Name: name}, step.ShapeNetwork{Bridge: name, Bandwidth: xml.Bandwidth{Inbound: &in}},
				step.SetDefaultRate{Bridge: name, Rate: 0, Inbound: in})
		}
	})
}

// A queue that somebody else gave the bridge is neither used nor removed.
func TestForeignQueuesAreLeftAlone(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"})
		tc(t, "qdisc", "add", "dev", "virbr0", "root", "handle", "7:", "htb", "default", "9")
		tc(t, "qdisc", "add", "dev", "virbr0", "clsact")
		tc(t, "filter", "add", "dev", "virbr0", "egress", "prio", "3", "u32", "match", "u32", "0", "0", "flowid", "1:")
		before := netnstest.Snapshot(t)
		shape := step.ShapeNetwork{Bridge: "virbr0", Bandwidth: xml.Bandwidth{Inbound: &xml.Rate{Average: 100}}}
		if err := h.Run(t.Context(), shape); err == nil {
			t.Error("limits were put beside a queue of somebody else")
		}
		run(t, h, step.UnshapeNetwork{Bridge: "virbr0"}, step.UnfillChecksums{Bridge: "virbr0"})
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("after our limits were refused (-want +got):\n%s", diff)
		}
	})
}

// Where the kernel has a policer guests are limited; where it has none the error
// says so, and nothing is left behind.
func TestOutboundLimit(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"})
		before := netnstest.Snapshot(t)
		shape := step.ShapeNetwork{Bridge: "virbr0", Bandwidth: xml.Bandwidth{
			Inbound: &xml.Rate{Average: 100}, Outbound: &xml.Rate{Average: 1000, Peak: 2000, Burst: 512},
		}}
		err := h.Run(t.Context(), shape)
		switch {
		case errors.Is(err, host.ErrNoPolice):
			want := `kernel has no act_police (CONFIG_NET_ACT_POLICE): outbound bandwidth of "virbr0" cannot be enforced`
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error is %q, want %q in it", err, want)
			}
		case err != nil:
			t.Fatal(err)
		default:
			text := tc(t, "filter", "show", "dev", "virbr0", "ingress")
			if !strings.Contains(text, "rate 8Mbit burst 512Kb mtu 64Kb action drop") {
				t.Errorf("the policer is\n%s", text)
			}
			run(t, h, shape, step.FillChecksums{Bridge: "virbr0"}, step.UnfillChecksums{Bridge: "virbr0"})
			if again := tc(t, "filter", "show", "dev", "virbr0", "ingress"); strings.Count(again, "rate 8Mbit") != 1 {
				t.Errorf("after a second time:\n%s", again)
			}
			run(t, h, step.UnshapeNetwork{Bridge: "virbr0"})
		}
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("what is left behind (-want +got):\n%s", diff)
		}
	})
}

// libvirt's own outbound limit sits on an ingress qdisc.
func TestLibvirtsIngressIsLifted(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		run(t, h, step.AddBridge{Name: "virbr0"})
		before := netnstest.Snapshot(t)
		tc(t, "qdisc", "add", "dev", "virbr0", "ingress")
		tc(t, "filter", "add", "dev", "virbr0", "parent", "ffff:", "protocol", "all", "u32", "match", "u32", "0", "0", "flowid", ":1")
		run(t, h, step.UnshapeNetwork{Bridge: "virbr0"})
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("what is left behind (-want +got):\n%s", diff)
		}
	})
}
