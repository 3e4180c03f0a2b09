//go:build libvirt_dlopen

package crash

import (
	"fmt"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestSecond: a second virbrd refuses to start, says who runs, and changes nothing,
// whichever of the places the two share.
func TestSecond(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		l := newLab(t, &operations[0])
		l.must(startRich(), "first of all")
		before := rest(t)
		for name, args := range map[string][]string{
			"all":             nil,
			"own directory":   {"--pid-file=/run/second.pid", "--socket-dir=/run/second", "--state-dir=/run/second"},
			"state directory": {"--pid-file=/run/second.pid", "--socket-dir=/run/second", "--run-dir=/run/second"},
		} {
			second := launchPlain(t, args...)
			<-second.done
			want := fmt.Sprintf("another network daemon is running (process %d), stop it first", l.d.Cmd.Process.Pid)
			if state := second.Cmd.ProcessState; state == nil || state.ExitCode() != 1 || !strings.Contains(second.log.String(), want) {
				t.Errorf("the second of %s ended with %v, want 1 and %q:\n%s", name, state, want, second.log)
			}
			if name == "all" {
				same(t, before, look(t), "a second virbrd was started")
			}
			if _, err := l.d.network("rich"); err != nil {
				t.Errorf("the first, when a second had been started: %v", err)
			}
		}
		same(t, before, look(t), "others were started")
		l.must(stopRich(), "in the end")
		l.end()
	})
}
