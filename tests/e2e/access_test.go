package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
	"github.com/virbr/virbr/tests/netnstest"
)

const daemonConf = "/etc/libvirt/virtnetworkd.conf"

// account is somebody who is not root.
type account struct{ uid, gid uint32 }

// Accounts of every Debian system; no process of theirs runs in a test.
var (
	games  = account{5, 60}
	nobody = account{65534, 65534}
)

// as returns virsh's answer to somebody: what it prints, errors included.
func (d *daemon) as(who account, args ...string) string {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), "virsh", append([]string{"-c", d.uri}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid}}
	out, _ := cmd.CombinedOutput() // what it says is what counts
	return string(out)
}

// answers wants somebody's virsh to say something.
func (d *daemon) answers(who account, want string, args ...string) {
	d.t.Helper()
	if got := d.as(who, args...); !strings.Contains(got, want) {
		d.t.Errorf("uid %d, virsh %s: want %q in:\n%s", who.uid, strings.Join(args, " "), want, got)
	}
}

// needAccounts skips the test where there are no other accounts to become.
func needAccounts(t *testing.T) {
	t.Helper()
	mapped, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(mapped)); len(f) == 3 && f[2] == "1" {
		netnstest.Need(t, "needs other accounts than one's own: run as root")
	}
}

// TestSocketModes: without polkit it is mode and group that decide who may
// connect.
func TestSocketModes(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		needAccounts(t)
		write(t, daemonConf, "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_group = \"games\"\nunix_sock_rw_perms = \"0770\"\nunix_sock_ro_perms = \"0777\"\n")
		d := startVirbrd(t)
		info, err := os.Stat(socketRW)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 0 || stat.Gid != games.gid || info.Mode().Perm() != 0o770 {
			t.Errorf("%s belongs to %d:%d, mode %v", socketRW, stat.Uid, stat.Gid, info.Mode())
		}
		d.answers(games, "Active:         no", "net-info", define(t, d, "one"))
		d.answers(games, "Network one started", "net-start", "one")
		d.answers(nobody, "Permission denied", "net-list")
		d.answers(nobody, "one", "-r", "net-list", "--name")
	})
}

// TestSocketDefaults: without polkit and configuration root alone may connect.
func TestSocketDefaults(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		needAccounts(t)
		if _, err := os.Stat(actionsDir + "/org.libvirt.unix.policy"); err == nil {
			mountFiles(t, actionsDir, nil) // as if libvirt's actions were not installed
		}
		d := startVirbrd(t)
		d.answers(nobody, "Permission denied", "net-list")
		d.answers(nobody, "Permission denied", "-r", "net-list")
	})
}

func define(t *testing.T, d *daemon, name string) string {
	t.Helper()
	path := t.TempDir() + "/" + name + ".xml"
	write(t, path, "<network><name>"+name+"</name><forward mode='bridge'/><bridge name='br-"+name+"'/></network>")
	d.virsh("net-define", path)
	return name
}

// TestReadOnly: nothing that changes something is done for the read-only
// socket, or for who opened read-only; what only looks is.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", natXML)
		boss := dial(t, socketRW, 0)
		net := boss.lookup("default")
		boss.must(proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, XML: quietPort}, nil)
		port := proto.Port{Network: net, UUID: [16]byte{0x11, 0x11, 0x11, 0x11, 6: 0x40, 8: 0x80, 15: 1}}
		files := func() map[string]string {
			all := netnstest.Snapshot(t)
			for _, name := range []string{"/etc/libvirt/qemu/networks/default.xml", "/run/libvirt/network/default.xml"} {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				all[name] = string(text)
			}
			all["list"] = d.virsh("net-list", "--all") + d.virsh("net-port-list", "default") + d.virsh("net-dumpxml", "default")
			return all
		}
		before := files()
		for name, c := range map[string]*client{"socket": dial(t, socketRO, 0), "open": dial(t, socketRW, proto.OpenReadOnly)} {
			for api, call := range changes(net, port) {
				c.refused(call.procedure, call.args, 29, 19, "operation forbidden: read only access prevents "+api)
			}
			c.must(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: net}, nil)
			c.must(proto.NetworkPortGetXMLDesc, &proto.PortFlags{Port: port}, nil)
			c.must(proto.ConnectSetIdentity, &proto.IdentityArgs{}, nil)
			if diff := cmp.Diff(before, files()); diff != "" {
				t.Errorf("read-only %s changed (-before +after):\n%s", name, diff)
			}
		}
	})
}

type change struct {
	procedure int32
	args      wire.Message
}

// changes are all calls that change something, by the function that is
// forbidden; each would succeed.
func changes(net proto.Network, port proto.Port) map[string]change {
	title := pointer("changed")
	return map[string]change{
		"virNetworkCreate":            {proto.NetworkCreate, &net},
		"virNetworkCreateXML":         {proto.NetworkCreateXML, &proto.String{Value: quietXML}},
		"virNetworkCreateXMLFlags":    {proto.NetworkCreateXMLFlags, &proto.XMLArgs{XML: quietXML}},
		"virNetworkDefineXML":         {proto.NetworkDefineXML, &proto.String{Value: quietXML}},
		"virNetworkDefineXMLFlags":    {proto.NetworkDefineXMLFlags, &proto.XMLArgs{XML: quietXML}},
		"virNetworkDestroy":           {proto.NetworkDestroy, &net},
		"virNetworkUndefine":          {proto.NetworkUndefine, &net},
		"virNetworkSetAutostart":      {proto.NetworkSetAutostart, &proto.AutostartArgs{Network: net, Autostart: 1}},
		"virNetworkUpdate":            {proto.NetworkUpdate, &proto.UpdateArgs{Network: net, Command: 3, Section: 9, ParentIndex: -1, XML: "<portgroup name='g'/>", Flags: 3}},
		"virNetworkSetMetadata":       {proto.NetworkSetMetadata, &proto.SetMetadataArgs{Network: net, Type: 1, Metadata: title, Flags: 3}},
		"virNetworkPortCreateXML":     {proto.NetworkPortCreateXML, &proto.PortXMLArgs{Network: net, XML: strings.ReplaceAll(quietPort, "1111-0000", "2222-0000")}},
		"virNetworkPortSetParameters": {proto.NetworkPortSetParameters, &proto.SetParamsArgs{Port: port, Params: []wire.Param{{Field: "outbound.average", Type: wire.ParamUint, Number: 9}}}},
		"virNetworkPortDelete":        {proto.NetworkPortDelete, &proto.PortFlags{Port: port}},
	}
}
