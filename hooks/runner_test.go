package hooks

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script writes a shell script. The lock keeps other tests from forking while
// the file is open for writing, which would make running it fail (ETXTBSY).
func script(t *testing.T, path, body string, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), mode); err != nil {
		t.Fatal(err)
	}
}

func testEnv(key string) (string, bool) {
	switch key {
	case "PATH":
		return "/usr/bin:/bin", true
	case "TMPDIR":
		return "/tmp/with blank", true
	case "SECRET":
		return "not for scripts", true
	}
	return "", false
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestScriptsGetArgumentsEnvironmentAndDocument(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	script(t, filepath.Join(dir, "network"), `echo "args $*" >>`+out+`
pwd >>`+out+`
env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort >>`+out+`
cat >>`+out, 0o755)
	r := New(Config{Dir: dir, Getenv: testEnv})
	ran, err := r.Network(t.Context(), "my net", OpStart, Document("  <network/>\n", "  <networkport/>\n"))
	if err != nil || !ran {
		t.Fatalf("Network: ran %v, err %v", ran, err)
	}
	want := `args my net start begin -
/
LC_ALL=C
PATH=/usr/bin:/bin
TMPDIR=/tmp/with blank
VIRBR_DRIVER=virbrd
<hookData>
  <network/>
  <networkport/>
</hookData>`
	if diff := cmp.Diff(want, read(t, out)); diff != "" {
		t.Errorf("what the script saw (-want +got):\n%s", diff)
	}
}

func TestOrderAndWhichFilesRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	add := func(name string, mode os.FileMode) {
		script(t, filepath.Join(dir, name), `echo "${0##*/} $2 $3" >>`+out+`; [ "${0##*/}" != 10-fails ]`, mode)
	}
	add("network.d/b", 0o755)
	add("network.d/B", 0o755)
	add("network.d/.hidden", 0o755)
	add("network.d/10-fails", 0o755)
	add("network.d/backup~", 0o755)
	add("network.d/not-executable", 0o644)
	add("network.d/dir/inside", 0o755)
	add("network", 0o755)
	r := New(Config{Dir: dir, Getenv: testEnv})
	ran, err := r.Network(t.Context(), "n", OpStopped, nil)
	if !ran || err == nil {
		t.Errorf("ran %v, err %v; want it to run and to report 10-fails", ran, err)
	}
	want := "network stopped end\n.hidden stopped end\n10-fails stopped end\nB stopped end\nb stopped end\nbackup~ stopped end\n"
	if diff := cmp.Diff(want, read(t, out)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"exit status", "echo no such luck >&2; exit 3", "unexpected exit status 3: no such luck\n"},
		{"silent", "exit 1", "unexpected exit status 1"},
		{"signal", "kill -9 $$", "unexpected fatal signal 9"},
		{"stderr is capped", "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1",
			"unexpected exit status 1: " + strings.Repeat("x", maxStderr)},
		{"reads nothing", "exit 2", "unexpected exit status 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "network")
			script(t, path, tt.body, 0o755)
			r := New(Config{Dir: dir, Getenv: testEnv})
			_, err := r.Network(t.Context(), "it's", OpStart, []byte(strings.Repeat("big", 100000)))
			if _, ok := errors.AsType[*ScriptError](err); !ok {
				t.Fatalf("error %v is no ScriptError", err)
			}
			want := "internal error: Child process (LC_ALL=C PATH=/usr/bin:/bin TMPDIR='/tmp/with blank' " +
				path + ` 'it'\''s' start begin -) ` + tt.want
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("error text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotAProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "network"), []byte("neither script nor binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Dir: dir, Getenv: testEnv}).Network(t.Context(), "n", OpStart, nil)
	if !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("got %v, want ENOEXEC", err)
	}
}

// A script may leave a process behind that keeps its standard error open; the
// network must not wait for that one. The FIFO ends the process after the test.
func TestBackgroundChildDoesNotHang(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	script(t, filepath.Join(dir, "network"), "cat "+fifo+" >/dev/null &\nexit 0", 0o755)
	_, err := New(Config{Dir: dir, Getenv: testEnv}).Network(t.Context(), "n", OpStart, []byte(strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Errorf("got %v, want success", err)
	}
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // returns once cat reads: it lived on
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

func TestCancelKillsTheScriptAndItsChildren(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	script(t, filepath.Join(dir, "network"), "sleep 1000 >"+fifo, 0o755)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := New(Config{Dir: dir, Getenv: testEnv}).Network(ctx, "n", OpStart, nil)
		done <- err
	}()
	r, err := os.Open(fifo) // returns once the script runs
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil { // EOF: sleep is dead too
		t.Errorf("the script's child lives: read %d, %v", n, err)
	}
}

func TestPresenceIsSampled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	r := New(Config{Dir: dir, Getenv: testEnv})
	script(t, filepath.Join(dir, "network.d/x"), "echo ran >>"+out, 0o755)
	if ran, err := r.Network(t.Context(), "n", OpStart, nil); ran || err != nil {
		t.Errorf("before Scan: ran %v, err %v; want nothing to run", ran, err)
	}
	r.Scan()
	if !r.Present() {
		t.Error("after Scan the script is not seen")
	}
	if ran, err := r.Network(t.Context(), "n", OpStart, nil); !ran || err != nil {
		t.Errorf("after Scan: ran %v, err %v", ran, err)
	}
}

func TestDaemonHooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	script(t, filepath.Join(dir, "daemon"), "echo \"$*\" >>"+out+"; exit 1", 0o755)
	r := New(Config{Dir: dir, Getenv: testEnv})
	r.Daemon(t.Context(), DaemonStart)
	r.Daemon(t.Context(), DaemonReload)
	r.Daemon(t.Context(), DaemonShutdown)
	want := "- start - start\n- reload begin SIGHUP\n- shutdown - shutdown\n"
	if diff := cmp.Diff(want, read(t, out)); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

// TestScriptsThatDoNotEnd: a script has its time, and less when the daemon is to end.
// Then it ends with all of its process group, also where these do not want to, and
// the error says why. What it wrote is there.
func TestScriptsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	close(stopping)
	soon := Config{Timeout: 50 * time.Millisecond}
	tests := []struct {
		name, body string
		cfg        Config
		want       error
		text       string
	}{
		{"sleeps", "echo why >&2; sleep 1000 >FIFO", soon, ErrOverdue,
			"was ended: it takes too long: the limit is 0.05 seconds (hook_timeout in virbrd.conf)"},
		{"is deaf", "trap '' TERM; echo why >&2; sleep 1000 >FIFO", soon, ErrOverdue, ""},
		{"leaves a deaf child", "(trap '' TERM; sleep 1000 >FIFO) & sleep 1000", soon, ErrOverdue, ""},
		{"at the end of the daemon", "sleep 1000 >FIFO", Config{Timeout: -1, Stopping: stopping}, ErrStopping, "was ended: virbrd is stopping"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Dir, tt.cfg.Getenv = t.TempDir(), testEnv
			fifo := filepath.Join(tt.cfg.Dir, "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			// Both ends are open here, or who has one of them would wait for the other.
			held, err := os.OpenFile(fifo, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			script(t, filepath.Join(tt.cfg.Dir, "network"), strings.ReplaceAll(tt.body, "FIFO", fifo), 0o755)
			_, err = New(tt.cfg).Network(t.Context(), "n", OpStart, nil)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
			r, err := os.Open(fifo)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			held.Close()
			if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil { // EOF: nobody is left
				t.Errorf("the script's child lives: read %d, %v", n, err)
			}
		})
	}
}

// TestCallOfTheDead: a call whose context has ended runs nothing.
func TestCallOfTheDead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script(t, filepath.Join(dir, "network"), "touch "+filepath.Join(dir, "ran"), 0o755)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := New(Config{Dir: dir, Getenv: testEnv}).Network(ctx, "n", OpStart, nil)
	if _, ran := os.Stat(filepath.Join(dir, "ran")); !errors.Is(err, context.Canceled) || ran == nil {
		t.Errorf("got %v, the script ran: %v", err, ran == nil)
	}
}
