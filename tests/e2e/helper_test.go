package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// Where libvirt's daemon looks for leases, and what the lease helper writes.
const (
	leaseLink = "/var/lib/libvirt/dnsmasq/virbr0.status"
	leaseFile = "/var/lib/libvirt/dnsmasq/virbr/virbr0.status"
)

// ownerOf returns who owns a file, which may be a link.
func ownerOf(t *testing.T, path string) (uid int) {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(st.Sys().(*syscall.Stat_t).Uid)
}

// TestLeaseHelperIsNotRoot: whom a guest's packet reaches, dnsmasq and what it calls
// for leases, has no rights of root. libvirt's NSS modules find the leases all the same.
func TestLeaseHelperIsNotRoot(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		resolveByLibvirt(t)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		pid, err := serving("default")
		if err != nil {
			t.Fatal(err)
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil || len(strings.Fields(string(children))) != 1 {
			t.Fatalf("dnsmasq has the children %q, %v", children, err)
		}
		status := read(t, "/proc/"+strings.TrimSpace(string(children))+"/status")
		if !strings.Contains(status, "\nCapPrm:\t0000000000000000\n") || strings.Contains(status, "\nUid:\t0\t") {
			t.Errorf("the process that calls the helper is\n%s", status)
		}
		anna := netnstest.NewGuest(t, "anna", "virbr0")
		four := anna.DHCP(t, "-x", "hostname:anna")["ip"]
		resolves(t, "libvirt", "anna", four)
		if owner := ownerOf(t, leaseFile); owner == 0 || owner != ownerOf(t, filepath.Dir(leaseFile)) {
			t.Errorf("the lease file is user %d's", owner)
		}
		if owner := ownerOf(t, filepath.Dir(leaseLink)); owner != 0 {
			t.Errorf("the directory of dnsmasq's files is user %d's", owner)
		}
		d.virsh("net-destroy", "default")
		d.virsh("net-undefine", "default")
		left, err := filepath.Glob("/var/lib/libvirt/dnsmasq/virbr/*")
		if err != nil || len(left) > 0 {
			t.Errorf("an undefined network left %v, %v", left, err)
		}
		if _, err := os.Lstat(leaseLink); err == nil {
			t.Errorf("an undefined network left %s", leaseLink)
		}
	})
}

// TestLeasesInClosedDirectories: where somebody chose directories that only root gets to,
// the helper runs as root, as libvirt's does, and the log says so. In open ones it does not
// any more.
func TestLeasesInClosedDirectories(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		const closed = "/run/closed" // /run is the test's own, and open
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		dnsmasqDir := filepath.Join(closed, "dnsmasq")
		d := startVirbrd(t, "--run-dir", filepath.Join(closed, "run"), "--dnsmasq-dir", dnsmasqDir)
		netnstest.Wait(t, "the log says that the helper is root", func() error {
			if log := d.log.String(); !strings.Contains(log, "lease helper runs as root") {
				return errors.New(log)
			}
			return nil
		})
		d.up("default", leaseXML)
		anna := netnstest.NewGuest(t, "anna", "virbr0")
		address := anna.DHCP(t, "-x", "hostname:anna")["ip"]
		if row := leaseRow(t, d, "default", anna.MAC.String()); !strings.HasPrefix(row[1], address+"/") {
			t.Errorf("the lease of %s is %q", address, row)
		}
		d.virsh("net-destroy", "default")
		d.stop()
		if err := os.Chmod(closed, 0o755); err != nil {
			t.Fatal(err)
		}
		d = startVirbrd(t, "--run-dir", filepath.Join(closed, "run"), "--dnsmasq-dir", dnsmasqDir)
		if log := d.log.String(); strings.Contains(log, "lease helper runs as root") {
			t.Errorf("the helper is still root:\n%s", log)
		}
		if owner := ownerOf(t, filepath.Join(dnsmasqDir, "virbr")); owner == 0 {
			t.Error("the helper's directory is still root's")
		}
	})
}

// TestHostileLeaseFiles: who got hold of the helper's user may do what he likes to
// its files. Root neither follows them nor waits for them nor fills its memory with
// them, and the next start of the network makes them good.
func TestHostileLeaseFiles(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		secret := "/var/lib/libvirt/secret"
		write(t, secret, `[{"ip-address": "192.168.122.66", "mac-address": "52:54:00:66:66:66", "expiry-time": 4000000000}]`)
		anna := netnstest.NewGuest(t, "anna", "virbr0")
		attacks := map[string]func() error{
			"link":      func() error { return os.Symlink(secret, leaseFile) },
			"hard link": func() error { return os.Link(secret, leaseFile) },
			"root's":    func() error { return os.WriteFile(leaseFile, []byte("[null, 1"), 0o600) },
			"FIFO":      func() error { return syscall.Mkfifo(leaseFile, 0o666) },
			"directory": func() error { return os.MkdirAll(leaseFile+"/a", 0o777) },
			"huge": func() error {
				if err := os.WriteFile(leaseFile, nil, 0o644); err != nil {
					return err
				}
				return os.Truncate(leaseFile, 1<<40)
			},
			"lock and temporary file": func() error {
				lock := strings.TrimSuffix(leaseFile, ".status") + ".lock"
				if err := os.RemoveAll(lock); err != nil {
					return err
				}
				if err := os.Symlink(secret, lock); err != nil {
					return err
				}
				return os.Mkdir(leaseFile+".new", 0o755)
			},
		}
		for name, attack := range attacks {
			if err := os.RemoveAll(leaseFile); err != nil {
				t.Fatal(err)
			}
			if err := attack(); err != nil {
				t.Fatal(err)
			}
			if out, _ := d.try("net-dhcp-leases", "default"); strings.Contains(out, "192.168.122.66") {
				t.Errorf("%s: root read\n%s", name, out)
			}
			d.virsh("net-destroy", "default")
			d.virsh("net-start", "default")
			run(t, "ip", "link", "set", anna.Tap, "master", "virbr0")
			four := anna.DHCP(t, "-x", "hostname:anna")["ip"]
			listed(t, d, hardwareAddress(t, anna), "ipv4", four+"/24", "anna")
		}
		if !strings.Contains(read(t, secret), "192.168.122.66") {
			t.Error("a file of root's was written to")
		}
	})
}

// TestLeasesOfBothHelpers: a network is started by one daemon and then by the other.
// Each finds the leases that the other's helper kept; and who removes virbr leaves a file
// that is root's, as libvirt's helper does.
func TestLeasesOfBothHelpers(t *testing.T) {
	t.Parallel()
	const helper = "/usr/lib/libvirt/libvirt_leaseshelper"
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, helper)
		d := startVirbrd(t)
		d.up("default", leaseXML)
		anna := netnstest.NewGuest(t, "anna", "virbr0")
		four := anna.DHCP(t, "-x", "hostname:anna")["ip"]
		listed(t, d, hardwareAddress(t, anna), "ipv4", four+"/24", "anna")
		d.virsh("net-destroy", "default")

		cmd := exec.Command(helper, "add", "52:54:00:0b:00:02", "192.168.122.77", "bert") // as of a network that libvirt runs
		cmd.Env = []string{"DNSMASQ_INTERFACE=virbr0", "DNSMASQ_LEASE_EXPIRES=4000000000"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("libvirt's helper: %v\n%s", err, out)
		}
		if target, err := os.Readlink(leaseLink); err == nil {
			t.Fatalf("libvirt's helper left a link to %q: nothing is tested here", target)
		}
		both := func(when string) {
			t.Helper()
			listed(t, d, hardwareAddress(t, anna), "ipv4", four+"/24", "anna")
			listed(t, d, "52:54:00:0b:00:02", "ipv4", "192.168.122.77/24", "bert")
			if text := read(t, leaseLink); !strings.Contains(text, four) || !strings.Contains(text, "192.168.122.77") {
				t.Errorf("%s: the lease file is\n%s", when, text)
			}
		}
		both("after libvirt's helper")
		d.virsh("net-start", "default")
		both("after a start")
		if _, err := os.Readlink(leaseLink); err != nil {
			t.Errorf("after a start: %v", err)
		}
		d.virsh("net-destroy", "default")
		run(t, bin("virbrd"), "leases", "--restore")
		both("restored")
		if _, err := os.Readlink(leaseLink); err == nil || ownerOf(t, leaseLink) != 0 {
			t.Error("restored, the lease file is none of root's")
		}
		if err := os.Remove(leaseLink); err != nil { // as undefining it by libvirt's daemon does
			t.Fatal(err)
		}
		d.virsh("net-start", "default")
		if out := d.virsh("net-dhcp-leases", "default"); strings.Contains(out, "192.168.122.77") {
			t.Errorf("without a lease file the network has\n%s", out)
		}
	})
}

// TestLeasesThatAreNone: a lease file that somebody spoilt keeps no network from
// starting.
func TestLeasesThatAreNone(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		for _, text := range []string{
			`[{"ip-address": "192.168.122.50", "mac-address": "none", "expiry-time": 4000000000},` +
				`{"ip-address": "nowhere", "mac-address": "52:54:00:00:00:01", "expiry-time": 4000000000},` +
				`{"ip-address": "192.168.122.51", "mac-address": "52:54:00:00:00:02", "client-id": "x", "expiry-time": 4000000000},` +
				`{"ip-address": "fd00:7a::150", "mac-address": "52:54:00:00:00:03", "client-id": "00:zz", "iaid": "1", "expiry-time": 4000000000}]`,
			"[null, 1]", "[[[[", "\x00\xff",
		} {
			if err := os.MkdirAll(filepath.Dir(leaseLink), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(leaseLink); err != nil {
				t.Fatal(err)
			}
			write(t, leaseLink, text)
			d.up("default", leaseXML)
			if _, err := serving("default"); err != nil {
				t.Errorf("with %.20q: %v", text, err)
			}
			d.virsh("net-destroy", "default")
			d.virsh("net-undefine", "default")
		}
	})
}

// TestHostsOfTheHost: names that the host has in /etc/hosts are not for guests,
// unless the network asks for them.
func TestHostsOfTheHost(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		private := filepath.Join(t.TempDir(), "hosts")
		write(t, private, "127.0.0.1 localhost\n127.0.1.1 thishost\n203.0.113.9 intranet\n")
		if err := syscall.Mount(private, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
			t.Fatalf("mounting over hosts: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount("/etc/hosts", syscall.MNT_DETACH) })
		d := startVirbrd(t)
		const network = `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>%s</name><bridge name='%[1]s'/>
  <dns><host ip='10.%[2]d.0.5'><hostname>printer</hostname></host></dns>
  <ip address='10.%[2]d.0.1' netmask='255.255.255.0'/>%[3]s</network>`
		d.up("kept", fmt.Sprintf(network, "kept", 61, ""))
		d.up("given", fmt.Sprintf(network, "given", 62, "<dnsmasq:options><dnsmasq:option value='addn-hosts=/etc/hosts'/></dnsmasq:options>"))
		for _, c := range []struct{ server, name, want string }{
			{"10.61.0.1", "printer", "10.61.0.5"}, {"10.61.0.1", "thishost", ""}, {"10.61.0.1", "intranet", ""},
			{"10.62.0.1", "printer", "10.62.0.5"}, {"10.62.0.1", "intranet", "203.0.113.9"},
		} {
			if out, err := output(t, "dig", "+short", "+time=5", "@"+c.server, c.name); err != nil || strings.TrimSpace(out) != c.want {
				t.Errorf("%s says that %s is %q, %v, want %q", c.server, c.name, out, err, c.want)
			}
		}
	})
}

// TestReservedGuests: a guest with a reservation gets its address when the range is
// used up, and when the reservation came while the network ran.
func TestReservedGuests(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		for bridge, hosts := range map[string]string{"virbr1": "", "virbr2": "<host mac='52:54:00:00:63:01' ip='10.63.0.20'/>"} {
			d.up(bridge, fmt.Sprintf(`<network><name>%s</name><bridge name='%[1]s'/><ip address='10.63.0.1' netmask='255.255.255.0'><dhcp>
  <range start='10.63.0.2' end='10.63.0.3'/>%s</dhcp></ip></network>`, bridge, hosts))
			for _, name := range []string{"a", "b"} {
				netnstest.NewGuest(t, name+bridge, bridge).DHCP(t)
			}
			g := netnstest.NewGuest(t, "c"+bridge, bridge)
			d.virsh("net-update", bridge, "add", "ip-dhcp-host", fmt.Sprintf("<host mac='%s' ip='10.63.0.21'/>", g.MAC), "--live")
			if got := g.DHCP(t)["ip"]; got != "10.63.0.21" {
				t.Errorf("%s: the guest with a reservation got %s", bridge, got)
			}
			d.virsh("net-destroy", bridge)
		}
	})
}
