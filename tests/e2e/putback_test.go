package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// replaced is a network with shares of bandwidth, and a port group. more goes into
// its element; two of one name are two definitions.
func replaced(name, bridge, more string) string {
	return fmt.Sprintf(`<network><name>%s</name>%s<forward mode='nat'/><bridge name='%s' stp='off'/>
<bandwidth><inbound average='100000'/></bandwidth>
<ip address='10.77.0.1' prefix='24'><dhcp><range start='10.77.0.2' end='10.77.0.99'/></dhcp></ip></network>`, name, more, bridge)
}

const replacedPort = `<networkport><uuid>77777777-0000-4000-8000-000000000001</uuid>
<owner><name>vm7</name><uuid>77777777-0000-4000-8000-000000000002</uuid></owner>
<mac address='%s'/><bandwidth><inbound average='500' floor='300'/></bandwidth></networkport>`

// guestOnBridge is a guest with an address, a network's port and isolation from other
// guests, as libvirt's drivers plug one in.
func guestOnBridge(t *testing.T, d *daemon) *netnstest.Guest {
	t.Helper()
	g := netnstest.NewGuest(t, "seven", "br-seven")
	g.Address(t, netip.MustParsePrefix("10.77.0.7/24"))
	run(t, "bridge", "link", "set", "dev", g.Tap, "isolated", "on", "neigh_suppress", "on")
	port := filepath.Join(t.TempDir(), "port.xml")
	write(t, port, fmt.Sprintf(replacedPort, g.MAC))
	if err := pings(g, t, "10.77.0.1"); err != nil { // the bridge has heard of it
		t.Fatal(err)
	}
	d.virsh("net-port-create", "seven", port)
	return g
}

// TestGuestsArePutBack: whoever stops a network under its guests and starts it again,
// or one in its place, finds them plugged in as before.
func TestGuestsArePutBack(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "bridge", "dnsmasq", "ping", "tc")
		d := startVirbrd(t)
		d.up("seven", replaced("seven", "br-seven", ""))
		g := guestOnBridge(t, d)
		port := d.virsh("net-port-dumpxml", "seven", "77777777-0000-4000-8000-000000000001")
		class := run(t, "tc", "class", "show", "dev", "br-seven")
		define := func(doc string) string {
			path := filepath.Join(t.TempDir(), "net.xml")
			write(t, path, doc)
			d.virsh("net-define", path)
			return path
		}
		crash := func() {
			d.kill()
			d.start(bin("virbrd"))
		}
		for _, way := range []struct {
			name string
			do   func()
		}{
			{"virsh: destroy, start", func() { d.virsh("net-destroy", "seven"); d.virsh("net-start", "seven") }},
			{"virt-manager and Ansible: define, destroy, start", func() {
				doc := strings.Replace(d.virsh("net-dumpxml", "--inactive", "seven"), "<ip ", "<mtu size='1400'/><ip ", 1)
				define(doc)
				d.virsh("net-destroy", "seven")
				d.virsh("net-start", "seven")
			}},
			{"Terraform: destroy, undefine, define, create", func() {
				d.virsh("net-destroy", "seven")
				d.virsh("net-undefine", "seven")
				define(replaced("seven", "br-seven", ""))
				d.virsh("net-start", "seven")
			}},
			{"a crash between destroy and start", func() { d.virsh("net-destroy", "seven"); crash(); d.virsh("net-start", "seven") }},
			{"another bridge", func() {
				define(strings.Replace(d.virsh("net-dumpxml", "--inactive", "seven"), "br-seven", "br-eight", 1))
				d.virsh("net-destroy", "seven")
				d.virsh("net-start", "seven")
				if master := masterOf(t, g.Tap); master != "br-eight" {
					t.Errorf("the guest is on %q", master)
				}
				if err := pings(g, t, "10.77.0.1"); err != nil {
					t.Error(err)
				}
				define(strings.Replace(d.virsh("net-dumpxml", "--inactive", "seven"), "br-eight", "br-seven", 1))
				d.virsh("net-destroy", "seven")
				d.virsh("net-start", "seven")
			}},
			{"a transient one", func() {
				d.virsh("net-destroy", "seven")
				d.virsh("net-undefine", "seven")
				path := filepath.Join(t.TempDir(), "net.xml")
				write(t, path, replaced("seven", "br-seven", ""))
				d.virsh("net-create", path)
			}},
		} {
			way.do()
			if err := pings(g, t, "10.77.0.1"); err != nil {
				t.Errorf("%s: %v", way.name, err)
			}
			if got := d.virsh("net-port-dumpxml", "seven", "77777777-0000-4000-8000-000000000001"); got != port {
				t.Errorf("%s: the port was\n%s and is\n%s", way.name, port, got)
			}
			if got := run(t, "tc", "class", "show", "dev", "br-seven"); got != class {
				t.Errorf("%s: shares of the bandwidth were\n%s and are\n%s", way.name, class, got)
			}
			for _, setting := range []string{"isolated on", "neigh_suppress on"} {
				if got := run(t, "bridge", "-d", "link", "show", "dev", g.Tap); !strings.Contains(got, setting) {
					t.Errorf("%s: no %s in\n%s", way.name, setting, got)
				}
			}
			if left, err := os.ReadDir("/run/virbr/detached"); err != nil || len(left) != 0 {
				t.Errorf("%s: still remembered: %v, %v", way.name, left, err)
			}
		}
	})
}

func masterOf(t *testing.T, link string) string {
	t.Helper()
	master, err := os.Readlink("/sys/class/net/" + link + "/master")
	if err != nil {
		return ""
	}
	return filepath.Base(master)
}

// TestGuestsAreLeftAlone: what has been plugged in elsewhere, or is not the link that
// it was, or was another network's, is not put back.
func TestGuestsAreLeftAlone(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "dnsmasq")
		d := startVirbrd(t)
		d.up("seven", replaced("seven", "br-seven", ""))
		g := guestOnBridge(t, d)
		ports := func() string { return strings.TrimSpace(d.virsh("net-port-list", "seven")) }

		run(t, "ip", "link", "add", "theirs", "type", "bridge")
		d.virsh("net-destroy", "seven")
		run(t, "ip", "link", "set", g.Tap, "master", "theirs")
		d.virsh("net-start", "seven")
		if master := masterOf(t, g.Tap); master != "theirs" {
			t.Errorf("a port of another bridge was taken: it is on %q", master)
		}
		if got := ports(); strings.Contains(got, "7777") {
			t.Errorf("a port without its guest: %s", got)
		}

		run(t, "ip", "link", "set", g.Tap, "master", "br-seven")
		d.virsh("net-destroy", "seven")
		run(t, "ip", "link", "set", g.Tap, "name", "was-"+"seven")
		run(t, "ip", "link", "add", g.Tap, "type", "veth", "peer", "name", "other")
		d.virsh("net-start", "seven")
		if master := masterOf(t, g.Tap); master != "" {
			t.Errorf("a link of the same name was taken: it is on %q", master)
		}
		if master := masterOf(t, "was-seven"); master != "br-seven" {
			t.Errorf("a link with another name is on %q", master)
		}

		// The guest of a network that is defined still is not another's, and a name of a bridge that was
		// generated is not that of a network that has gone.
		d.virsh("net-destroy", "seven")
		write(t, "/run/other.xml", replaced("other", "br-seven", ""))
		if out, err := d.try("net-create", "/run/other.xml"); err == nil || !strings.Contains(err.Error(), "already in use") {
			t.Errorf("two networks have one bridge: %s, %v", out, err)
		}
		d.virsh("net-undefine", "seven")
		d.virsh("net-create", "/run/other.xml")
		if master := masterOf(t, "was-seven"); master != "br-seven" {
			t.Errorf("whose network was replaced is on %q", master)
		}
		d.virsh("net-destroy", "other")
		write(t, "/run/free.xml", replaced("free", "br-%d", ""))
		d.virsh("net-create", "/run/free.xml")
		if master := masterOf(t, "was-seven"); master != "" {
			t.Errorf("a guest is on %q, which is nobody's it knows", master)
		}
	})
}
