package netnstest

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// DialAs connects as another user, who is in no group but that of the same number:
// a thread has ids of its own, and this one ends with its goroutine. A socket whose
// backlog is full at the moment is tried again. The test needs root.
func DialAs(t testing.TB, uid int, network, address string) net.Conn {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		var r result
		if r.err = becomeUser(uid); r.err == nil {
			for {
				r.conn, r.err = net.Dial(network, address)
				if !errors.Is(r.err, unix.EAGAIN) {
					break
				}
				runtime.Gosched()
			}
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		t.Fatalf("connecting to %q as user %d: %v", address, uid, r.err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	return r.conn
}

// becomeUser changes the ids of the thread. Go's own functions change those of all.
func becomeUser(uid int) error {
	id := uintptr(uid)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, id, id, id); errno != 0 {
		return os.NewSyscallError("setresgid", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, id, id, id); errno != 0 {
		return os.NewSyscallError("setresuid", errno)
	}
	return nil
}

// NeedUsers skips a test that cannot be other users.
func NeedUsers(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Need(t, "needs root, to be other users")
	}
}
