//go:build libvirt_dlopen

package stress

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/netnstest"
)

// pace is how fast one daemon starts networks.
type pace struct {
	*daemon
	place *place
	nets  []*libvirt.Network

	took  []time.Duration // of each net-start
	alone time.Duration   // of dnsmasq by itself
	work  time.Duration   // of a processor, by virbrd, for each
}

// start starts a network and notes how long it takes.
func (p *pace) start(net *libvirt.Network) {
	p.t.Helper()
	began := time.Now()
	if err := net.Create(); err != nil {
		p.t.Fatalf("starting a network: %v", err)
	}
	p.took = append(p.took, time.Since(began))
}

// begin and end are called before and after the starts.
func (p *pace) begin() { p.t.Helper(); p.work = p.use().cpu }

func (p *pace) end() {
	p.t.Helper()
	p.work = (p.use().cpu - p.work) / time.Duration(len(p.took))
	p.alone = p.place.alone()
}

// otherDir holds all that the second daemon keeps.
const otherDir = "/run/other"

// newcomer starts a daemon beside the one under test, with namespaces and files of
// its own and networks that do not run yet.
func newcomer(t *testing.T, networks int) *pace {
	t.Helper()
	if err := os.Mkdir(otherDir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &pace{place: newPlace(t)}
	args := []string{"--virbrd-config=/dev/null", "--log-level=warn", "--pid-file=" + otherDir + "/pid", "--socket-dir=" + otherDir + "/socket"}
	for _, dir := range []string{"config", "state", "dnsmasq", "hooks", "run", "lib"} {
		args = append(args, "--"+dir+"-dir="+otherDir+"/"+dir)
	}
	p.daemon = launchAt(t, uri+"&socket="+otherDir+"/socket/virtnetworkd-sock", p.place.command(bin("virbrd"), args...))
	p.nets = p.define(networks)
	return p
}

// leave stops the networks and the daemon.
func (p *pace) leave() {
	p.t.Helper()
	for _, net := range p.nets {
		if err := net.Destroy(); err != nil {
			p.t.Fatalf("stopping a network of the second daemon: %v", err)
		}
	}
	p.stop()
}

// alone returns how long dnsmasq needs to start by itself on this host, which
// no start of a network can be faster than. What it takes to enter the namespaces
// is taken off.
func (p *place) alone() time.Duration {
	p.t.Helper()
	dir := p.t.TempDir()
	for _, line := range []string{"link add alone0 type bridge", "addr add 10.99.0.1/24 dev alone0", "link set alone0 up"} {
		p.output("ip", strings.Fields(line)...)
	}
	defer p.output("ip", "link", "delete", "alone0")
	conf := "strict-order\nexcept-interface=lo\nbind-dynamic\ninterface=alone0\nleasefile-ro\n" +
		"dhcp-range=10.99.0.2,10.99.0.99,255.255.255.0\npid-file=" + dir + "/pid\n"
	if err := os.WriteFile(dir+"/conf", []byte(conf), 0o600); err != nil {
		p.t.Fatal(err)
	}
	var took, nothing []time.Duration
	for range sampled {
		began := time.Now()
		p.output("true")
		nothing = append(nothing, time.Since(began))
		began = time.Now()
		p.output("dnsmasq", "--conf-file="+dir+"/conf")
		took = append(took, time.Since(began))
		number := strings.TrimSpace(p.output("cat", dir+"/pid"))
		p.output("kill", number)
		netnstest.Wait(p.t, "dnsmasq is gone", func() error {
			stat, err := os.ReadFile("/proc/" + number + "/stat")
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				return errors.New("it is there")
			}
			return nil // or waits for init, who may take a second
		})
	}
	return median(took) - median(nothing)
}
