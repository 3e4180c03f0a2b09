package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

const (
	actionsDir = "/usr/share/polkit-1/actions"
	rulesDir   = "/etc/polkit-1/rules.d"
)

// mountFiles puts files of the test's own over a directory.
func mountFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	private := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(private, name), text)
	}
	for at := private; at != os.TempDir(); at = filepath.Dir(at) { // polkitd is not root
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount(private, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mounting over %s: %v", dir, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// systemBus is a system bus on which everybody may do everything.
const systemBus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
`

// startBus starts the system bus; the test's /run is its own.
func startBus(t *testing.T) {
	t.Helper()
	netnstest.NeedProgram(t, "dbus-daemon")
	write(t, "/run/dbus/bus.conf", systemBus)
	background(t, "dbus-daemon", "--config-file=/run/dbus/bus.conf", "--nofork", "--nopidfile")
	netnstest.Wait(t, "the system bus listens", func() error { _, err := os.Stat("/run/dbus/system_bus_socket"); return err })
}

// startPolkit starts polkitd.
func startPolkit(t *testing.T) {
	t.Helper()
	const polkitd = "/usr/lib/polkit-1/polkitd"
	if _, err := os.Stat(polkitd); err != nil {
		netnstest.Need(t, "needs "+polkitd+": install polkitd")
	}
	background(t, polkitd, "--no-debug")
	netnstest.Wait(t, "polkitd is on the bus", func() error {
		return exec.CommandContext(t.Context(), "dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.PolicyKit1",
			"/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.DBus.Peer.Ping").Run()
	})
}

// background starts a program that runs until the test ends.
func background(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return backgroundAs(t, account{}, name, args...)
}

func backgroundAs(t *testing.T, who account, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	log := &binaries.Log{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid}}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, log)
		}
	})
	return cmd
}

// apiActions are the actions of single calls that the tests ask for.
var apiActions = []string{
	"connect.getattr", "connect.search-networks", "connect.read", "connect.write",
	"network.getattr", "network.read", "network.write", "network.save", "network.start", "network.stop", "network.delete",
	"network.search-ports", "network-port.getattr", "network-port.create",
}

// libvirtActions declares what polkit may be asked, as libvirt's packages do:
// monitor is for everybody, manage for administrators, single calls for nobody
// that no rule knows.
func libvirtActions(t *testing.T) {
	t.Helper()
	var doc strings.Builder
	add := func(action, implicit string) {
		doc.WriteString("<action id='org.libvirt." + action + "'><description>d</description><message>m</message><defaults>" +
			"<allow_any>" + implicit + "</allow_any><allow_inactive>" + implicit + "</allow_inactive><allow_active>" + implicit + "</allow_active></defaults></action>\n")
	}
	add("unix.monitor", "yes")
	add("unix.manage", "auth_admin_keep")
	for _, a := range apiActions {
		add("api."+a, "no")
	}
	mountFiles(t, actionsDir, map[string]string{"org.libvirt.unix.policy": "<policyconfig>\n" + doc.String() + "</policyconfig>\n"})
}

// TestPolkit: with libvirt's actions on the host, polkit says who may connect,
// and virsh prints libvirt's errors; root needs nobody's leave.
func TestPolkit(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		needAccounts(t)
		libvirtActions(t)
		mountFiles(t, rulesDir, map[string]string{"10-test.rules": `polkit.addRule(function(action, subject) {
	if (action.id != "org.libvirt.unix.manage") return polkit.Result.NOT_HANDLED;
	if (subject.user == "games") return polkit.Result.YES;
	if (subject.user == "nobody") return polkit.Result.NO;
});`})
		d := startVirbrd(t)
		d.answers(games, "Unable to get system bus connection", "net-list")
		startBus(t)
		d.answers(games, "error from service: ", "net-list")
		startPolkit(t)
		d.answers(games, "Network one started", "net-start", define(t, d, "one"))
		d.answers(nobody, "authentication failed: access denied by policy", "net-list")
		d.answers(nobody, "one", "-r", "net-list", "--name")
		d.answers(account{1, 1}, "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'", "net-list")
		d.virsh("net-destroy", "one")
	})
}

// TestAccessDrivers: with access_drivers polkit is asked about each call and
// each network, on behalf of whom a client speaks for.
func TestAccessDrivers(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		accessRules(t)
		write(t, daemonConf, "access_drivers = [ \"polkit\" ]\n")
		d := startVirbrd(t)
		accessOfGames(t, d)

		// As libvirt's QEMU daemon does for its clients.
		c := dial(t, socketRW, 0)
		two := c.lookup("two")
		other := backgroundAs(t, nobody, "sleep", "infinity")
		c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: identityOf(t, other.Process.Pid, nobody)}, nil)
		c.refused(proto.NetworkCreate, &two, 88, 55, denied)
		c.refused(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: two}, 88, 55, denied)
		c.must(proto.NetworkIsActive, new(c.lookup("one")), nil)
		c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{Params: identityOf(t, os.Getpid(), account{})}, nil)
		c.must(proto.NetworkCreate, &two, nil)
	})
}

// denied is what who lacks a permission is told.
const denied = "access denied: 'network' denied access"

// accessRules starts a polkit that lets everybody look at and start network "one", and
// root do all.
func accessRules(t *testing.T) {
	t.Helper()
	needAccounts(t)
	libvirtActions(t)
	mountFiles(t, rulesDir, map[string]string{"10-test.rules": `polkit.addRule(function(action, subject) {
	if (action.id == "org.libvirt.unix.manage" || subject.user == "root") return polkit.Result.YES;
	if (action.id.indexOf("org.libvirt.api.") != 0 || action.lookup("connect_driver") != "network") return polkit.Result.NOT_HANDLED;
	if (action.id.indexOf("org.libvirt.api.connect.") == 0) return polkit.Result.YES;
	if (action.lookup("network_name") != "one") return polkit.Result.NO;
	return /\.(getattr|read|start)$/.test(action.id) ? polkit.Result.YES : polkit.Result.NO;
});`})
	startBus(t)
	startPolkit(t)
}

// accessOfGames wants those rules to hold for somebody who asks a daemon.
func accessOfGames(t *testing.T, d *daemon) {
	t.Helper()
	define(t, d, "one")
	define(t, d, "two")
	if list := d.as(games, "net-list", "--all", "--name"); strings.TrimSpace(list) != "one" {
		t.Errorf("games sees %q", list)
	}
	d.answers(games, "Network one started", "net-start", "one")
	d.answers(games, denied, "net-destroy", "one")
	d.answers(games, denied, "net-undefine", "one")
	d.answers(games, denied, "net-dumpxml", "two")
	d.answers(games, denied, "net-start", "two")
	d.answers(games, denied, "net-port-list", "one")
}

// TestModuleAccess: a libvirtd that has our module hands on who calls, so polkit is
// asked about its clients, and libvirtd.conf's access_drivers hold. A connection that
// served root serves nobody else with root's rights.
func TestModuleAccess(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		accessRules(t)
		write(t, "/etc/libvirt/libvirtd.conf", "auth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0777\"\naccess_drivers = [ \"polkit\" ]\n")
		d, _ := startModule(t)
		d.uri = "network:///system?mode=legacy"
		accessOfGames(t, d)
		d.virsh("net-destroy", "one")
		d.virsh("net-start", "two")
	})
}

// identityOf describes a process as libvirt's daemons do.
func identityOf(t *testing.T, pid int, who account) []wire.Param {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	started, err := strconv.ParseUint(strings.Fields(rest)[19], 10, 64) // the line's field 22
	if err != nil {
		t.Fatal(err)
	}
	return []wire.Param{
		{Field: "unix-user-id", Type: wire.ParamUllong, Number: uint64(who.uid)},
		{Field: "unix-group-id", Type: wire.ParamUllong, Number: uint64(who.gid)},
		{Field: "process-id", Type: wire.ParamLlong, Number: uint64(pid)},
		{Field: "process-time", Type: wire.ParamUllong, Number: started},
	}
}
