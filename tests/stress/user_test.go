//go:build libvirt_dlopen

package stress

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/tests/netnstest"
)

// A user that nobody is. Inotify instances in a user namespace are on the bill of
// the namespace's owner, too; with an owner of its own a test neither takes others
// theirs nor has only what they leave.
const nobodyElse = 54321

// place is user and network namespaces of their own, for daemons that come and go.
// The mounts are the test's, whose end is all its processes' end.
type place struct {
	t   *testing.T
	pid int // of a process that keeps them
}

// newPlace makes namespaces and brings lo up in them.
func newPlace(t *testing.T) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		netnstest.Need(t, "needs root: dnsmasq changes its user, so the namespace must have several")
	}
	netnstest.NeedProgram(t, "nsenter", "sleep", "ip")
	cmd := exec.Command("sleep", "infinity")
	all := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
	}
	if err := startAs(nobodyElse, cmd); err != nil {
		t.Fatalf("making namespaces: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p := &place{t, cmd.Process.Pid}
	p.output("ip", "link", "set", "lo", "up")
	return p
}

// startAs starts a command from a thread of another user that has all of root's
// capabilities. The thread ends then.
func startAs(uid uintptr, cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()       // and never unlocked
		const noSetuidFixup = 1 << 2 // SECBIT_NO_SETUID_FIXUP
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, noSetuidFixup, 0, 0, 0); err != nil {
			done <- fmt.Errorf("keeping capabilities: %w", err)
			return
		}
		const same = ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uid, same); errno != 0 {
			done <- fmt.Errorf("becoming user %d: %w", uid, errno)
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// command returns a command that runs in the namespaces.
func (p *place) command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{fmt.Sprintf("--target=%d", p.pid), "--user", "--net", name}, args...)...)
}

// output runs a command in the namespaces.
func (p *place) output(name string, args ...string) string {
	p.t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
