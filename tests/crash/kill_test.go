//go:build libvirt_dlopen

package crash

import (
	"fmt"
	"testing"

	"github.com/virbr/virbr/tests/faulttest"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestKill kills virbrd in the place of each system call of each operation, as
// kill -9 does. The next virbrd converges to the state before or to the one after:
// no rule, link, process or file is left between, and no guest lost a packet.
func TestKill(t *testing.T) {
	t.Parallel()
	for i := range operations {
		op := &operations[i]
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				l := newLab(t, op)
				for _, at := range points(t, l.count(), 2) {
					l.kill(at)
				}
				l.end()
			})
		})
	}
}

// count returns how many calls the operation makes.
func (l *lab) count() int {
	l.t.Helper()
	l.d.Set(faulttest.Fault{})
	l.must(l.op.do, "counted")
	n := len(l.d.Calls())
	l.must(l.op.undo, "counted")
	return n
}

// kill kills the daemon at a call of the operation, and starts the next.
func (l *lab) kill(at int) {
	l.t.Helper()
	l.d.Set(faulttest.Fault{At: at})
	err := l.op.do(l.d)
	if !l.d.Hit() { // it came by with fewer calls this time
		l.d.Set(faulttest.Fault{})
		l.must(l.op.undo, "without a call "+fmt.Sprint(at))
		return
	}
	<-l.d.done
	calls := l.d.Calls()
	when := fmt.Sprintf("%s, killed at call %d, %s", l.op.name, at, calls[len(calls)-1])
	earlier := l.d.log.String()
	l.d.close()
	l.d = start(l.t)
	which, err2 := settles(l.t, l.before, l.after)
	if err2 != nil {
		l.t.Errorf("%s (%v): %v\nlog of the killed:\n%.6000s\nlog of the next:\n%.6000s", when, err, err2, tail(earlier), l.d.log)
		if which < 0 {
			return
		}
	}
	if which == 0 {
		l.must(l.op.do, when+", once more")
		if _, err := settles(l.t, l.after); err != nil && err2 == nil {
			l.t.Errorf("%s, done once more: %v", when, err)
		}
	}
	l.must(l.op.undo, when+", taken back")
	if _, err := settles(l.t, l.before); err != nil && err2 == nil {
		l.t.Errorf("%s, taken back: %v", when, err)
	}
}

// tail returns the end of a log.
func tail(text string) string { return text[max(0, len(text)-3000):] }
