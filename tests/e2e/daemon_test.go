package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/libvirttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// A daemon is a running virbrd or libvirtd that virsh can talk to.
type daemon struct {
	t    *testing.T
	uri  string
	env  []string // more of its environment
	cmd  *exec.Cmd
	log  *binaries.Log
	done chan struct{} // closed when the process has ended
}

// startVirbrd starts virbrd in its usual places, which are private to the
// test, and waits until virsh reaches it.
func startVirbrd(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, uri: "network:///system?mode=direct"}
	d.start(bin("virbrd"), args...)
	return d
}

// startLibvirtd starts Debian's libvirtd, whose own network driver then serves.
func startLibvirtd(t *testing.T) *daemon {
	t.Helper()
	netnstest.NeedProgram(t, "libvirtd")
	if err := libvirttest.Prepare(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, uri: "network:///system?mode=legacy"}
	d.start("libvirtd")
	return d
}

func (d *daemon) start(name string, args ...string) {
	d.t.Helper()
	d.log, d.done = &binaries.Log{}, make(chan struct{})
	d.cmd = exec.Command(name, args...)
	d.cmd.Env = append(os.Environ(), d.env...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatalf("starting %s: %v", name, err)
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	d.t.Cleanup(d.kill)
	netnstest.Wait(d.t, name+" answers virsh", func() error {
		select {
		case <-d.done:
			d.t.Fatalf("%s ended at once:\n%s", name, d.log)
		default:
		}
		_, err := d.try("uri")
		return err
	})
}

// stop ends the daemon as systemd would and waits for it.
func (d *daemon) stop() {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.done
}

// kill ends the daemon as a crash would.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
	if d.t.Failed() {
		d.t.Logf("log of %s:\n%s", d.cmd.Path, d.log)
	}
}

// patience bounds a call that never ends; it measures nothing.
const patience = time.Minute

// try runs one virsh command; the error holds what virsh says.
func (d *daemon) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "virsh", append([]string{"-c", d.uri}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("virsh %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// virsh runs one virsh command that must succeed.
func (d *daemon) virsh(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// up defines and starts a network from its XML.
func (d *daemon) up(name, xml string) {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name+".xml")
	write(d.t, path, xml)
	d.virsh("net-define", path)
	d.virsh("net-start", name)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
