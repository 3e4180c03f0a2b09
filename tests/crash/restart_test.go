//go:build libvirt_dlopen

package crash

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// reached is a network with a guest that is reached from outside.
const reached = `<network><name>reached</name><uuid>c0ffee00-0000-4000-8000-000000000094</uuid>
<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
<virbr:portForward proto='tcp' guest='web'><virbr:range start='8080' to='80'/></virbr:portForward>
<virbr:portForward proto='udp' guest='web'><virbr:range start='9000'/></virbr:portForward>
</virbr:network></metadata>
<forward mode='nat'/><bridge name='vb-reached' stp='off'/><mac address='52:54:00:94:00:01'/>
<ip address='10.94.0.1' prefix='24'><dhcp><range start='10.94.0.2' end='10.94.0.49'/>
<host mac='52:54:00:94:00:50' name='web' ip='10.94.0.50'/></dhcp></ip></network>`

// traffic is what goes on while virbrd comes and goes.
type traffic struct {
	t       *testing.T
	pings   []*pinging
	streams []*stream
}

// newTraffic has a guest of a network talk to the outside host, and, where the
// network forwards, the outside host to the guest.
func newTraffic(t *testing.T, bridge, mac string, forwards bool) *traffic {
	t.Helper()
	out := newOutside(t)
	web := netnstest.NewGuest(t, "web", bridge)
	web.Run(t, "ip", "link", "set", "eth0", "address", mac)
	web.DHCP(t, "-t", "60")
	echoes(t, out, "tcp4", 7)
	f := &traffic{t: t, pings: []*pinging{pings(t, web, outside)}, streams: []*stream{newStream(t, web, "tcp4", outside+":7")}}
	if forwards {
		echoes(t, web, "tcp4", 80)
		echoes(t, web, "udp4", 9000)
		f.streams = append(f.streams, newStream(t, out, "tcp4", uplink+":8080"), newStream(t, out, "udp4", uplink+":9000"))
	}
	return f
}

// moves waits until everything has moved on.
func (f *traffic) moves() {
	f.t.Helper()
	for _, s := range f.streams {
		s.moves()
	}
}

// end ends everything. Nothing was lost, no connection broke.
func (f *traffic) end() {
	f.t.Helper()
	for _, s := range f.streams {
		s.end()
	}
	for _, p := range f.pings {
		p.end()
	}
}

// TestRestart restarts virbrd under traffic: by SIGTERM, by SIGKILL, reloads it by
// SIGHUP, and starts a newer version. No packet is lost, and dnsmasq goes on. What
// the old version made the new one removes.
func TestRestart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "dnsmasq", "ip", "nft", "tc", "ping", "busybox", "sysctl")
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
		before := rest(t)
		d := start(t)
		d.up("reached", reached)
		f := newTraffic(t, "vb-reached", "52:54:00:94:00:50", true)
		running, pid := rest(t), read(t, "/run/libvirt/network/reached.pid")
		for round := range 3 {
			for _, event := range []struct {
				name string
				do   func()
			}{
				{"SIGTERM", func() { d.stop(); d = start(t) }},
				{"SIGKILL", func() { d.kill(); d = start(t) }},
				{"SIGHUP", func() { reload(t, d) }},
				{"a newer version", func() { d.stop(); d = startOf(t, bin(filepath.Join(newer, "virbrd"))) }},
				{"the version of before", func() { d.stop(); d = start(t) }},
			} {
				event.do()
				f.moves()
				if now := read(t, "/run/libvirt/network/reached.pid"); now != pid {
					t.Errorf("round %d, after %s dnsmasq is %s, and was %s", round, event.name, now, pid)
				}
				if event.name == "a newer version" { // to which the helper's link leads then
					continue
				}
				if _, err := settles(t, running); err != nil {
					t.Errorf("round %d, after %s: %v", round, event.name, err)
				}
			}
		}
		f.end()
		d.stop()
		d = startOf(t, bin(filepath.Join(newer, "virbrd")))
		leavesNothing(t, d, before)
	})
}

// startOf starts a virbrd of another version.
func startOf(t *testing.T, path string) *daemon {
	t.Helper()
	d := launchOf(t, path, faulttest.Fault{})
	if !d.connect() {
		t.Fatalf("%s ended at once:\n%s", path, d.log)
	}
	return d
}

// reload has the daemon read its files again, and waits until it has.
func reload(t *testing.T, d *daemon) {
	t.Helper()
	said := strings.Count(d.log.String(), reloaded)
	if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	netnstest.Wait(t, "virbrd has reloaded", func() error {
		if strings.Count(d.log.String(), reloaded) == said {
			return errors.New("it does not say so")
		}
		return nil
	})
}

// reloaded is what a reload says.
const reloaded = "msg=reloading"

// leavesNothing stops and undefines the network, and wants the host as it was.
func leavesNothing(t *testing.T, d *daemon, before state) {
	t.Helper()
	for _, end := range []step{of("reached", (*libvirt.Network).Destroy), of("reached", (*libvirt.Network).Undefine)} {
		if err := end(d); err != nil {
			t.Fatal(err)
		}
	}
	d.stop()
	leaves(t, before, "reached")
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
