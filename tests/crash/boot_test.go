//go:build libvirt_dlopen

package crash

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// arrival is a start of virbrd that has something to do.
type arrival struct {
	*lab
	name  string
	reset func() // ends the daemon and makes the host as it was before the start
	after state  // what the start leads to
}

// TestKillAutostart kills virbrd at each call of the first start since boot, which
// starts networks. The next start goes on with that.
func TestKillAutostart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		op := &operation{name: "boot", before: []step{defineRich(), startRich(), autostart(true), stopRich()}, do: startRich(), undo: stopRich()}
		a := &arrival{lab: newLab(t, op), name: "autostart"}
		a.must(startRich(), "as the daemon would")
		a.after = rest(t)
		a.reset = func() {
			a.t.Helper()
			a.must(stopRich(), "before a boot")
			a.d.stop()
			if err := os.Remove("/run/libvirt/network/autostarted"); err != nil {
				a.t.Fatal(err)
			}
		}
		a.killAll(4)
		a.must(stopRich(), "in the end")
		a.end()
	})
}

// TestKillStart kills virbrd at each call of a start that finds networks running.
func TestKillStart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		op := &operation{name: "restart", before: pluggedRich, do: plugOut(), undo: plugIn(), guest: true}
		a := &arrival{lab: newLab(t, op), name: "restart"}
		a.after = a.before
		a.reset = func() { a.d.stop() }
		a.killAll(4)
		a.end()
	})
}

// TestKillReload kills virbrd at each call of a reload (SIGHUP) that finds a new
// definition.
func TestKillReload(t *testing.T) {
	t.Parallel()
	const file = "/etc/libvirt/qemu/networks/rich.xml"
	reload := func(d *daemon) error {
		write(d.t, file, rich)
		if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		var err error
		for !d.ended() {
			if err = d.with("rich", func(*libvirt.Network) error { return nil }); err == nil {
				return nil
			}
			pause(d.t)
		}
		return err
	}
	netnstest.Run(t, func(t *testing.T) {
		l := newLab(t, &operation{name: "reload", do: reload, undo: undefine()})
		for _, at := range points(t, l.count(), 3) {
			l.kill(at)
		}
		l.end()
	})
}

// killAll kills the daemon at some calls of its start.
func (a *arrival) killAll(some int) {
	a.t.Helper()
	a.reset()
	a.d = a.launch(faulttest.Fault{})
	n := len(a.d.Calls())
	a.d.Set(faulttest.Fault{})
	for _, at := range points(a.t, n, some) {
		a.reset()
		a.d = a.launch(faulttest.Fault{At: at})
		if !a.d.Hit() { // it came by with fewer calls this time
			a.d.Set(faulttest.Fault{})
			continue
		}
		calls := a.d.Calls()
		when := fmt.Sprintf("%s, killed at call %d, %s", a.name, at, calls[len(calls)-1])
		earlier := a.d.log.String()
		a.d = start(a.t)
		if _, err := settles(a.t, a.after); err != nil {
			a.t.Fatalf("%s: %v\nlog of the killed:\n%s\nlog of the next:\n%s", when, err, tail(earlier), tail(a.d.log.String()))
		}
	}
}

// launch starts a daemon, and waits until it has done its work, or has ended.
func (a *arrival) launch(f faulttest.Fault) *daemon {
	a.t.Helper()
	d := launch(a.t, f)
	if !d.connect() {
		return d
	}
	_, err := settlesBy(a.t, func() state {
		if d.ended() {
			return a.after
		}
		return look(a.t)
	}, a.after)
	if err != nil {
		a.t.Fatalf("%s: %v\nlog of virbrd:\n%s", a.name, err, d.log)
	}
	if d.Hit() {
		<-d.done
		d.close()
	}
	return d
}
