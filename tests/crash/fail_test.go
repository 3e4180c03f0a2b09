//go:build libvirt_dlopen

package crash

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestFail has each system call of each operation fail once. The client gets a
// clear error, or success; the host is as before or as after, with the daemon
// that it happened to; and what failed succeeds when it is asked for again.
func TestFail(t *testing.T) {
	t.Parallel()
	for i := range operations {
		op := &operations[i]
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				l := newLab(t, op)
				calls := l.calls()
				var faults []faulttest.Fault
				for at, c := range calls {
					for _, errno := range errnos(c) {
						faults = append(faults, faulttest.Fault{At: at + 1, Errno: errno, Only: fallible})
					}
				}
				for _, i := range points(t, len(faults), 3) {
					l.fail(faults[i-1], calls[faults[i-1].At-1])
				}
				l.end()
			})
		})
	}
}

// fallible leaves out the calls that do not fail, by which Go's runtime wakes its
// threads, and those that log.
func fallible(c faulttest.Call) bool {
	return !strings.HasPrefix(c.Path, "anon_inode:[event") && !strings.HasPrefix(c.Path, "pipe:")
}

// errnos are those that a call fails with here.
func errnos(c faulttest.Call) []unix.Errno {
	list := []unix.Errno{unix.ENOMEM, unix.EBUSY, unix.EPERM, unix.ENOSPC}
	if c.Name() == "fsync" || c.Name() == "write" {
		list = append(list, unix.EIO)
	}
	return list
}

// calls returns the calls of the operation that may fail.
func (l *lab) calls() []faulttest.Call {
	l.t.Helper()
	l.d.Set(faulttest.Fault{Only: fallible})
	l.must(l.op.do, "counted")
	list := l.d.Calls()
	l.d.Set(faulttest.Fault{})
	l.must(l.op.undo, "counted")
	return list
}

// fail does the operation with a fault.
func (l *lab) fail(f faulttest.Fault, c faulttest.Call) {
	l.t.Helper()
	l.d.Set(f)
	err := l.patiently(l.op.do)
	hit := l.d.Hit()
	if calls := l.d.Calls(); hit {
		c = calls[f.At-1]
	}
	l.d.Set(faulttest.Fault{})
	when := fmt.Sprintf("%s, %v at call %d, %s", l.op.name, f.Errno, f.At, c)
	if l.d.ended() {
		l.t.Fatalf("%s: the daemon ended (%v)\nlog of virbrd:\n%s", when, err, tail(l.d.log.String()))
	}
	if err != nil && !clear(err) {
		l.t.Errorf("%s: no clear error: %v", when, err)
	}
	if alive, _ := l.d.conn.IsAlive(); !alive || code(err) == libvirt.ERR_SYSTEM_ERROR {
		l.d.close()
		l.d.connect()
	}
	wanted := []state{l.before, l.after}
	if err != nil && l.op.resumes {
		_, err = l.patiently(l.op.do), nil // it may have come to its end already
	}
	if err == nil {
		wanted = []state{l.after, l.after}
	}
	which, unsettled := settles(l.t, wanted...)
	if unsettled != nil {
		l.t.Errorf("%s (%v): %v\nlog of virbrd:\n%s", when, err, unsettled, tail(l.d.log.String()))
	}
	if err != nil && which == 0 {
		l.must(l.op.do, when+", once more")
		if _, err := settles(l.t, l.after); err != nil && unsettled == nil {
			l.t.Errorf("%s, done once more: %v", when, err)
		}
	}
	l.must(l.op.undo, when+", taken back")
	if _, err := settles(l.t, l.before); err != nil && unsettled == nil {
		l.t.Errorf("%s, taken back: %v", when, err)
	}
}

// forbearance bounds a call that hangs; it measures nothing.
const forbearance = 2 * time.Minute

// patiently does a step, and fails the test if it does not end.
func (l *lab) patiently(s step) error {
	l.t.Helper()
	done := make(chan error, 1)
	go func() { done <- s(l.d) }()
	timer := time.NewTimer(forbearance)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		l.t.Fatalf("%s hangs\nlog of virbrd:\n%s", l.op.name, tail(l.d.log.String()))
		return nil
	}
}

// clear reports whether an error tells what is wrong: one of libvirt's, or of our
// own client's.
func clear(err error) bool {
	e, ok := errors.AsType[libvirt.Error](err)
	return !ok || e.Code != libvirt.ERR_OK && e.Message != ""
}
