package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

const leaseXML = `<network>
  <name>default</name><forward mode='nat'/><bridge name='virbr0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.99'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:7a::1' prefix='64'>
    <dhcp><range start='fd00:7a::100' end='fd00:7a::1ff'/></dhcp>
  </ip>
</network>`

// TestLeases: guests' leases of both families are listed by virsh and found by
// libvirt's own NSS modules, also while the daemon is down and after it is back.
func TestLeases(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		resolveByLibvirt(t)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		anna := netnstest.NewGuest(t, "anna", "virbr0")
		four := anna.DHCP(t, "-x", "hostname:anna")["ip"]
		six := anna.DHCP6(t)["new_ip6_address"]
		listed(t, d, hardwareAddress(t, anna), "ipv4", four+"/24", "anna")
		listed(t, d, hardwareAddress(t, anna), "ipv6", six+"/64", "-")
		resolves(t, "libvirt", "anna", four)
		if out := d.virsh("net-dhcp-leases", "default", "--mac", "52:54:00:99:99:99"); strings.Contains(out, "virbr0") || strings.Contains(out, four) {
			t.Errorf("leases of a guest that has none:\n%s", out)
		}

		d.stop()
		bert := netnstest.NewGuest(t, "bert", "virbr0")
		later := bert.DHCP(t, "-x", "hostname:bert")["ip"]
		resolves(t, "libvirt", "bert", later)

		d = startVirbrd(t)
		listed(t, d, hardwareAddress(t, anna), "ipv4", four+"/24", "anna")
		listed(t, d, hardwareAddress(t, bert), "ipv4", later+"/24", "bert")

		d.virsh("net-destroy", "default")
		listed(t, d, hardwareAddress(t, bert), "ipv4", later+"/24", "bert")
		d.virsh("net-start", "default")
		resolves(t, "libvirt", "anna", four)
	})
}

// TestGuestNames: libvirt's other NSS module finds guests by the name of their
// domain, which the driver learns from ports.
func TestGuestNames(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		resolveByLibvirt(t)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		g := netnstest.NewGuest(t, "vm", "virbr0")
		address := g.DHCP(t)["ip"]
		port := filepath.Join(t.TempDir(), "port.xml")
		write(t, port, fmt.Sprintf(`<networkport>
  <uuid>11111111-2222-4333-8444-555555555555</uuid>
  <owner><name>database</name><uuid>22222222-2222-4333-8444-555555555555</uuid></owner>
  <mac address='%s'/>
</networkport>`, hardwareAddress(t, g)))
		d.virsh("net-port-create", "default", port)
		resolves(t, "libvirt_guest", "database", address)
	})
}

// leaseRow waits until virsh lists a lease of a MAC address, which its helper may still be
// writing, and returns what stands behind the address: family, IP address, name ...
func leaseRow(t *testing.T, d *daemon, network, mac string) (fields []string) {
	t.Helper()
	netnstest.Wait(t, "virsh lists the lease of "+mac, func() error {
		out := d.virsh("net-dhcp-leases", network)
		if fields = row(out, mac); len(fields) < 3 {
			return fmt.Errorf("it lists\n%s", out)
		}
		return nil
	})
	return fields
}

// listed waits until virsh lists a lease, which its helper may still be writing.
func listed(t *testing.T, d *daemon, mac, family, address, host string) {
	t.Helper()
	netnstest.Wait(t, "virsh lists the lease of "+address, func() error {
		out := d.virsh("net-dhcp-leases", "default", mac)
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			if len(f) >= 6 && f[2] == mac && f[3] == family && f[4] == address && f[5] == host {
				return nil
			}
		}
		return fmt.Errorf("it lists\n%s", out)
	})
}

// resolveByLibvirt has the C library ask libvirt's NSS modules.
func resolveByLibvirt(t *testing.T) {
	t.Helper()
	netnstest.NeedProgram(t, "getent")
	found, _ := filepath.Glob("/usr/lib/*/libnss_libvirt*.so.2")
	if len(found) < 2 {
		netnstest.NeedProgram(t, "libnss-libvirt (Debian package)")
	}
	private := filepath.Join(t.TempDir(), "nsswitch.conf")
	write(t, private, "hosts: files libvirt libvirt_guest\n")
	if err := syscall.Mount(private, "/etc/nsswitch.conf", "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mounting over nsswitch.conf: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount("/etc/nsswitch.conf", syscall.MNT_DETACH) })
}

// resolves waits until a module of libvirt knows a name.
func resolves(t *testing.T, module, name, address string) {
	t.Helper()
	netnstest.Wait(t, fmt.Sprintf("%s resolves %s", module, name), func() error {
		out, err := output(t, "getent", "-s", "hosts:"+module, "ahosts", name)
		if err == nil && !strings.Contains(out, address+" ") {
			status, _ := os.ReadFile("/var/lib/libvirt/dnsmasq/virbr0.status")
			err = fmt.Errorf("getent says %q, the lease file is\n%s", out, status)
		}
		return err
	})
}

func output(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return string(out), err
}

// TestVirbrLease: leases are seen, reserved for good and given up, on the running
// network and in its definition, by a domain's name, a DHCP name and a MAC address.
func TestVirbrLease(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		anna := tapped(t, d, "default", "virbr0", "anna", "")
		four := anna.DHCP(t, "-x", "hostname:debian")["ip"]
		bert := netnstest.NewGuest(t, "bert", "virbr0")
		bert.DHCP(t, "-x", "hostname:bert")

		list := func() string { return mustVirbr(t, "lease", "list", "default") }
		if text := list(); !regexp.MustCompile(`default +` + four + ` +anna +` + anna.MAC.String() + ` +leased until `).MatchString(text) {
			t.Errorf("%s\n%s", four, text)
		}
		mustVirbr(t, "lease", "reserve", "default", "anna")
		mustVirbr(t, "lease", "reserve", "default", "bert", "192.168.122.200")
		mustVirbr(t, "lease", "reserve", "default", "bert", "192.168.122.201") // another one instead
		mustVirbr(t, "lease", "reserve", "default", "52:54:00:AA:00:01", "192.168.122.210")
		want := fmt.Sprintf(`<host mac='%s' name='anna' ip='%s'/><host mac='%s' name='bert' ip='192.168.122.201'/><host mac='52:54:00:aa:00:01' ip='192.168.122.210'/>`, anna.MAC, four, bert.MAC)
		for _, flags := range [][]string{{}, {"--inactive"}} {
			text := d.virsh(append([]string{"net-dumpxml", "default"}, flags...)...)
			if got := strings.Join(regexp.MustCompile(`<host [^>]*/>`).FindAllString(text, -1), ""); got != want {
				t.Errorf("%v: got\n%s\nwant\n%s", flags, got, want)
			}
		}
		if again := bert.DHCP(t, "-x", "hostname:bert")["ip"]; again != "192.168.122.201" {
			t.Errorf("bert has %s", again)
		}
		if text := list(); strings.Count(text, ", reserved\n") != 2 || !strings.Contains(text, "52:54:00:aa:00:01  reserved\n") {
			t.Error(text)
		}
		for _, guest := range []string{"anna", "192.168.122.201", "52-54-00-aa-00-01"} {
			mustVirbr(t, "lease", "release", "default", guest)
		}
		if text := d.virsh("net-dumpxml", "default") + list(); strings.Contains(text, "<host") || strings.Contains(text, "reserved") {
			t.Error(text)
		}
		for guest, why := range map[string]string{"nobody": "knows no guest", "52:54:00:00:00:77": "has no address"} {
			if out, err := exec.Command(bin("virbr"), "lease", "reserve", "default", guest).CombinedOutput(); err == nil || !strings.Contains(string(out), why) {
				t.Errorf("%s: %v, %s", guest, err, out)
			}
		}
	})
}
