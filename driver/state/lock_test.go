package state_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/state"
)

// holder is a process that has the lock of a file, as one has that a daemon was
// about to start when it was killed. The file names a process.
func holder(t *testing.T, path string, pid int) (end func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test
	if _, err := f.WriteString(strconv.Itoa(pid)); err != nil {
		t.Fatal(err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cat")
	cmd.ExtraFiles = []*os.File{f}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() { _ = in.Close(); _ = cmd.Wait() }
	t.Cleanup(end)
	return end
}

// TestLockOutlivesItsOwner: a daemon that was killed while it started a program has
// its lock for a moment longer. The next one waits for it, and for no other.
func TestLockOutlivesItsOwner(t *testing.T) {
	t.Parallel()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lock")
	end := holder(t, path, gone.Process.Pid)
	type result struct {
		lock *state.PIDLock
		err  error
	}
	locked := make(chan result)
	go func() {
		l, err := state.LockPID(path)
		locked <- result{l, err}
	}()
	select {
	case r := <-locked:
		t.Fatalf("%v, while somebody has the lock", r.err)
	default:
	}
	end()
	r := <-locked
	if r.err != nil {
		t.Fatal(r.err)
	}
	if err := r.lock.Release(); err != nil {
		t.Error(err)
	}
	holder(t, path, os.Getpid())
	if _, err := state.LockPID(path); err == nil || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the lock of a process that runs: %v", err)
	}
}
