//go:build libvirt_dlopen

package crash

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// The world outside of the test's host.
const (
	outside = "203.0.113.2"
	uplink  = "203.0.113.1"
)

// newOutside makes the outside host, on a cable to the test's namespace.
func newOutside(t *testing.T) *netnstest.Guest {
	t.Helper()
	return netnstest.NewOutside(t, "outside", "uplink", netip.MustParsePrefix(uplink+"/24"), netip.MustParsePrefix(outside+"/24"))
}

// pinging is a guest that pings all along, a hundred times a second.
type pinging struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *logBuffer
}

// pings has a guest ping an address until lost is called.
func pings(t *testing.T, g *netnstest.Guest, to string) *pinging {
	t.Helper()
	p := &pinging{t: t, name: g.Name + " to " + to, out: &logBuffer{}}
	p.cmd = exec.Command("ping", "-n", "-q", "-i", "0.01", "-W", "5", to)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	netnstest.Wait(t, "the first answer to "+p.name, func() error {
		_, err := g.Output(t.Context(), "ping", "-n", "-c", "1", "-W", "1", to)
		return err
	})
	if err := g.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// end ends the pinging; no answer may be missing.
func (p *pinging) end() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	_ = p.cmd.Wait()
	var sent, got int
	for line := range strings.Lines(p.out.String()) {
		if _, err := fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &got); err == nil {
			break
		}
	}
	// The last one may be under way when ping is stopped.
	if sent == 0 || sent-got > 1 {
		p.t.Errorf("of %d pings %s %d were answered:\n%s", sent, p.name, got, p.out)
	}
	p.t.Logf("%d pings %s", sent, p.name)
}
