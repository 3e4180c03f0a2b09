//go:build libvirt_dlopen

package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// uri reaches virbrd in its usual place.
const uri = "network:///system?mode=direct"

// daemon is a running virbrd whose calls are counted, and a connection to it.
type daemon struct {
	*faulttest.Program
	t    *testing.T
	log  *binaries.Log
	done chan struct{} // closed when the process has ended
	conn *libvirt.Connect
}

// launch starts virbrd with a fault, in its usual places, which are private to the
// test.
func launch(t *testing.T, f faulttest.Fault, args ...string) *daemon {
	t.Helper()
	return launchOf(t, bin("virbrd"), f, args...)
}

// launchOf starts a virbrd of some version.
func launchOf(t *testing.T, path string, f faulttest.Fault, args ...string) *daemon {
	t.Helper()
	cmd := exec.Command(path, append([]string{"--log-level=debug"}, args...)...)
	d := &daemon{t: t, log: &binaries.Log{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = d.log, d.log
	d.Program = faulttest.Start(t, cmd, f)
	go func() { _ = cmd.Wait(); close(d.done) }()
	t.Cleanup(d.kill)
	return d
}

// launchPlain starts virbrd with more arguments, which may make it end at once.
func launchPlain(t *testing.T, args ...string) *daemon {
	t.Helper()
	return launch(t, faulttest.Fault{}, args...)
}

// start starts virbrd and connects to it.
func start(t *testing.T) *daemon {
	t.Helper()
	d := launchPlain(t)
	if !d.connect() {
		t.Fatalf("virbrd ended at once:\n%s", d.log)
	}
	return d
}

// connect waits until the daemon answers, and reports whether it does: not if it
// has ended.
func (d *daemon) connect() (answers bool) {
	d.t.Helper()
	netnstest.Wait(d.t, "virbrd answers", func() (err error) {
		if d.ended() {
			return nil
		}
		d.conn, err = libvirt.NewConnect(uri)
		answers = err == nil
		return err
	})
	return answers
}

// ended reports whether the process has ended.
func (d *daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// stop ends the daemon as systemd would. Networks go on.
func (d *daemon) stop() {
	d.close()
	_ = d.Cmd.Process.Signal(syscall.SIGTERM)
	<-d.done
}

func (d *daemon) close() {
	if d.conn != nil {
		_, _ = d.conn.Close()
		d.conn = nil
	}
}

// kill ends the daemon as a crash would.
func (d *daemon) kill() {
	d.close()
	_ = d.Cmd.Process.Kill()
	<-d.done
}

// panicked reports whether the daemon ended by an error of its own.
func (d *daemon) panicked() bool {
	return strings.Contains(d.log.String(), "panic:") || strings.Contains(d.log.String(), "fatal error:")
}

// network returns a network of the daemon.
func (d *daemon) network(name string) (*libvirt.Network, error) {
	return d.conn.LookupNetworkByName(name)
}

// with calls do with a network of the daemon.
func (d *daemon) with(name string, do func(*libvirt.Network) error) error {
	n, err := d.network(name)
	if err != nil {
		return err
	}
	defer n.Free() //nolint:errcheck // a reference of the client
	return do(n)
}

// define defines a network.
func (d *daemon) define(doc string) error {
	n, err := d.conn.NetworkDefineXML(doc)
	if err != nil {
		return err
	}
	return n.Free()
}

// up defines a network and starts it.
func (d *daemon) up(name, doc string) {
	d.t.Helper()
	err := d.define(doc)
	if err == nil {
		err = d.with(name, (*libvirt.Network).Create)
	}
	if err != nil {
		d.t.Fatalf("network %q: %v", name, err)
	}
}

// run runs a program that must succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
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
