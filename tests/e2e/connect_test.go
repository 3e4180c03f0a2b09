package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// elsewhere is a host that ssh reaches. It is the test's own: what is run from afar has
// an empty /run/libvirt, so that nothing but ssh leads to the daemon.
type elsewhere struct {
	t       *testing.T
	dir     string
	command string // the ssh program, with a configuration of its own
	key     string
}

// newElsewhere starts two sshds: one by which virt-ssh-helper is found, and one by which
// there is only netcat.
func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	netnstest.NeedUsers(t)
	netnstest.NeedProgram(t, "/usr/sbin/sshd", "ssh", "ssh-keygen", "nc", "virt-ssh-helper", "unshare")
	e := &elsewhere{t: t, dir: t.TempDir()}
	e.command, e.key = filepath.Join(e.dir, "ssh"), filepath.Join(e.dir, "key")
	for _, key := range []string{e.key, filepath.Join(e.dir, "hostkey")} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	write(t, e.command, "#!/bin/sh\nexec ssh -F none -o UserKnownHostsFile="+e.dir+"/known \"$@\"\n")
	if err := os.Chmod(e.command, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(e.dir, "bin")
	if err := os.Mkdir(bare, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"sh", "nc", "grep"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bare, program)); err != nil {
			t.Fatal(err)
		}
	}
	e.sshd("22", "")
	e.sshd("2200", "SetEnv PATH="+bare)
	return e
}

// sshd serves on a port of the loopback interface.
func (e *elsewhere) sshd(port, more string) {
	e.t.Helper()
	conf := filepath.Join(e.dir, "sshd"+port)
	write(e.t, conf, fmt.Sprintf(`Port %s
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey %[2]s/hostkey
AuthorizedKeysFile %[2]s/key.pub
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
PidFile none
%s
`, port, e.dir, more))
	var log bytes.Buffer
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", conf)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if e.t.Failed() {
			e.t.Logf("sshd:\n%s", &log)
		}
	})
	netnstest.Wait(e.t, "sshd listens", func() error {
		return exec.Command("nc", "-z", "127.0.0.1", port).Run()
	})
}

// uri is one of that host, with a key and a command that use no file of root's.
func (e *elsewhere) uri(begin, more string) string {
	return begin + "/system?no_verify=1&no_tty=1&keyfile=" + e.key + "&command=" + e.command + more
}

// run runs a program that sees no daemon of its own.
func (e *elsewhere) run(env []string, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	hide := `mount -t tmpfs none /run/libvirt && exec "$@"`
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"-m", "sh", "-c", hide, "sh", program}, args...)...)
	cmd.Env = append(os.Environ(), append(env, "LC_ALL=C")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestConnect: virbr takes libvirt's connection URIs, and gets to the daemon of another
// host by ssh where virsh does, by virt-ssh-helper and by netcat.
func TestConnect(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		e := newElsewhere(t)
		d := startVirbrd(t)
		d.up("default", seenNAT)
		const socket = "&socket=/run/libvirt/virtnetworkd-sock"
		for name, uri := range map[string]string{
			"helper":             e.uri("qemu+ssh://root@127.0.0.1", ""),
			"IPv6":               e.uri("network+ssh://root@[::1]:22", ""),
			"native":             e.uri("network+ssh://root@localhost", "&proxy=native"),
			"no helper is there": e.uri("network+ssh://root@localhost:2200", "&mode=direct"),
			"netcat":             e.uri("network+ssh://root@localhost", "&proxy=netcat&netcat=/usr/bin/nc"+socket),
		} {
			if out, err := e.run(nil, bin("virbr"), "-c", uri, "status", "--json"); err != nil || !strings.Contains(out, `"name": "default"`) {
				t.Errorf("%s: %v: %s", name, err, out)
			}
			if name == "no helper is there" {
				uri += socket // virsh asks libvirtd alone by netcat
			}
			if strings.HasPrefix(uri, "qemu") {
				continue // to virsh that is the daemon that runs guests
			}
			if out, err := e.run(nil, "virsh", "-c", uri, "net-list", "--name"); err != nil || !strings.Contains(out, "default") {
				t.Errorf("virsh: %s: %v: %s", name, err, out)
			}
		}
		e.change(d)
		e.defaults()
		e.refused()
	})
}

// change changes a network from afar, and waits for an event.
func (e *elsewhere) change(d *daemon) {
	e.t.Helper()
	uri := e.uri("network+ssh://root@localhost", "")
	if out, err := e.run(nil, bin("virbr"), "forward", "-c", uri, "add", "default", "9090:90", "192.168.122.9"); err != nil {
		e.t.Errorf("%v: %s", err, out)
	}
	if out := d.virsh("net-dumpxml", "default"); !strings.Contains(out, "9090") {
		e.t.Errorf("the network is\n%s", out)
	}
	if out, err := e.run(nil, bin("virbr"), "-c", uri, "trace", "web1", "192.0.2.1"); err == nil || !strings.Contains(out, "ssh -t root@localhost sudo virbr trace") {
		e.t.Errorf("trace from afar: %v: %s", err, out)
	}
}

// defaults: aliases, LIBVIRT_DEFAULT_URI before uri_default, and what is written first.
func (e *elsewhere) defaults() {
	e.t.Helper()
	there := e.uri("qemu+ssh://root@localhost", "")
	write(e.t, "/etc/libvirt/libvirt.conf", "uri_aliases = [ \"there="+there+"\" ]\nuri_default = \"qemu:///session\"\n")
	defer func() { _ = os.Remove("/etc/libvirt/libvirt.conf") }()
	for name, c := range map[string]struct {
		env  []string
		args []string
		ok   bool
	}{
		"an alias":            {args: []string{"-c", "there"}, ok: true},
		"LIBVIRT_DEFAULT_URI": {env: []string{"LIBVIRT_DEFAULT_URI=" + there}, ok: true},
		"of an alias":         {env: []string{"LIBVIRT_DEFAULT_URI=there"}, ok: true},
		"uri_default":         {},
		"this host":           {args: []string{"-c", "qemu+unix:///system"}},
	} {
		out, err := e.run(c.env, bin("virbr"), append(c.args, "forward", "list")...)
		if (err == nil) != c.ok || c.ok && !strings.Contains(out, "9090") {
			e.t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// refused: nothing in a URI is a command, and what fails says why.
func (e *elsewhere) refused() {
	e.t.Helper()
	spoiled := filepath.Join(e.dir, "spoiled")
	for uri, why := range map[string]string{
		e.uri("qemu+ssh://-oProxyCommand=touch", ""):                                                 "not the name or address of a host",
		e.uri("qemu+ssh://a;touch@localhost", ""):                                                    "not the name of a user",
		e.uri("qemu+ssh://root@localhost", "&netcat=nc%27%3Btouch%20"+spoiled+"%3B%27"):              "no daemon answers",
		e.uri("qemu+ssh://root@localhost", "&proxy=netcat&socket=/x%27%3Btouch%20"+spoiled+"%3B%27"): "no daemon answers",
		e.uri("qemu+ssh://root@localhost", "&socket=/x%24(touch%20"+spoiled+")"):                     "no daemon answers",
		e.uri("qemu+ssh://root@localhost", "&socket=/x%5C%27"):                                       "a backslash",
		e.uri("qemu+ssh://root@localhost", "&mode=legacy"):                                           "no daemon answers",
		e.uri("qemu+ssh://root@localhost:2200", "&proxy=native"):                                     "virt-ssh-helper",
		e.uri("qemu+ssh://root@localhost:1", ""):                                                     "Connection refused",
		strings.Replace(e.uri("qemu+ssh://root@localhost", ""), e.key, e.key+"x", 1):                 "Permission denied",
	} {
		out, err := e.run(nil, bin("virbr"), "-c", uri, "status")
		if err == nil || !strings.Contains(out, why) {
			e.t.Errorf("%s\nis not refused because of %q, but: %v: %s", uri, why, err, out)
		}
	}
	if _, err := os.Stat(spoiled); err == nil {
		e.t.Error("a shell ran what stands in a URI")
	}
}
