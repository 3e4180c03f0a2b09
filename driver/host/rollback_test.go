package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// networks are definitions that together use every op that starts a network.
var networks = map[string]string{
	"nat": `<network><name>default</name><forward mode='nat'><nat ipv6='yes'/></forward>
		<bridge name='virbr0' stp='on' delay='0'/><mtu size='1400'/><mac address='52:54:00:11:22:33'/><domain name='lab'/>
		<ip address='192.168.150.1' netmask='255.255.255.0'><dhcp><range start='192.168.150.2' end='192.168.150.254'/></dhcp></ip>
		<ip family='ipv6' address='fd00:150::1' prefix='64'><dhcp><range start='fd00:150::100' end='fd00:150::1ff'/></dhcp></ip>
		</network>`,
	"isolated": `<network><name>quiet</name><bridge name='virbr0' stp='off'/><mac address='52:54:00:11:22:34'/>
		<ip address='10.66.0.1' prefix='24'><dhcp><range start='10.66.0.2' end='10.66.0.9'/></dhcp></ip></network>`,
	"routed": `<network><name>routed</name><forward mode='route'/><bridge name='virbr0'/><mac address='52:54:00:11:22:35'/>
		<bandwidth><inbound average='1000' peak='5000' burst='1024'/></bandwidth>
		<ip address='10.67.0.1' prefix='24'/><ip family='ipv6' address='fd00:67::1' prefix='64'/>
		<route address='10.68.0.0' prefix='16' gateway='10.67.0.2' metric='3'/></network>`,
	"open": `<network><name>open</name><forward mode='open'/><bridge name='virbr0'/><mac address='52:54:00:11:22:36'/>
		<dns enable='no'/><ip address='10.69.0.1' prefix='24'/></network>`,
	"host bridge": `<network><name>lan</name><forward mode='bridge'/><bridge name='hostbr'/>
		<bandwidth><inbound average='1000'/></bandwidth></network>`,
}

// compile plans a network for the host of the test.
func compile(t *testing.T, h *host.Host, doc string) *plan.Plan {
	t.Helper()
	def, err := xml.ParseNetwork([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	facts, err := h.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Compile(def, nil, facts, plan.Dirs{Run: "/run/libvirt/network", Dnsmasq: "/var/lib/libvirt/dnsmasq"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The kinds of trouble that a step may meet.
type trouble int

const (
	none     trouble = iota
	refusal          // the op fails and does nothing
	crash            // the op is done, but nobody hears of it
	doubling         // every op is done twice, as a retry after a crash does
)

var errInjected = errors.New("injected")

// apply runs a plan with trouble at one step, and returns the undo ops of what
// was done, latest first: what the driver does, without the driver.
func apply(ctx context.Context, h *host.Host, p *plan.Plan, at int, what trouble) (undo []step.Op, err error) {
	for i, s := range p.Steps {
		if i == at && what == refusal {
			return undo, errInjected
		}
		err := h.Run(ctx, s.Do)
		if _, fresh := s.Do.(step.AddBridge); err == nil && what == doubling && !fresh {
			err = h.Run(ctx, s.Do)
		}
		if err != nil {
			return undo, fmt.Errorf("step %d, %s: %w", i, s.Do, err)
		}
		if s.Undo != nil {
			undo = append([]step.Op{s.Undo}, undo...)
		}
		if i == at && what == crash {
			return undo, errInjected
		}
	}
	return undo, nil
}

// prepare makes the host busy: a bridge of its own, forwarding on, which starts
// leave on, and a foreign ruleset.
func prepare(t *testing.T, h *host.Host) {
	t.Helper()
	run(t, h, step.AddBridge{Name: "hostbr"})
	output(t, "ip", "link", "set", "hostbr", "addrgenmode", "none") // a link-local address comes when it likes
	run(t, h, step.SetUp{Link: "hostbr"},
		step.SetSysctl{Key: "net/ipv4/ip_forward", Value: "1"}, step.SetSysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"})
	output(t, "nft", "add table inet foreign; add chain inet foreign forward { type filter hook forward priority 5; }")
}

// TestUndoLeavesNothing applies plans, with a failure at each step in turn, and
// takes them back. What the host is then must be what it was.
func TestUndoLeavesNothing(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "nft", "ip", "tc")
	for name, doc := range networks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				h := testHost(t)
				prepare(t, h)
				before := netnstest.Snapshot(t)
				p := compile(t, h, doc)
				try := func(at int, what trouble) {
					undo, err := apply(t.Context(), h, p, at, what)
					if err != nil && !errors.Is(err, errInjected) {
						t.Fatal(err)
					}
					run(t, h, undo...)
					if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
						t.Fatalf("after trouble %d at step %d (-before +after):\n%s", what, at, diff)
					}
					run(t, h, undo...) // a stop that crashed half-way is done again
					noDaemons(t)
				}
				try(-1, none)
				try(-1, doubling)
				for i := range p.Steps {
					try(i, refusal)
					try(i, crash)
				}
			})
		})
	}
}

// TestForeignBridgeSurvives: a start that finds its bridge's name taken fails at
// the first step, so there is nothing to take back.
func TestForeignBridgeSurvives(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "nft", "ip", "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		prepare(t, h)
		run(t, h, step.AddBridge{Name: "virbr0"})
		before := netnstest.Snapshot(t)
		undo, err := apply(t.Context(), h, compile(t, h, networks["nat"]), -1, none)
		if err == nil {
			t.Fatal("a bridge of somebody else was taken")
		}
		run(t, h, undo...)
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("after the start that was refused (-before +after):\n%s", diff)
		}
	})
}

// noDaemons wants no dnsmasq in the test's namespace.
func noDaemons(t *testing.T) {
	t.Helper()
	own, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		dir := "/proc/" + e.Name()
		ns, err := os.Stat(dir + "/ns/net")
		if err != nil || !os.SameFile(ns, own) {
			continue
		}
		exe, _ := os.Readlink(dir + "/exe")
		if main, err := os.ReadFile(dir + "/cmdline"); err == nil && len(main) > 0 && exe == "/usr/sbin/dnsmasq" {
			netnstest.Wait(t, "the script process of dnsmasq is gone", func() error {
				if _, err := os.Stat(dir); err == nil {
					return fmt.Errorf("process %s is there", e.Name())
				}
				return nil
			})
		}
	}
}

// TestSideBySide starts and stops networks at the same time, on one Host.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "dnsmasq", "nft", "ip", "tc")
	netnstest.Run(t, func(t *testing.T) {
		h := testHost(t)
		prepare(t, h)
		before := netnstest.Snapshot(t)
		var group sync.WaitGroup
		for n := range 8 {
			doc := fmt.Sprintf(`<network><name>n%[1]d</name><forward mode='nat'/><bridge name='virbr%[1]d'/><mac address='52:54:00:11:22:0%[1]d'/>
				<dns enable='no'/><bandwidth><inbound average='1000'/></bandwidth>
				<ip address='10.80.%[1]d.1' prefix='24'><dhcp><range start='10.80.%[1]d.2' end='10.80.%[1]d.9'/></dhcp></ip></network>`, n)
			p := compile(t, h, doc)
			group.Go(func() {
				for range 3 {
					undo, err := apply(t.Context(), h, p, -1, none)
					if err != nil {
						t.Error(err)
					}
					if _, err := h.Facts(t.Context()); err != nil {
						t.Error(err)
					}
					for _, op := range undo {
						if err := h.Run(t.Context(), op); err != nil {
							t.Errorf("%s: %v", op, err)
						}
					}
				}
			})
		}
		group.Wait()
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("what is left behind (-before +after):\n%s", diff)
		}
	})
}
