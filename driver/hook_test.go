package driver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/tests/netnstest"
)

// What scripts get from a start and a stop: arguments, and the live document
// as it is at that moment.
func TestHooksOfARun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	r.script("network", `{ echo "$*"; cat; echo; } >>`+out)
	r.open()
	ref := r.define(natNet("default", 0))
	r.start(ref)
	if status := r.read(filepath.Join(r.dirs.State, "default.xml")); !strings.Contains(status, "\n  <taint flag='hook-script'/>\n") {
		t.Errorf("the status file does not tell that a script ran:\n%s", status)
	}
	r.destroy(ref)
	document := func(ports string) string {
		return `<hookData>
  <network>
    <name>default</name>
    <uuid>aa000000-0000-4000-8000-000000000000</uuid>
    <forward mode='nat'` + ports + `
    <bridge name='virbr0' stp='on' delay='0'/>
    <mac address='52:54:00:00:00:00'/>
    <bandwidth>
      <inbound average='1000'/>
    </bandwidth>
    <ip address='192.168.0.1' netmask='255.255.255.0'>
      <dhcp>
        <range start='192.168.0.2' end='192.168.0.254'/>
        <host mac='52:54:00:aa:bb:cc' name='web1' ip='192.168.0.10'/>
      </dhcp>
    </ip>
  </network>
</hookData>
`
	}
	full := `>
      <nat>
        <port start='1024' end='65535'/>
      </nat>
    </forward>`
	want := "default start begin -\n" + document("/>") +
		"default started begin -\n" + document(full) +
		"default stopped end -\n" + document(full)
	if diff := cmp.Diff(want, r.read(out)); diff != "" {
		t.Errorf("what scripts saw (-want +got):\n%s", diff)
	}
}

func TestFailingHookStopsTheStart(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"start", "started"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			out := filepath.Join(r.dir, "out")
			r.script("network", `echo "$2" >>`+out+`; if [ "$2" = `+op+` ]; then echo not today >&2; exit 7; fi`)
			r.open()
			before := r.host.State()
			ref := r.define(natNet("default", 0))
			err := r.d.Start(t.Context(), ref)
			kind, msg := kindOf(err)
			if kind != driver.KindHook || !strings.HasPrefix(msg, "internal error: Child process (LC_ALL=C ") ||
				!strings.HasSuffix(msg, filepath.Join(r.dirs.Hooks, "network")+" default "+op+" begin -) unexpected exit status 7: not today\n") {
				t.Errorf("error kind %d %q", kind, msg)
			}
			if r.active(ref) {
				t.Error("active")
			}
			if diff := cmp.Diff(before, r.host.State()); diff != "" {
				t.Errorf("host (-before +after):\n%s", diff)
			}
			ops := strings.Fields(r.read(out))
			want := map[string]string{"start": "start stopped", "started": "start started stopped"}[op]
			if got := strings.Join(ops, " "); got != want {
				t.Errorf("scripts ran for %q, want %q", got, want)
			}
		})
	}
}

func TestFailingStoppedHookCountsForNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script("network", `[ "$2" != stopped ]`)
	r.open()
	ref := r.define(natNet("default", 0))
	r.start(ref)
	r.destroy(ref)
	if r.active(ref) {
		t.Error("still active")
	}
}

// A script may ask about the network that it runs for. The script here waits
// until the test has read and listed while the start hangs in it.
func TestReadingWhileAHookRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fifo := filepath.Join(r.dir, "fifo")
	mkfifo(t, fifo)
	r.script("network", `[ "$2" != start ] || { echo here >`+fifo+`; cat <`+fifo+`.2; }`)
	mkfifo(t, fifo+".2")
	r.open()
	ref := r.define(natNet("default", 0))
	done := make(chan error, 1)
	go func() { done <- r.d.Start(t.Context(), ref) }()
	r.read(fifo) // returns when the script runs
	if r.active(ref) {
		t.Error("active before its start is over")
	}
	if got := r.xml(ref, false); !strings.Contains(got, "<name>default</name>") {
		t.Errorf("XML: %s", got)
	}
	if refs, err := r.d.List(t.Context(), 0); len(refs) != 1 || err != nil {
		t.Errorf("List: %v, %v", refs, err)
	}
	if name, err := r.d.BridgeName(t.Context(), ref); name != "virbr0" || err != nil {
		t.Errorf("BridgeName: %q, %v", name, err)
	}
	other := r.define(natNet("other", 1))
	if other.Name != "other" {
		t.Error("another network cannot be defined")
	}
	r.write(fifo+".2", "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestWaitingForAScript: who waits for a network that waits for a script hears of it.
func TestWaitingForAScript(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fifo := filepath.Join(r.dir, "fifo")
	mkfifo(t, fifo)
	mkfifo(t, fifo+".2")
	r.script("network", `[ "$2" != start ] || { echo here >`+fifo+`; cat <`+fifo+`.2; }`)
	cfg := r.config()
	cfg.Patience = 1 // nanosecond
	r.d = driver.New(cfg)
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref := r.define(natNet("default", 0))
	done := make(chan error, 1)
	go func() { done <- r.d.Start(t.Context(), ref) }()
	r.read(fifo) // returns when the script runs
	kind, msg := kindOf(r.d.Destroy(t.Context(), ref))
	if kind != driver.KindOperationTimeout || !strings.Contains(msg, "it is held by starting, in a hook script, for") {
		t.Errorf("got kind %d %q", kind, msg)
	}
	r.write(fifo+".2", "")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestNothingBeginsAtTheEnd: who waits for another change of a network waits no longer
// when the daemon is to end; what was begun is finished.
func TestNothingBeginsAtTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stopping := make(chan struct{})
	cfg := r.config()
	cfg.Stopping = stopping
	r.d = driver.New(cfg)
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref := r.define(natNet("default", 0))
	g := newGate(r, "dnsmasq start")
	done := make(chan error, 1)
	go func() { done <- r.d.Start(t.Context(), ref) }()
	<-g.reached
	close(stopping)
	wantKind(t, r.d.Destroy(t.Context(), ref), driver.KindOperationFailed, "cannot begin stopping network 'default': virbrd is stopping")
	close(g.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestHungScriptsAtBoot: scripts that do not return keep a daemon that begins from
// nothing else: it serves, and starts whatever else has autostart.
func TestHungScriptsAtBoot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fifo, ran, hang := filepath.Join(r.dir, "fifo"), filepath.Join(r.dir, "ran"), filepath.Join(r.dir, "hang")
	mkfifo(t, fifo)
	r.script("network", `[ -e `+hang+` ] || exit 0
case "$1-$2" in hang*-start|ported-port-created) echo "$1" >>`+ran+`; read -r line <`+fifo+`;; esac`)
	r.open()
	n := 2*runtime.NumCPU() + 1
	ported := r.define(natNet("ported", n+1))
	r.start(ported)
	if _, err := r.create(ported, 1, ""); err != nil {
		t.Fatal(err)
	}
	ok := r.define(natNet("ok", n))
	refs := []driver.Ref{ok}
	for i := range n {
		refs = append(refs, r.define(natNet(fmt.Sprintf("hang%d", i), i)))
	}
	for _, ref := range refs {
		if err := r.d.SetAutostart(t.Context(), ref, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(r.dirs.State, "autostarted")); err != nil { // a boot, but for the network that runs
		t.Fatal(err)
	}
	r.close()
	r.write(hang, "")
	held, err := os.OpenFile(fifo, os.O_RDWR, 0) // both ends: scripts open theirs at once
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r.d = driver.New(r.config())
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { r.d.StartAll(t.Context()); close(done) }()
	netnstest.Wait(t, "all scripts run, and the network without one", func() error {
		text, err := os.ReadFile(ran)
		if got := strings.Count(string(text), "\n"); err != nil || got != n+1 || !r.active(ok) {
			return fmt.Errorf("%d of %d scripts run, %v; ok is active: %v", got, n+1, err, r.active(ok))
		}
		return nil
	})
	if _, err := held.WriteString(strings.Repeat("\n", n+1)); err != nil {
		t.Fatal(err)
	}
	<-done
	for _, ref := range refs {
		if !r.active(ref) {
			t.Errorf("%s does not run", ref.Name)
		}
	}
}

// A change that a hook script asks of its own network cannot come to an end:
// it is refused after a while and the script goes on.
func TestChangingAHeldNetworkIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cfg := r.config()
	cfg.Patience = 1 // nanosecond
	r.d = driver.New(cfg)
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref := r.define(natNet("default", 0))
	g := newGate(r, "dnsmasq start")
	done := make(chan error, 1)
	go func() { done <- r.d.Start(t.Context(), ref) }()
	<-g.reached
	kind, msg := kindOf(r.d.Destroy(t.Context(), ref))
	if kind != driver.KindOperationTimeout || !strings.Contains(msg, "network 'default'") || !strings.Contains(msg, "starting") {
		t.Errorf("got kind %d %q", kind, msg)
	}
	if _, err := r.d.DefineXML(t.Context(), natNet("default", 0), false); err == nil {
		t.Error("defined a network that is held")
	}
	close(g.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.destroy(ref)
}
