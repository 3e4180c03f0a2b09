package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// serving returns the process of a network's dnsmasq; an error where none runs.
func serving(network string) (pid int, err error) {
	data, err := os.ReadFile("/run/libvirt/network/" + network + ".pid")
	if err != nil {
		return 0, err
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
		return 0, err
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !strings.Contains(string(args), "/"+network+".conf") {
		err = fmt.Errorf("process %d is %q", pid, args)
	}
	return pid, err
}

// killServer kills a network's dnsmasq and returns its number.
func killServer(t *testing.T, network string) int {
	t.Helper()
	pid, err := serving(network)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("killing the dnsmasq of %s: %v", network, err)
	}
	return pid
}

// servesAgain waits until a network has another dnsmasq than one that was killed.
func servesAgain(t *testing.T, network string, killed int) {
	t.Helper()
	netnstest.Wait(t, "network "+network+" has another dnsmasq", func() error {
		pid, err := serving(network)
		if err == nil && pid == killed {
			err = fmt.Errorf("it is still process %d", pid)
		}
		return err
	})
}

// says waits until the log has a line with all of some texts.
func (d *daemon) says(what string, texts ...string) {
	d.t.Helper()
	netnstest.Wait(d.t, "the log says "+what, func() error {
	lines:
		for line := range strings.Lines(d.log.String()) {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue lines
				}
			}
			return nil
		}
		return fmt.Errorf("no line with all of %q", texts)
	})
}

// TestDnsmasqIsWatched: a dnsmasq that ends by itself comes back with its leases,
// later each time that it ends soon; who has its port meanwhile is named. One that
// is not wanted any more does not come back.
func TestDnsmasqIsWatched(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		d.up("other", forwardNetwork("other", "br-other", "93"))
		anna := netnstest.NewGuest(t, "anna", "virbr0")
		four := anna.DHCP(t, "-x", "hostname:anna")["ip"]
		six := anna.DHCP6(t)["new_ip6_address"]
		servesAgain(t, "default", killServer(t, "default"))
		d.says("that it serves", "dnsmasq serves again", "network=default")
		killed := killServer(t, "default")
		d.says("that the second death in a row is waited for", "dnsmasq died", "network=default", "deaths=2", "in=1s")
		servesAgain(t, "default", killed)
		killed = killServer(t, "default")
		d.says("that the third one is waited for longer", "dnsmasq died", "network=default", "deaths=3", "in=2s")
		l, err := net.Listen("tcp", "192.168.122.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		d.says("who has the port", "dnsmasq does not start", "network=default", fmt.Sprintf("(pid %d)", os.Getpid()), "53")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		servesAgain(t, "default", killed)
		listed(t, d, hardwareAddress(t, anna), "ipv4", four+"/24", "anna")
		listed(t, d, hardwareAddress(t, anna), "ipv6", six+"/64", "-")
		if got := digs(t, anna, "192.168.122.1", "anna"); got != four {
			t.Errorf("the guest's name leads to %q, want %s", got, four)
		}
		if again := anna.DHCP(t, "-x", "hostname:anna")["ip"]; again != four {
			t.Errorf("the guest gets %s, had %s", again, four)
		}

		d.virsh("net-destroy", "default")
		died := strings.Count(d.log.String(), "dnsmasq died")
		servesAgain(t, "other", killServer(t, "other")) // whatever came before is dealt with
		if pid, err := serving("default"); err == nil {
			t.Errorf("the network that was stopped has a dnsmasq, process %d", pid)
		}
		if now := strings.Count(d.log.String(), "dnsmasq died"); now != died+1 {
			t.Errorf("%d deaths were seen of one", now-died)
		}
	})
}
