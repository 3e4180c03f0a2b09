package netnstest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideEnv holds, in the re-executed process, the name of the one test that
// is to run there.
const insideEnv = "VIRBR_NETNSTEST_INSIDE"

// Run runs fn in new network and mount namespaces: it executes the test binary
// again for t alone, and there calls fn. What the inner test prints is passed
// on, and its failure or skip becomes t's. Run is the last thing that a test
// does; code after it runs in both processes.
//
// Run may be used in subtests and in parallel tests; the inner process runs
// nothing else.
func Run(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	if inside := os.Getenv(insideEnv); inside != "" {
		if inside != t.Name() {
			t.Skipf("not %s, which this process is for", inside)
		}
		if err := enter(); err != nil {
			t.Fatalf("preparing the namespaces: %v", err)
		}
		fn(t)
		return
	}
	need(t, probe())
	out, err := reexec(t)
	text := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		t.Fatalf("in its namespaces: %v\n%s", err, text)
	case strings.Contains(text, "--- SKIP: "+t.Name()+" "):
		t.Skip(text)
	case !strings.Contains(text, "--- PASS: "+t.Name()+" "):
		t.Fatalf("the inner test did not run:\n%s", text)
	case testing.Verbose():
		t.Log(text)
	}
}

// need skips the test with the cause, or fails it when REQUIRE_NETNS=1.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_NETNS") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// Need skips the test with its cause and cure, or fails it when
// REQUIRE_NETNS=1.
func Need(t testing.TB, cause string) {
	t.Helper()
	need(t, errors.New(cause))
}

// NeedNamespaces skips the test where no new namespaces are to be had, or fails it
// when REQUIRE_NETNS=1. Run does that by itself; it is for processes that are
// started with Attributes.
func NeedNamespaces(t testing.TB) {
	t.Helper()
	need(t, probe())
}

// NeedProgram skips the test when a program is not installed, or fails it when
// REQUIRE_NETNS=1.
func NeedProgram(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			need(t, fmt.Errorf("needs the program %q: %w; install it", name, err))
		}
	}
}

// attributes start a process in the new namespaces.
func attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// probe reports why the namespaces cannot be had, if so.
func probe() error {
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	path, err := exec.LookPath("true")
	if err != nil {
		return fmt.Errorf("needs the program \"true\" to try namespaces: %w", err)
	}
	cmd := exec.Command(path)
	cmd.SysProcAttr = attributes()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("needs new network and mount namespaces: %w; run as root, "+
			"or allow user namespaces (kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces > 0)", err)
	}
	return nil
}

// reexec runs the test binary for t alone in new namespaces.
func reexec(t *testing.T) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-test.run=" + pattern(t.Name()), "-test.v", "-test.count=1"}
	if deadline, ok := t.Deadline(); ok {
		// The inner process is the first to give up, and says where it hangs.
		args = append(args, "-test.timeout="+max(time.Until(deadline)*9/10, time.Second).String())
	}
	for _, name := range []string{"test.short", "test.gocoverdir"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			args = append(args, "-"+name+"="+f.Value.String())
		}
	}
	var out strings.Builder
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+t.Name())
	cmd.SysProcAttr = attributes()
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a daemon of the test may hold the pipe
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// Held open, so that its inode is not given to another namespace.
	ns, nsErr := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid))
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if nsErr == nil {
		killAll(ns)
		_ = ns.Close()
	}
	return []byte(out.String()), err
}

// pattern returns the -test.run expression that matches one test exactly.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + quoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// quoteMeta escapes what is special in a regular expression.
func quoteMeta(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// killAll ends every process of a mount namespace. The namespace belonged to
// one finished test, so these are its children.
func killAll(ns *os.File) {
	own, err := ns.Stat()
	if err != nil {
		return
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		info, err := os.Stat("/proc/" + e.Name() + "/ns/mnt")
		if err == nil && os.SameFile(info, own) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
}
