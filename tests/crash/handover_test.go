//go:build libvirt_dlopen

package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// shared is a network that libvirt 9.0 can run, too.
const shared = `<network><name>shared</name><uuid>c0ffee00-0000-4000-8000-000000000093</uuid><forward mode='nat'/>
<bridge name='vb-shared' stp='off'/><mac address='52:54:00:93:00:01'/>
<ip address='10.93.0.1' prefix='24'><dhcp><range start='10.93.0.2' end='10.93.0.99'/></dhcp></ip></network>`

// TestKillHandover kills virbrd at each call of the start that takes networks over
// from libvirtd, and `virbrd release` at each call by which they are given back.
// Guests lose no packet on the way.
func TestKillHandover(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "libvirtd", "dnsmasq", "ip", "nft", "tc", "ping", "busybox", "sysctl", "iptables-save", "ip6tables-save")
		newOutside(t)
		libvirtd := byLibvirtd(t, shared)
		ping := pings(t, newGuest(t, "shared", "10.93.0"), outside)
		libvirtd()
		h := &handover{t: t, rules: map[string]string{}}
		for _, program := range []string{"iptables", "ip6tables"} {
			h.rules[program] = run(t, program+"-save")
		}
		if !strings.Contains(h.rules["iptables"], "LIBVIRT_FWO") {
			t.Fatalf("libvirtd made no rules:\n%s", h.rules["iptables"])
		}
		a := &arrival{lab: &lab{t: t, op: &operation{name: "hand-over"}, traffic: []*pinging{ping}}, name: "hand-over"}
		a.d = start(t)
		a.reset = func() { a.d.stop(); h.giveBack() }
		a.reset() // tables of iptables stay, though empty
		given := rest(t)
		a.d = start(t)
		a.after = rest(t)
		a.killAll(3)
		for _, at := range points(t, h.calls(a), 3) {
			a.d.stop()
			h.restore()
			p, said := h.release(faulttest.Fault{At: at})
			calls := p.Calls()
			when := fmt.Sprintf("release, killed at call %d, %s (%s)", at, calls[len(calls)-1], said)
			if _, said := h.release(faulttest.Fault{}); said != "" {
				t.Errorf("%s: the next one: %s", when, said)
			}
			if _, err := settles(t, given); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			a.d = start(t)
			if _, err := settles(t, a.after); err != nil {
				t.Errorf("%s, then a start: %v", when, err)
			}
		}
		a.end()
	})
}

// byLibvirtd has libvirtd run a network, and returns what ends it.
func byLibvirtd(t *testing.T, doc string) (stop func()) {
	t.Helper()
	if err := libvirttest.Prepare(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("libvirtd")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	var conn *libvirt.Connect
	netnstest.Wait(t, "libvirtd answers", func() (err error) {
		conn, err = libvirt.NewConnect("network:///system?mode=legacy")
		return err
	})
	defer conn.Close() //nolint:errcheck // the daemon ends soon
	n, err := conn.NetworkDefineXML(doc)
	if err == nil {
		err = errors.Join(n.Create(), n.Free())
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = cmd.Process.Signal(syscall.SIGTERM); <-done }
}

// handover gives networks back as libvirtd would find them.
type handover struct {
	t     *testing.T
	rules map[string]string // libvirtd's, by the program that lists them
}

// restore puts libvirtd's rules in, as it does when it starts, but at once.
func (h *handover) restore() {
	h.t.Helper()
	for program, rules := range h.rules {
		cmd := exec.CommandContext(h.t.Context(), program+"-restore")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			h.t.Fatalf("%s-restore: %v\n%s", program, err, out)
		}
	}
}

// giveBack gives the networks back to libvirtd.
func (h *handover) giveBack() {
	h.t.Helper()
	h.restore()
	if _, said := h.release(faulttest.Fault{}); said != "" {
		h.t.Fatalf("virbrd release: %s", said)
	}
}

// release runs `virbrd release` and returns what it says if it fails.
func (h *handover) release(f faulttest.Fault) (p *faulttest.Program, said string) {
	h.t.Helper()
	out := &binaries.Log{}
	cmd := exec.Command(bin("virbrd"), "release")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = os.Environ()
	p = faulttest.Start(h.t, cmd, f)
	if err := cmd.Wait(); err != nil {
		said = fmt.Sprintf("%v: %s", err, out)
	}
	return p, said
}

// calls returns how many calls a release makes.
func (h *handover) calls(a *arrival) int {
	h.t.Helper()
	a.d.stop()
	h.restore()
	p, said := h.release(faulttest.Fault{})
	if said != "" {
		h.t.Fatalf("virbrd release: %s", said)
	}
	a.d = start(h.t)
	return len(p.Calls())
}
