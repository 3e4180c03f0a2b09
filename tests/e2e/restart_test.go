package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

const natXML = `<network>
  <name>default</name><forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
</network>`

// same wants two snapshots of the host to be equal.
func same(t *testing.T, before, after map[string]string, what string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the host is not as it was (-before +after) when %s:\n%s", what, diff)
	}
}

// TestLeavesNothing: after start, stop and undefine the host is as it was, but
// for the forwarding sysctl, which is never reset.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		before := netnstest.Snapshot(t)
		d := startVirbrd(t)
		d.up("default", strings.Replace(natXML, "</network>", "<ip family='ipv6' address='fd00:1::1' prefix='64'/></network>", 1))
		d.virsh("net-destroy", "default")
		same(t, before, netnstest.Snapshot(t), "the network was stopped")
		d.virsh("net-undefine", "default")
		for _, dir := range []string{"/etc/libvirt/qemu/networks", "/var/lib/libvirt/dnsmasq", "/run/virbr/networks"} {
			entries, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !e.IsDir() {
					t.Errorf("%s is left in %s", e.Name(), dir)
				}
			}
		}
	})
}

// TestFailedStart: a start that fails leaves the host as it was, also a bridge
// that was there before and that a network wanted for itself.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		run(t, "ip", "link", "add", "mine", "type", "bridge")
		run(t, "ip", "addr", "add", "10.66.0.1/24", "dev", "mine")
		run(t, "ip", "link", "set", "mine", "up")
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
		before := netnstest.Snapshot(t)
		d := startVirbrd(t)
		for name, xml := range map[string]string{
			"taken":  `<network><name>taken</name><forward mode='nat'/><bridge name='mine'/><ip address='10.67.0.1' prefix='24'/></network>`,
			"option": `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>option</name><forward mode='nat'/><bridge name='virbr9'/><ip address='10.68.0.1' prefix='24'/><dnsmasq:options><dnsmasq:option value='nonsense'/></dnsmasq:options></network>`,
		} {
			file := t.TempDir() + "/net.xml"
			write(t, file, xml)
			d.virsh("net-define", file)
			if _, err := d.try("net-start", name); err == nil {
				t.Errorf("%s started", name)
			}
			same(t, before, netnstest.Snapshot(t), "the start of "+name+" failed")
		}
	})
}

// TestHookRefuses: a hook script that fails at start stops the start, and its
// words reach the client; what hooks see is libvirt's document.
func TestHookRefuses(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		seen := t.TempDir() + "/seen"
		write(t, "/etc/libvirt/hooks/network", "#!/bin/sh\necho \"$@\" >> "+seen+"\ncat >> "+seen+"\n[ \"$2\" != start ] || [ ! -e "+seen+".refuse ] || { echo no thanks >&2; exit 3; }\n")
		if err := os.Chmod("/etc/libvirt/hooks/network", 0o755); err != nil {
			t.Fatal(err)
		}
		before := netnstest.Snapshot(t)
		d := startVirbrd(t)
		write(t, seen+".refuse", "")
		file := t.TempDir() + "/net.xml"
		write(t, file, strings.Replace(natXML, "mode='nat'", "mode='open'", 1))
		d.virsh("net-define", file)
		_, err := d.try("net-start", "default")
		if err == nil || !strings.Contains(err.Error(), "Hook script execution failed: internal error: Child process (") ||
			!strings.Contains(err.Error(), "/etc/libvirt/hooks/network default start begin -) unexpected exit status 3: no thanks") {
			t.Errorf("net-start: %v", err)
		}
		same(t, before, netnstest.Snapshot(t), "a hook refused the start")
		if err := os.Remove(seen + ".refuse"); err != nil {
			t.Fatal(err)
		}
		d.virsh("net-start", "default")
		d.virsh("net-destroy", "default")
		text, err := os.ReadFile(seen)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"default start begin -\n<hookData>\n  <network>\n    <name>default</name>", "default started begin -\n", "default stopped end -\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("hooks did not see %q:\n%s", want, text)
			}
		}
	})
}

// TestRestart: an active network, its dnsmasq and its guests' connections
// outlive the daemon, ended or killed; what died meanwhile is found.
func TestRestart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		d := startVirbrd(t)
		d.up("default", natXML)
		g := netnstest.NewGuest(t, "g", "virbr0")
		g.DHCP(t)
		pid := read(t, "/run/libvirt/network/default.pid")
		live := d.virsh("net-dumpxml", "default")
		for _, end := range []func(*daemon){(*daemon).stop, (*daemon).kill} {
			before := netnstest.Snapshot(t)
			end(d)
			same(t, before, netnstest.Snapshot(t), "the daemon ended")
			if err := pings(g, t, outside4); err != nil {
				t.Errorf("while no daemon runs: %v", err)
			}
			d = startVirbrd(t)
			same(t, before, netnstest.Snapshot(t), "the daemon came back")
			if got := read(t, "/run/libvirt/network/default.pid"); got != pid {
				t.Errorf("dnsmasq was %s and is %s", pid, got)
			}
			if got := d.virsh("net-dumpxml", "default"); got != live {
				t.Errorf("live XML changed:\n%s", cmp.Diff(live, got))
			}
			if got := d.virsh("net-list", "--name"); !strings.Contains(got, "default") {
				t.Errorf("active networks: %q", got)
			}
			if err := pings(g, t, outside4); err != nil {
				t.Errorf("after the daemon came back: %v", err)
			}
		}
		d.stop()
		run(t, "ip", "link", "del", "virbr0")
		d = startVirbrd(t)
		if got := d.virsh("net-list", "--name"); strings.Contains(got, "default") {
			t.Errorf("a network whose bridge went is active: %q", got)
		}
		d.virsh("net-start", "default")
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
