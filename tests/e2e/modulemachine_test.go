package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// patientLease is lease for a host on which much else goes on.
const patientLease = "until\n" + lease + "do :; done\n"

// bootBy has a libvirtd run the machine.
func (m *machine) bootBy(d *daemon) {
	d.t.Helper()
	d.virsh("define", m.doc)
	d.virsh("start", m.name)
	d.t.Cleanup(func() { _, _ = d.try("destroy", m.name) })
}

// TestModuleMachine is the main job on a host with a monolithic libvirtd that has our
// module: a machine that libvirtd runs leases an address, finds a neighbour by
// name and reaches the outside; what people ask libvirtd about its network is
// answered; it keeps its port when libvirtd and virbrd are restarted, and has none
// when it is gone.
func TestModuleMachine(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		write(t, "/etc/libvirt/qemu.conf", qemuConf)
		d, virbrd := startModule(t, "PATH="+emulators(t))
		d.up("default", natXML)
		const mac = "52:54:00:aa:bb:cc"
		m := newMachine(t, "real", `<interface type='network'><mac address='`+mac+`'/><source network='default'/><model type='virtio'/></interface>`, patientLease)
		m.bootBy(d)
		n := netnstest.NewGuest(t, "n", "virbr0")
		var neighbour string
		netnstest.Wait(t, "the neighbour has a lease", func() error { // while the machine boots
			got, err := n.TryDHCP(t.Context(), t.TempDir(), "-x", "hostname:neighbour")
			neighbour = got["ip"]
			return err
		})
		m.waitReady(t)

		fields := row(d.virsh("net-dhcp-leases", "default"), mac)
		if len(fields) < 3 || fields[0] != "ipv4" || fields[2] != "machine" {
			t.Fatalf("net-dhcp-leases shows of the machine: %q", fields)
		}
		address := netip.MustParsePrefix(fields[1]).Addr().String()
		if got := d.virsh("domifaddr", "real", "--source", "lease"); !strings.Contains(got, " "+address+"/24") {
			t.Errorf("domifaddr lacks %s:\n%s", address, got)
		}
		d.virsh("net-update", "default", "add", "dns-host", "<host ip='192.168.122.9'><hostname>nine</hostname></host>", "--live")
		for command, want := range map[string]string{
			"nslookup -type=a neighbour 192.168.122.1": "Name:\tneighbour\nAddress: " + neighbour + "\n",
			"nslookup -type=a nine 192.168.122.1":      "Name:\tnine\nAddress: 192.168.122.9\n",
			"ping -c 1 -W 5 " + outside4:               " 0% packet loss",
		} {
			if got := m.sh(t, n, address, command); !strings.Contains(got, want) {
				t.Errorf("%s in the machine: %q is not in\n%s", command, want, got)
			}
		}

		before := portDocs(d, "default")
		if want := "<plug type='network' bridge='virbr0'/>"; len(before) != 1 || !strings.Contains(before[mac], want) {
			t.Fatalf("the ports are not one with %s: %q", want, before)
		}
		uuid := portUUIDs(d, "default")[0]
		same := func(after string) {
			t.Helper()
			if docs := portDocs(d, "default"); docs[mac] != before[mac] {
				t.Errorf("ports after %s:\n%q\nand before:\n%q", after, docs, before)
			}
			if err := pings(n, t, address); err != nil {
				t.Errorf("after %s: %v", after, err)
			}
		}
		d.stop()
		d.start("libvirtd")
		same("a restart of libvirtd")
		virbrd.kill()
		virbrd.start(bin("virbrd"))
		same("a crash of virbrd")
		d.stop()
		virbrd.virsh("net-port-delete", "default", uuid)
		d.start("libvirtd")
		netnstest.Wait(t, "libvirtd claims the port again", func() error {
			if got := portUUIDs(d, "default"); len(got) != 1 || got[0] != uuid {
				return fmt.Errorf("the ports are %q", got)
			}
			return nil
		})
		same("the port was lost")
		m.off(t, n, address)
		unplugged(t, d, "default")
	})
}

// TestModuleInstall: virt-install, as people call it, makes a machine on the default
// network.
func TestModuleInstall(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "virt-install")
		write(t, "/etc/libvirt/qemu.conf", qemuConf)
		d, _ := startModule(t, "PATH="+emulators(t))
		d.up("default", natXML)
		m := newMachine(t, "unused", "", patientLease)
		doc := read(t, m.doc)
		kernel, initrd := between(doc, "<kernel>", "</kernel>"), between(doc, "<initrd>", "</initrd>")
		m = &machine{name: "fresh", console: filepath.Join(t.TempDir(), "console")}
		cmd := exec.CommandContext(t.Context(), "virt-install", "--connect", "qemu:///system", "--name", m.name, "--memory", "256", "--import",
			"--network", "network=default,mac=52:54:00:aa:bb:dd,model=virtio", "--disk", "none", "--boot", "kernel="+kernel+",initrd="+initrd+",kernel_args=console=ttyS0 quiet panic=-1",
			"--osinfo", "detect=off,require=off", "--virt-type", "qemu", "--graphics", "none", "--serial", "file,path="+m.console, "--noautoconsole")
		cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("virt-install: %v\n%s", err, out)
		}
		t.Cleanup(func() { _, _ = d.try("destroy", m.name) })
		m.waitReady(t)
		if fields := row(d.virsh("net-dhcp-leases", "default"), "52:54:00:aa:bb:dd"); len(fields) < 3 || fields[2] != "machine" {
			t.Errorf("net-dhcp-leases shows of the machine: %q", fields)
		}
		d.virsh("destroy", m.name)
		unplugged(t, d, "default")
	})
}

// between returns the text between two others.
func between(s, before, after string) string {
	_, rest, _ := strings.Cut(s, before)
	text, _, _ := strings.Cut(rest, after)
	return text
}
