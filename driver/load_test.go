package driver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/state"
)

// A restart of the daemon keeps running networks and their dnsmasq as they
// are; only the rules are put in again.
func TestRestartKeepsNetworks(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	persistent := r.define(natNet("persistent", 0))
	r.start(persistent)
	transient, err := r.d.CreateXML(t.Context(), natNet("transient", 1), false)
	if err != nil {
		t.Fatal(err)
	}
	idle := r.define(natNet("idle", 2))
	live, inactive := r.xml(persistent, false), r.xml(persistent, true)
	up, files := r.host.State(), r.files()
	r.host.Lines()

	r.reopen()
	for _, line := range r.host.Lines() {
		if !strings.HasPrefix(line, "firewall install") && !strings.HasPrefix(line, "zone set") && !strings.HasPrefix(line, "checksums fill") && !strings.HasPrefix(line, "routing keep") && !strings.HasPrefix(line, "firewall of others: accept") && line != "firewall remove libvirt's rules" {
			t.Errorf("the restart did %q", line)
		}
	}
	if diff := cmp.Diff(up, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(files, r.files()); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(live+inactive, r.xml(persistent, false)+r.xml(persistent, true)); diff != "" {
		t.Errorf("XML (-before +after):\n%s", diff)
	}
	for ref, want := range map[driver.Ref][2]bool{persistent: {true, true}, transient: {true, false}, idle: {false, true}} {
		kept, err := r.d.IsPersistent(t.Context(), ref)
		if got := [2]bool{r.active(ref), kept}; got != want || err != nil {
			t.Errorf("%s: active, persistent = %v, %v; want %v", ref.Name, got, err, want)
		}
	}
	r.destroy(persistent)
	r.destroy(transient)
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host after stops by the second daemon (-before +after):\n%s", diff)
	}
}

func TestRestartFindsTheDead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	out := filepath.Join(r.dir, "out")
	r.script("network", `echo "$1 $2" >>`+out)
	r.open()
	before := r.host.State()
	ref := r.define(natNet("persistent", 0))
	r.start(ref)
	if _, err := r.d.CreateXML(t.Context(), natNet("transient", 1), false); err != nil {
		t.Fatal(err)
	}
	r.host.DelLink("virbr0")
	r.host.DelLink("virbr1")
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	r.told()
	r.reopen()
	if r.active(ref) {
		t.Error("active without its bridge")
	}
	if _, err := r.d.LookupByName(t.Context(), "transient"); err == nil {
		t.Error("a transient network lives on without its bridge")
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
	if got := strings.Fields(r.read(out)); len(got) != 4 || strings.Count(r.read(out), " stopped\n") != 2 {
		t.Errorf("hooks ran: %q, want stopped for both", got)
	}
	want := []string{"dnsmasq/persistent.addnhosts", "dnsmasq/persistent.conf", "dnsmasq/persistent.hostsfile",
		"etc/persistent.xml", "hooks/network", "out", "run/autostarted"}
	if diff := cmp.Diff(want, r.names()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := r.told(); len(got) > 0 {
		t.Errorf("events %q, want none", got)
	}
}

func TestRestartSeesToDnsmasq(t *testing.T) {
	t.Parallel()
	r := started(t)
	dead, stale := r.define(natNet("dead", 0)), r.define(natNet("stale", 1))
	r.start(dead)
	r.start(stale)
	r.host.Kill(filepath.Join(r.dirs.State, "dead.pid"))
	hosts := filepath.Join(r.dirs.Dnsmasq, "stale.hostsfile")
	should := r.read(hosts)
	r.write(hosts, "")
	r.host.Lines()
	r.reopen()
	text := strings.Join(r.host.Lines(), "\n")
	if !strings.Contains(text, "dnsmasq start virbr0") {
		t.Errorf("the dead dnsmasq was not started:\n%s", text)
	}
	if r.read(hosts) != should || !strings.Contains(text, "dnsmasq reload "+filepath.Join(r.dirs.State, "stale.pid")) {
		t.Errorf("the hosts file was not renewed:\n%s", text)
	}
	if strings.Contains(text, "dnsmasq start virbr1") || strings.Contains(text, "stale.conf") {
		t.Errorf("a living dnsmasq was not left alone:\n%s", text)
	}
}

// A daemon that dies in the middle of a start or stop leaves an undo record
// without a status file; the next one takes the rest back.
func TestCrashInTheMiddle(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	ref := r.define(natNet("default", 0))
	r.start(ref)
	if err := os.Remove(filepath.Join(r.dirs.State, "default.xml")); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if r.active(ref) {
		t.Error("active without a status file")
	}
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
	r.start(ref)
}

// The undo record grows with every step: after any of them a dead daemon's
// successor can take back what was done.
func TestUndoRecordIsAheadOfTheHost(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	record := filepath.Join(r.dirs.Own, "networks", ref.UUID.String()+".json")
	saved := make(map[string]string)
	r.host.Before = func(_ context.Context, line string) error {
		data, _ := os.ReadFile(record)
		saved[line] = string(data)
		return nil
	}
	r.start(ref)
	for line, op := range map[string]string{
		"bridge set virbr0 forward_delay 0": "del-link",
		"sysctl net/ipv4/ip_forward = 1":    "set-down",
		"dnsmasq start virbr0":              "stop-dnsmasq",
		"firewall install virbr0":           "unset-zone",
		"checksums fill virbr0":             "del-rules",
		"dnsmasq await":                     "unfill-checksums",
	} {
		found := false
		for l, text := range saved {
			if strings.HasPrefix(l, line) {
				found = true
				if !strings.Contains(text, `"`+op+`"`) {
					t.Errorf("before %q the record lacks %s:\n%s", l, op, text)
				}
			}
		}
		if !found {
			t.Errorf("no step %q", line)
		}
	}
}

// libvirt's daemon ran before: it left a status file with the commands that
// remove its firewall rules, and no undo record.
func TestTakingOverFromLibvirt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.host.AddLink("virbr0", "bridge")
	removal := `  <firewall name='fwRemoval' backend='nftables'>
    <group ignoreErrors='yes'>
      <action layer='ipv4'>
        <args>
          <item>-ae</item>
          <item>delete</item>
        </args>
      </action>
    </group>
  </firewall>
`
	network := natNet("default", 0)
	status := "<networkstatus>\n  <class_id bitmap='0-3,7'/>\n  <floor sum='512'/>\n  <taint flag='hook-script'/>\n" + network + removal + "</networkstatus>"
	r.write(filepath.Join(r.dirs.State, "default.xml"), "<!--\nWARNING\n-->\n\n"+status)
	r.write(filepath.Join(r.dirs.State, "default", "ports", uuid(9).String()+".xml"), "<networkport/>")
	r.write(filepath.Join(r.dirs.Config, "default.xml"), natNet("default", 0))
	r.open()
	ref := driver.Ref{Name: "default", UUID: uuid(0)}
	if !r.active(ref) {
		t.Fatal("not active")
	}
	if _, err := os.Stat(filepath.Join(r.dirs.State, "default", "ports", uuid(9).String()+".xml")); err != nil {
		t.Errorf("taking over lost a port: %v", err)
	}
	r.host.Lines()
	r.destroy(ref)
	want := strings.ReplaceAll(`unshape virbr0
dnsmasq signal TERM /run/default.pid
link set virbr0 down
checksums leave virbr0
firewall of others: forget virbr0
firewall remove virbr0
routing forget virbr0
zone unset virbr0
link delete virbr0
dnsmasq stop /run/default.pid`, "/run", r.dirs.State)
	if diff := cmp.Diff(want, strings.Join(r.host.Lines(), "\n")); diff != "" {
		t.Errorf("stop without a record (-want +got):\n%s", diff)
	}
	if got := r.names(); len(got) == 0 || strings.Contains(strings.Join(got, " "), "ports/") || strings.Contains(strings.Join(got, " "), "run/default.xml") {
		t.Errorf("files after the stop: %q", got)
	}
}

func TestBadFilesAreLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := func(name string) string { return filepath.Join(r.dirs.Config, name+".xml") }
	r.write(at("good"), natNet("good", 1))
	r.write(at("garbage"), "<network><name>garb")
	r.write(at("wrongname"), natNet("other", 2))
	r.write(at("huge"), strings.Repeat(" ", 11<<20)+natNet("huge", 3))
	r.write(at("good2"), strings.Replace(natNet("good2", 1), "virbr1", "virbr2", 1)) // good's UUID
	r.write(filepath.Join(r.dirs.State, "broken.xml"), "<networkstatus/>")
	r.write(filepath.Join(r.dirs.State, "wrong.xml"), "<networkstatus>"+natNet("other", 5)+"</networkstatus>")
	r.write(filepath.Join(r.dirs.Own, "networks", uuid(6).String()+".json"), `{"network":"x","undo":[{"op":"from-the-future"}]}`)
	r.write(filepath.Join(r.dirs.Own, "networks", "no-uuid.json"), `{}`)
	mkfifo(t, at("fifo"))
	if err := os.Mkdir(at("directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "x.xml")
	r.write(elsewhere, natNet("linked", 4))
	if err := os.Symlink(elsewhere, at("linked")); err != nil {
		t.Fatal(err)
	}
	r.open()
	refs, err := r.d.List(t.Context(), 0)
	var names []string
	for _, ref := range refs {
		names = append(names, ref.Name)
	}
	if diff := cmp.Diff([]string{"good", "linked"}, names); diff != "" || err != nil {
		t.Errorf("networks (-want +got), %v:\n%s", err, diff)
	}
}

func TestHandWrittenDefinitionsAreCompleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := filepath.Join(r.dirs.Config, "plain.xml")
	r.write(path, "<network><name>plain</name><bridge name='virbr7'/></network>")
	r.open()
	ref, err := r.d.LookupByName(t.Context(), "plain")
	if err != nil {
		t.Fatal(err)
	}
	text := r.read(path)
	if !strings.Contains(text, "<uuid>"+ref.UUID.String()+"</uuid>") || !strings.Contains(text, "<mac address='52:54:00:") {
		t.Errorf("not written back:\n%s", text)
	}
	r.reopen()
	if r.read(path) != text {
		t.Errorf("written again with other values:\n%s", r.read(path))
	}
}

// TestLeftoversOfACrash: temporary files go when a daemon starts, but for a lease file
// that a helper may be at.
func TestLeftoversOfACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const temporary = ".x.xml.ABCDEFGHIJKLMNOPQRSTUVWXYZ.new"
	served := dnsmasq.Dirs{Dnsmasq: r.dirs.Dnsmasq}
	gone := []string{filepath.Join(r.dirs.Config, temporary), filepath.Join(r.dirs.Lib, temporary), served.Leases("virbr1") + ".new", served.Leases("virbr3") + ".new"}
	kept := served.Leases("virbr2") + ".new"
	for _, path := range append(gone, kept, served.LeasesLock("virbr2"), served.LeasesLock("virbr3")) {
		r.write(path, "half")
	}
	lock, err := os.Open(served.LeasesLock("virbr2"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r.open()
	for _, path := range gone {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%q is left", path)
		}
	}
	if _, err := os.Lstat(kept); err != nil {
		t.Error(err)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	r := started(t)
	second := driver.New(r.config())
	err := second.Load(t.Context())
	if locked, ok := errors.AsType[*state.LockedError](err); !ok || locked.PID != os.Getpid() {
		t.Errorf("got %v", err)
	}
	if got := r.read(filepath.Join(r.dirs.State, "driver.pid")); got != fmt.Sprint(os.Getpid()) {
		t.Errorf("driver.pid holds %q", got)
	}
	r.close()
	if _, err := os.Stat(filepath.Join(r.dirs.State, "driver.pid")); err == nil {
		t.Error("driver.pid is still there")
	}
	if err := second.Load(t.Context()); err != nil {
		t.Errorf("after the first one ended: %v", err)
	}
}

func TestLoadWithoutFactsGivesTheLockBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.host.Before = func(context.Context, string) error { return syscall.EIO }
	if err := driver.New(r.config()).Load(t.Context()); err == nil {
		t.Fatal("no error")
	}
	r.host.Before = nil
	r.open()
}

func TestAutostart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 4 {
		name := fmt.Sprintf("net%d", i)
		r.write(filepath.Join(r.dirs.Config, name+".xml"), natNet(name, i))
		if i == 3 {
			continue // no link
		}
		if err := os.MkdirAll(filepath.Join(r.dirs.Config, "autostart"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../"+name+".xml", filepath.Join(r.dirs.Config, "autostart", name+".xml")); err != nil {
			t.Fatal(err)
		}
	}
	r.host.AddLink("virbr1", "bridge") // net1 cannot start
	r.d = driver.New(r.config())
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Between Load and StartAll networks can be read; who wants to change one
	// waits until it is up.
	ref := driver.Ref{Name: "net0", UUID: uuid(0)}
	if r.active(ref) {
		t.Error("active before StartAll")
	}
	done := make(chan error, 1)
	go func() { done <- r.d.Destroy(t.Context(), ref) }()
	r.d.StartAll(t.Context())
	if err := <-done; err != nil {
		t.Errorf("destroy that waited for autostart: %v", err)
	}
	for n, want := range map[int]bool{1: false, 2: true, 3: false} {
		if got := r.active(driver.Ref{UUID: uuid(n)}); got != want {
			t.Errorf("net%d active: %v, want %v", n, got, want)
		}
	}
	if got := r.told(); len(got) != 1 {
		t.Errorf("events %q, want the destroy's only", got)
	}

	// No second time before the next boot, but on SIGHUP.
	r.reopen()
	if r.active(ref) {
		t.Error("autostart happened twice")
	}
	if err := r.d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.active(ref) {
		t.Error("reload did not start it")
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	r.start(ref)
	live := r.xml(ref, false)
	r.write(filepath.Join(r.dirs.Config, "default.xml"), strings.Replace(natNet("default", 0), "nat'", "route'", 1))
	r.write(filepath.Join(r.dirs.Config, "new.xml"), natNet("new", 1))
	out := filepath.Join(r.dir, "out")
	r.script("network", `echo "$1 $2" >>`+out)
	r.host.Kill(filepath.Join(r.dirs.State, "default.pid"))
	r.host.Lines()
	if err := r.d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, r.xml(ref, false)); diff != "" {
		t.Errorf("the running definition changed (-before +after):\n%s", diff)
	}
	if !strings.Contains(r.xml(ref, true), "mode='route'") {
		t.Error("the edited definition was not read")
	}
	if _, err := r.d.LookupByName(t.Context(), "new"); err != nil {
		t.Error("the new definition was not read")
	}
	text := strings.Join(r.host.Lines(), "\n")
	if !strings.Contains(text, "firewall install virbr0") || !strings.Contains(text, "dnsmasq start virbr0") {
		t.Errorf("rules and dnsmasq were not seen to:\n%s", text)
	}
	r.destroy(ref)
	if got := r.read(out); got != "default stopped\n" {
		t.Errorf("a script that came later ran for %q", got)
	}
}

// A daemon that is told to end in the middle of the first autostart leaves the
// rest to the next one.
func TestAutostartThatIsCutShort(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	if err := r.d.SetAutostart(t.Context(), ref, true); err != nil {
		t.Fatal(err)
	}
	r.close()
	if err := os.Remove(filepath.Join(r.dirs.State, "autostarted")); err != nil {
		t.Fatal(err)
	}
	r.d = driver.New(r.config())
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g := newGate(r, "dnsmasq start")
	go func() { <-g.reached; cancel() }()
	r.d.StartAll(ctx)
	if r.active(ref) {
		t.Fatal("active though its start was cut short")
	}
	r.host.Before = nil
	r.reopen()
	if !r.active(ref) {
		t.Error("the next daemon did not start it")
	}
}
