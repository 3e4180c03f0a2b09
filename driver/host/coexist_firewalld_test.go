package host_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/netnstest"
)

// withFirewalld gives the test the real firewalld, with files as they are
// installed, on a bus of its own.
func withFirewalld(t *testing.T, before ...string) (l *beside, stop func()) {
	t.Helper()
	netnstest.NeedProgram(t, "firewalld", "firewall-cmd")
	netnstest.PrivateFirewalld(t)
	address := startBus(t)
	l = newBeside(t, host.Config{SystemBus: address})
	l.env = []string{"DBUS_SYSTEM_BUS_ADDRESS=" + address}
	l.works("without a firewall")
	for _, script := range before {
		l.sh(script)
	}
	return l, l.startFirewalld()
}

// startFirewalld returns when firewalld has its rules; stop ends it.
func (l *beside) startFirewalld() (stop func()) {
	l.t.Helper()
	cmd := exec.Command("firewalld", "--nofork", "--nopid", "--log-file=/dev/null")
	cmd.Env = append(os.Environ(), l.env...)
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait()
		}
	}
	l.t.Cleanup(stop)
	netnstest.Wait(l.t, "firewalld runs", func() error {
		_, err := l.try("firewall-cmd --state")
		return err
	})
	return stop
}

// guestZone is what a start of the lab's network asks of firewalld.
func guestZone() step.SetZone { return step.SetZone{Link: labBridge, Network: "lab", Own: true} }

// Without libvirt's zones firewalld gets one of ours, once, which guests need as
// much as ours do: after a reload and a restart, too.
func TestBesideFirewalld(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l, _ := withFirewalld(t)
		all := []string{forward4, forward6, names, leases}
		l.blocked(all...)
		run(t, l.host, guestZone(), guestAccepts())
		l.works("in a zone of ours")
		if zone := strings.TrimSpace(l.sh("firewall-cmd --get-zone-of-interface=virbr0")); zone != "virbr" {
			t.Errorf("the bridge is in zone %q", zone)
		}
		// Other ports of the host are closed to guests.
		if err := asks(l.guest, "192.168.122.1", silencePatience); err == nil {
			t.Error("guests reach any port of the host")
		}
		l.sh("firewall-cmd --reload")
		run(t, l.host, guestZone(), guestAccepts())
		l.works("after a reload")
		run(t, l.host, step.UnacceptInForeignTables{Bridge: labBridge}, step.UnsetZone{Link: labBridge})
		before := l.rules()
		l.blocked(all...)
		run(t, l.host, guestZone(), guestAccepts())
		l.works("the second time")
		run(t, l.host, step.UnacceptInForeignTables{Bridge: labBridge}, step.UnsetZone{Link: labBridge})
		if diff := cmp.Diff(sortedLines(before), sortedLines(l.rules())); diff != "" {
			t.Errorf("rules before and after a network (-before +after):\n%s", diff)
		}
	})
}

// libvirtZone is the outline of what libvirt installs.
const libvirtZone = `mkdir -p /etc/firewalld/zones
cat > /etc/firewalld/zones/libvirt.xml <<X
<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>libvirt</short>
  <rule priority='32767'><reject/></rule>
  <protocol value='icmp'/><protocol value='ipv6-icmp'/>
  <service name='dhcp'/><service name='dhcpv6'/><service name='dns'/><service name='ssh'/><service name='tftp'/>
</zone>
X`

// Where libvirt's zones are, they are taken.
func TestBesideFirewalldWithLibvirt(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l, _ := withFirewalld(t, libvirtZone)
		run(t, l.host, guestZone(), guestAccepts())
		if zone := strings.TrimSpace(l.sh("firewall-cmd --get-zone-of-interface=virbr0")); zone != "libvirt" {
			t.Errorf("the bridge is in zone %q", zone)
		}
		if zones := l.sh("firewall-cmd --get-zones"); strings.Contains(zones, "virbr") {
			t.Errorf("the zones are %s", zones)
		}
		for _, what := range []string{names, leases} {
			if err := l.check(what, answerPatience); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, to := range []string{"192.0.2.2", "fd00:2::2"} {
			if err := asks(l.guest, to, answerPatience); err != nil {
				t.Errorf("to %s: %v", to, err)
			}
		}
	})
}

// A firewalld that was restarted knows the zone, and no more who is in it.
func TestBesideRestartedFirewalld(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l, stop := withFirewalld(t)
		run(t, l.host, guestZone(), guestAccepts())
		l.works("in a zone of ours")
		stop()
		l.works("without firewalld")
		l.startFirewalld()
		l.blocked(forward4, leases)
		run(t, l.host, guestZone(), guestAccepts())
		l.works("in the zone again")
	})
}

// sortedLines has the chains of firewalld, which it makes in any order, in one
// order.
func sortedLines(rules string) map[string]int {
	lines := map[string]int{}
	for line := range strings.Lines(rules) {
		lines[strings.TrimSpace(line)]++
	}
	return lines
}
