package systems

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// cache is where tests/install-systems makes the systems.
const cache = "../.cache/systems"

// patience bounds a script in a machine that hangs; it measures nothing.
const patience = 15 * time.Minute

// A machine is a Debian in QEMU. What it writes is lost with it; it may be
// rebooted, also without warning.
type machine struct {
	suite   string
	monitor *bufio.ReadWriter // of QEMU (docs/interop/qmp-spec.txt of QEMU)
	port    net.Conn          // to tests/systems/agent in the machine
	lines   *bufio.Reader     // of port
	console binaries.Log      // what the kernel and systemd print
}

// boot starts a suite's machine with files at hand in /payload there, and
// returns when it has booted.
func boot(t *testing.T, suite string, payload map[string]string) *machine {
	t.Helper()
	image := filepath.Join(cache, suite+".img")
	if _, err := os.Stat(image); err != nil {
		netnstest.Need(t, fmt.Sprintf("needs Debian %s with systemd: %v; run tests/install-systems as root", suite, err))
	}
	netnstest.NeedProgram(t, "qemu-system-x86_64")
	dir := t.TempDir()
	pack(t, filepath.Join(dir, "payload"), payload)
	m := &machine{suite: suite}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
		"-nodefaults", "-nographic", "-serial", "stdio",
		"-kernel", filepath.Join(cache, suite+".vmlinuz"), "-initrd", filepath.Join(cache, suite+".initrd"),
		"-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0",
		"-drive", "if=virtio,format=raw,snapshot=on,file="+image,
		"-drive", "if=virtio,format=raw,readonly=on,file="+filepath.Join(dir, "payload"),
		"-device", "virtio-serial", "-chardev", "socket,id=test,server=on,wait=off,path="+filepath.Join(dir, "port"),
		"-device", "virtserialport,chardev=test,name=test",
		"-qmp", "unix:"+filepath.Join(dir, "monitor")+",server=on,wait=off")
	cmd.Stdout, cmd.Stderr = &m.console, &m.console
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting QEMU: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("console of %s:\n%s", suite, &m.console)
		}
	})
	m.port = dial(t, filepath.Join(dir, "port"))
	m.lines = bufio.NewReader(m.port)
	monitor := dial(t, filepath.Join(dir, "monitor"))
	m.monitor = bufio.NewReadWriter(bufio.NewReader(monitor), bufio.NewWriter(monitor))
	m.command(t, "qmp_capabilities")
	m.booted(t)
	m.sh(t, "mkdir /payload && tar -x -f /dev/vdb -C /payload")
	return m
}

// pack writes a tar archive of files by their names.
func pack(t *testing.T, to string, files map[string]string) {
	t.Helper()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	w := tar.NewWriter(out)
	for name, from := range files {
		if err := add(w, name, from); err != nil {
			t.Fatalf("packing %s: %v", from, err)
		}
	}
	if err := errors.Join(w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

func add(w *tar.Writer, name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, ModTime: info.ModTime(), Mode: int64(info.Mode().Perm()), Size: int64(len(data))}); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// dial connects to a socket of QEMU's once it is there.
func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	var conn net.Conn
	netnstest.Wait(t, "QEMU listens on "+filepath.Base(path), func() error {
		var err error
		conn, err = net.Dial("unix", path)
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// command has QEMU do something.
func (m *machine) command(t *testing.T, name string) {
	t.Helper()
	_, err := fmt.Fprintf(m.monitor, "{\"execute\": %q}\n", name)
	if err = errors.Join(err, m.monitor.Flush()); err != nil {
		t.Fatalf("telling QEMU %s: %v", name, err)
	}
	for {
		line, err := m.monitor.ReadString('\n')
		if err != nil || strings.Contains(line, `"error"`) {
			t.Fatalf("QEMU's answer to %s: %v %s", name, err, line)
		}
		if strings.Contains(line, `"return"`) {
			return
		}
	}
}

// booted waits for the agent of a system that boots.
func (m *machine) booted(t *testing.T) {
	t.Helper()
	_ = m.port.SetReadDeadline(time.Now().Add(patience))
	for {
		line, err := m.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %s to boot: %v", m.suite, err)
		}
		if strings.TrimSpace(line) == "ready" {
			return
		}
	}
}

// try runs a script with bash in the machine, and returns what it printed and
// its exit status.
func (m *machine) try(t *testing.T, script string) (string, int) {
	t.Helper()
	_ = m.port.SetDeadline(time.Now().Add(patience))
	line := "ready\n"
	for line == "ready\n" { // an agent that begins anew has lost what was sent
		_, err := fmt.Fprintf(m.port, "%d\n%s", len(script), script)
		if err == nil {
			line, err = m.lines.ReadString('\n')
		}
		if err != nil {
			t.Fatalf("waiting for %s to run the following: %v\n%s", m.suite, err, script)
		}
	}
	var status, length int
	if _, err := fmt.Sscanf(line, "%d %d\n", &status, &length); err != nil {
		t.Fatalf("%s answers %q: %v", m.suite, line, err)
	}
	out := make([]byte, length)
	if _, err := io.ReadFull(m.lines, out); err != nil {
		t.Fatalf("reading what %s printed: %v", m.suite, err)
	}
	return string(out), status
}

// sh runs a script that must succeed, each command of it.
func (m *machine) sh(t *testing.T, script string) string {
	t.Helper()
	out, status := m.try(t, "set -e -o pipefail\n"+script)
	if status != 0 {
		state, _ := m.try(t, "virsh list --all; virsh net-list --all; tail -n 5 /var/log/libvirt/guest.log; journalctl -b --no-pager -n 60 -u libvirtd -u virbrd -u libvirt-guests")
		t.Fatalf("on %s, exit status %d of\n%s\n\nwhich printed\n%s\nThere is\n%s", m.suite, status, script, out, state)
	}
	return out
}

// reboot boots the system again as an administrator does.
func (m *machine) reboot(t *testing.T) {
	t.Helper()
	m.sh(t, "systemctl --no-block reboot")
	m.booted(t)
}

// reset is the button: nothing is shut down or written back.
func (m *machine) reset(t *testing.T) {
	t.Helper()
	m.command(t, "system_reset")
	m.booted(t)
}
