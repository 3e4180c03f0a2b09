package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/tests/qemutest"
)

// A machine is a virtual machine with Debian's kernel that Debian's stock QEMU
// driver runs, in a process of its own (virt-qemu-run). That talks to virbrd on
// /run/libvirt/virtnetworkd-sock, as virtqemud would.
type machine struct {
	name    string
	doc     string        // file of its XML
	console string        // file with what it prints
	root    string        // of the driver's files
	done    chan struct{} // closed when virt-qemu-run has ended
	err     error         // how it did, once done
}

const domainXML = `<domain type='qemu'>
  <name>%s</name>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>%s</kernel>
    <initrd>%s</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
%s
    <serial type='file'><source path='%s'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
`

// qemuConf has the driver do without what a container may lack: accounts,
// cgroups, mount namespaces, virtlogd.
const qemuConf = `user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
`

// configure is what a machine's udhcpc does with a lease.
const configure = "#!/bin/sh\n" + `case "$1" in bound|renew)
ip addr replace "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "$router"
;; esac
`

// serve is the end of a machine's init: whoever reaches it may run commands.
const serve = "echo ready\nnc -ll -p 7 -e sh\n"

// newMachine makes all that a machine needs: it has the given <interface>
// elements, and its init runs a script and then serves.
func newMachine(t *testing.T, name, interfaces, script string) *machine {
	t.Helper()
	return newMachineWith(t, name, interfaces, qemutest.Guest{Init: script})
}

// newMachineWith is newMachine with more modules and programs than that needs.
func newMachineWith(t *testing.T, name, interfaces string, inside qemutest.Guest) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{name: name, doc: filepath.Join(dir, name+".xml"), console: filepath.Join(dir, "console")}
	initramfs := filepath.Join(dir, "initramfs")
	inside.Modules = append([]string{"virtio_pci", "virtio_net", "af_packet"}, inside.Modules...)
	inside.Files = map[string]string{"/etc/udhcpc": configure}
	inside.Init = "chmod +x /etc/udhcpc\n" + inside.Init + serve
	kernel := qemutest.Build(t, inside, initramfs)
	write(t, m.doc, fmt.Sprintf(domainXML, name, kernel, initramfs, interfaces, m.console))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of machine %s:\n%s", name, m.printed())
		}
	})
	return m
}

// boot runs the machine. Known of virt-qemu-run 9.0: after the machine's end it
// sits there until it gets a signal, and it crashes where a macvtap is to be
// taken down.
func (m *machine) boot(t *testing.T) {
	t.Helper()
	netnstest.NeedProgram(t, "virt-qemu-run")
	if err := libvirttest.Accounts(); err != nil {
		t.Fatal(err)
	}
	m.root, m.done = t.TempDir(), make(chan struct{})
	write(t, filepath.Join(m.root, "etc", "qemu.conf"), qemuConf)
	var log binaries.Log
	cmd := exec.Command("virt-qemu-run", "-v", "-r", m.root, m.doc)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+emulators(t))
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second // QEMU may hold the pipe
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting virt-qemu-run: %v", err)
	}
	go func() { m.err = cmd.Wait(); close(m.done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-m.done
		if t.Failed() {
			t.Logf("virt-qemu-run (%v):\n%s", m.err, &log)
		}
	})
}

// emulators returns a PATH with one emulator and what the driver runs besides:
// it asks each emulator that it finds for its abilities before all else, which
// takes seconds.
func emulators(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"qemu-system-x86_64", "tc"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// printed returns what the machine has printed so far.
func (m *machine) printed() string {
	text, _ := os.ReadFile(m.console)
	return strings.ReplaceAll("\n"+string(text), "\r", "")
}

// waitReady waits until the machine serves.
func (m *machine) waitReady(t *testing.T) {
	t.Helper()
	netnstest.Wait(t, "machine "+m.name+" is ready", func() error {
		select {
		case <-m.done:
			t.Fatalf("virt-qemu-run ended: %v", m.err)
		default:
		}
		if !strings.Contains(m.printed(), "\nready\n") {
			return errors.New("it is not")
		}
		return nil
	})
}

// dial reaches the machine's shell from a neighbour, once that listens.
func (m *machine) dial(t *testing.T, from *netnstest.Guest, at string) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	netnstest.Wait(t, "machine "+m.name+" is reached", func() error {
		return from.Do(func() (err error) {
			conn, err = net.DialTimeout("tcp", net.JoinHostPort(at, "7"), patience)
			return err
		})
	})
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// sh runs commands in the machine and returns what they print.
func (m *machine) sh(t *testing.T, from *netnstest.Guest, at, commands string) string {
	t.Helper()
	conn := m.dial(t, from, at)
	_, err := io.WriteString(conn, "exec 2>&1\n"+commands+"\n")
	if err == nil {
		err = conn.CloseWrite()
	}
	out, readErr := io.ReadAll(conn)
	if err = errors.Join(err, readErr); err != nil {
		t.Fatalf("running %q in machine %s: %v\n%s", commands, m.name, err, out)
	}
	return string(out)
}

// off turns the machine off from inside.
func (m *machine) off(t *testing.T, from *netnstest.Guest, at string) {
	t.Helper()
	if _, err := io.WriteString(m.dial(t, from, at), "poweroff -f\n"); err != nil {
		t.Fatalf("turning machine %s off: %v", m.name, err)
	}
}

// killQEMU ends the machine's process as the OOM killer would.
func (m *machine) killQEMU(t *testing.T) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(m.root, "run", "qemu", m.name+".pid"))))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("killing QEMU of machine %s: %v", m.name, err)
	}
}
