package leases_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/leases"
)

// bench is a run directory with a lease file of one network.
type bench struct {
	t    *testing.T
	dir  string
	dirs dnsmasq.Dirs
	file string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	b.dirs = dnsmasq.Dirs{Dnsmasq: filepath.Join(b.dir, leases.Link)}
	b.file = b.dirs.Leases("virbr7")
	if err := os.MkdirAll(b.dirs.Helper(), 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// call is one call by dnsmasq.
func (b *bench) call(args ...string) (printed string, err error) {
	env := map[string]string{"DNSMASQ_INTERFACE": "virbr7", "DNSMASQ_LEASE_EXPIRES": "1900000000"}
	var out strings.Builder
	err = leases.Helper{Dir: b.dir, Getenv: func(key string) string { return env[key] }, Out: &out}.Run(args)
	return out.String(), err
}

func (b *bench) must(args ...string) string {
	b.t.Helper()
	printed, err := b.call(args...)
	if err != nil {
		b.t.Fatalf("%v: %v", args, err)
	}
	return printed
}

func (b *bench) read() string {
	b.t.Helper()
	data, err := os.ReadFile(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

// replace puts a file into the lease file's place.
func (b *bench) replace(text string) {
	b.t.Helper()
	temporary := b.file + ".other"
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(temporary, b.file); err != nil {
		b.t.Fatal(err)
	}
}

func mac(i int) string     { return fmt.Sprintf("52:54:00:00:%02x:%02x", i>>8, i&0xff) }
func address(i int) string { return fmt.Sprintf("10.7.%d.%d", i>>8, i&0xff) }

func entry(i int) dnsmasq.Entry {
	return dnsmasq.Entry{Address: address(i), MAC: mac(i), Expiry: 1900000000}
}

// TestEventsAtOnce: helpers of one network do not lose each other's leases, and
// who reads meanwhile never sees half a file.
func TestEventsAtOnce(t *testing.T) {
	t.Parallel()
	const n = 50
	b := newBench(t)
	b.must("add", mac(0), address(0))
	var writers, reader sync.WaitGroup
	done := make(chan struct{})
	reader.Go(func() {
		for seen := 0; ; {
			entries, err := dnsmasq.ParseLeases(b.file, []byte(b.read()))
			if err != nil || len(entries) < seen {
				t.Errorf("a reader saw %d leases after %d, %v", len(entries), seen, err)
				return
			}
			seen = len(entries)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range n {
		writers.Go(func() {
			if _, err := b.call("add", mac(i), address(i)); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	close(done)
	reader.Wait()
	if got := strings.Count(b.must("init"), "\n"); got != n {
		t.Errorf("init printed %d lines, want %d", got, n)
	}
	if left, _ := filepath.Glob(b.file + "?*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFileOfOthers: a lease file that was not written here is taken as it is,
// whatever its layout, also where it is changed between two events.
func TestFileOfOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("add", mac(1), address(1))
	compact := strings.NewReplacer("\n", "", " ", "").Replace(b.read())
	b.replace(compact)
	b.must("add", mac(2), address(2))
	want := []dnsmasq.Entry{entry(1), entry(2)}
	if diff := cmp.Diff(string(dnsmasq.FormatLeases(want)), b.read()); diff != "" {
		t.Errorf("after another's layout (-want +got)\n%s", diff)
	}
	if err := os.WriteFile(b.file, []byte(compact), 0o644); err != nil { // an editor that writes in place
		t.Fatal(err)
	}
	b.must("add", mac(1), address(1))
	b.must("del", mac(2), address(2))
	if diff := cmp.Diff(string(dnsmasq.FormatLeases(want[:1])), b.read()); diff != "" {
		t.Errorf("after an edit in place (-want +got)\n%s", diff)
	}
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.must("add", mac(3), address(3))
	if diff := cmp.Diff(string(dnsmasq.FormatLeases([]dnsmasq.Entry{entry(3)})), b.read()); diff != "" {
		t.Errorf("after a removal (-want +got)\n%s", diff)
	}
}

// TestUnchanged: what dnsmasq tells when it starts, that leases are as they
// were, writes nothing.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("add", mac(1), address(1))
	b.must("add", mac(2), address(2))
	before, err := os.Stat(b.file)
	if err != nil {
		t.Fatal(err)
	}
	b.must("old", mac(1), address(1))
	b.must("del", mac(9), address(9))
	after, err := os.Stat(b.file)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written again, %v", err)
	}
}

// TestLeftover: what a loss of power left of a lease file goes with the next dnsmasq.
func TestLeftover(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("add", mac(1), address(1))
	if err := os.WriteFile(b.file+".new", []byte("[ half"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.must("init")
	if left, _ := filepath.Glob(b.file + "?*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBrokenFile(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "cut off": `[ { "ip-add`, "something else": `{"a": 1}`, "none of leases": "[null, 1]", "too large": strings.Repeat(" ", dnsmasq.MaxFile+1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.replace(text)
			b.must("add", mac(1), address(1))
			if diff := cmp.Diff(string(dnsmasq.FormatLeases([]dnsmasq.Entry{entry(1)})), b.read()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.call("add", mac(1)); !errors.Is(err, dnsmasq.ErrUsage) {
		t.Errorf("too few arguments: %v", err)
	}
	if _, err := b.call("tftp", mac(1), address(1)); err == nil {
		t.Error("an action of others passed")
	}
	nowhere := leases.Helper{Dir: b.dir, Getenv: func(string) string { return "" }, Out: io.Discard}
	if err := nowhere.Run([]string{"init"}); err == nil {
		t.Error("a call without an interface passed")
	}
	kept := filepath.Join(b.dir, "kept")
	if err := os.Symlink(kept, b.file+".new"); err != nil {
		t.Fatal(err)
	}
	b.must("add", mac(1), address(1))
	if _, err := os.Lstat(kept); err == nil {
		t.Error("wrote through a link")
	}
}

func TestInstalled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, small := filepath.Join(dir, "virbrd"), filepath.Join(dir, leases.Name)
	if got := leases.Installed(program); got != program {
		t.Errorf("got %q without a small program", got)
	}
	if err := os.WriteFile(small, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := leases.Installed(program); got != small {
		t.Errorf("got %q beside a small program", got)
	}
}
