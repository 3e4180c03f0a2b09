package driver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/state"
)

// removal is what libvirt's daemon writes into a status file beside the network.
func removal(backend string) string {
	return "<firewall name='fwRemoval' backend='" + backend + "'><group ignoreErrors='yes'><action layer='ipv4'>" +
		"<args><item>delete</item></args></action></group></firewall>"
}

// leftByLibvirt ends the driver and leaves a running network as if libvirt's
// daemon had run it last.
func (r *rig) leftByLibvirt(ref driver.Ref, backend string) (status string) {
	r.t.Helper()
	r.close()
	if err := os.Remove(r.undo(ref)); err != nil {
		r.t.Fatal(err)
	}
	status = filepath.Join(r.dirs.State, ref.Name+".xml")
	data, err := os.ReadFile(status)
	if err != nil {
		r.t.Fatal(err)
	}
	text := strings.Replace(string(data), "</networkstatus>", removal(backend)+"</networkstatus>", 1)
	if err := os.WriteFile(status, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return status
}

func (r *rig) undo(ref driver.Ref) string {
	return filepath.Join(r.dirs.Own, "networks", ref.UUID.String()+".json")
}

// TestTakeOver: our rules go in first, libvirt's go, and the network is ours,
// with the record that a start of ours would have made.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"iptables", "nftables"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			before := r.host.State()
			ref := r.define(natNet("a", 0))
			r.start(ref)
			live, up := r.xml(ref, false), r.host.State()
			status := r.leftByLibvirt(ref, backend)
			r.host.Lines()
			r.open()
			lines := r.host.Lines()
			const drop = "firewall remove libvirt's rules"
			install := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "firewall install") })
			if at := slices.Index(lines, drop); install < 0 || at < install {
				t.Errorf("the rules of libvirt went before ours were there:\n%s", strings.Join(lines, "\n"))
			}
			queue := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "checksums remove libvirt's filter") })
			if queue != (backend == "nftables") {
				t.Errorf("removed the queue of the nftables backend: %t", queue)
			}
			if data, err := os.ReadFile(status); err != nil || strings.Contains(string(data), "fwRemoval") {
				t.Errorf("status file (%v):\n%s", err, data)
			}
			if _, err := os.Stat(r.undo(ref)); err != nil {
				t.Errorf("no undo record: %v", err)
			}
			if got := r.xml(ref, false); got != live {
				t.Errorf("live XML changed:\n%s", cmp.Diff(live, got))
			}
			if diff := cmp.Diff(up, r.host.State()); diff != "" {
				t.Errorf("host (-before +after):\n%s", diff)
			}
			r.destroy(ref)
			if diff := cmp.Diff(before, r.host.State()); diff != "" {
				t.Errorf("host after the stop (-before +after):\n%s", diff)
			}
		})
	}
}

// TestTakeOverWaits: libvirt's rules stay while a network lacks ours, or its
// guests would be without any; the next start makes up for it.
func TestTakeOverWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	refuse := false
	r.host.Before = func(_ context.Context, line string) error {
		if refuse && strings.HasPrefix(line, "firewall install") && strings.Contains(line, "virbr1") {
			return errors.New("no")
		}
		return nil
	}
	r.open()
	ref := r.define(natNet("a", 0))
	r.start(ref)
	r.start(r.define(natNet("b", 1)))
	status := r.leftByLibvirt(ref, "nftables")
	refuse = true
	r.host.Lines()
	r.open()
	if lines := r.host.Lines(); slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "libvirt's") }) {
		t.Errorf("libvirt's rules went:\n%s", strings.Join(lines, "\n"))
	}
	if data, err := os.ReadFile(status); err != nil || !strings.Contains(string(data), "fwRemoval") {
		t.Errorf("libvirt could not remove its rules any more (%v):\n%s", err, data)
	}
	refuse = false
	r.reopen()
	if lines := r.host.Lines(); !slices.Contains(lines, "firewall remove libvirt's rules") {
		t.Errorf("libvirt's rules stay:\n%s", strings.Join(lines, "\n"))
	}
	if data, err := os.ReadFile(status); err != nil || strings.Contains(string(data), "fwRemoval") {
		t.Errorf("status file (%v):\n%s", err, data)
	}
}

// TestStaleRecord: a record of before libvirt's daemon moved the network to
// another bridge must not take away who has the old one now.
func TestStaleRecord(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("a", 0))
	r.start(ref)
	record, err := os.ReadFile(r.undo(ref))
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	stale := strings.ReplaceAll(string(record), `"virbr0"`, `"theirs"`)
	if stale == string(record) {
		t.Fatalf("the record does not name virbr0:\n%s", record)
	}
	if err := os.WriteFile(r.undo(ref), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	r.host.AddLink("theirs", "bridge")
	r.open()
	r.destroy(ref)
	state := r.host.State()
	if !strings.Contains(state, "theirs") || strings.Contains(state, "virbr0") {
		t.Errorf("the stop was that of the old record:\n%s", state)
	}
}

// TestPlanRelease: rules and records of ours are named; a status file that
// cannot be read is told of and stops nothing.
func TestPlanRelease(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("a", 0))
	r.start(ref)
	broken := filepath.Join(r.dirs.State, "broken.xml")
	if err := os.WriteFile(broken, []byte("<nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if owner, err := state.LockHolder(r.dirs.DriverLock()); err != nil || !owner.Locked {
		t.Errorf("the driver runs, and the lock is held by %q (%v)", owner, err)
	}
	r.close()
	if owner, err := state.LockHolder(r.dirs.DriverLock()); err != nil || owner.Locked {
		t.Errorf("nothing runs, and the lock is held by %q (%v)", owner, err)
	}
	todo, err := driver.PlanRelease(r.dirs)
	if err == nil || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("PlanRelease: %v", err)
	}
	var lines []string
	for _, op := range todo.Ops {
		lines = append(lines, op.String())
	}
	want := []string{"firewall remove all of table inet virbr", "checksums leave virbr0", "firewall of others: forget virbr0", "routing forget virbr0"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("ops (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{r.undo(ref)}, todo.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if err := todo.Run(t.Context(), r.host); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(r.undo(ref)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.dirs.State, "a.xml")); err != nil {
		t.Errorf("the status file: %v", err)
	}
}
