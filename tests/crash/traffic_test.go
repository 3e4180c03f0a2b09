//go:build libvirt_dlopen

package crash

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
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
	done chan struct{} // closed when all answers were read
	got  int
	gaps []string // between which answers some were missing
}

var answer = regexp.MustCompile(`icmp_seq=(\d+) .*time=`)

// pings has a guest ping an address until end is called.
func pings(t *testing.T, g *netnstest.Guest, to string) *pinging {
	t.Helper()
	netnstest.Wait(t, "the first answer to "+g.Name, func() error {
		_, err := g.Output(t.Context(), "ping", "-n", "-c", "1", "-W", "1", to)
		return err
	})
	p := &pinging{t: t, name: g.Name + " to " + to, done: make(chan struct{})}
	p.cmd = exec.Command("ping", "-n", "-i", "0.01", to)
	pipe, err := p.cmd.StdoutPipe()
	if err == nil {
		err = g.Start(p.cmd)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go p.read(pipe)
	return p
}

func (p *pinging) read(pipe io.Reader) {
	defer close(p.done)
	last := uint16(0)
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		m := answer.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		seq, _ := strconv.Atoi(m[1])
		if next := uint16(seq); next != last+1 {
			p.gaps = append(p.gaps, fmt.Sprintf("%d to %d", last, next))
		}
		last = uint16(seq)
		p.got++
	}
}

// end ends the pinging; no answer may be missing but of what is under way.
func (p *pinging) end() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
	_ = p.cmd.Wait()
	if p.got == 0 || len(p.gaps) > 0 {
		p.t.Errorf("pings of %s: %d were answered, with gaps between %v", p.name, p.got, p.gaps)
	}
	p.t.Logf("%d pings %s", p.got, p.name)
}
