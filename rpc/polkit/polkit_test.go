package polkit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// busConfig lets everybody on the bus do everything.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// startBus starts a message bus of our own and returns its address.
func startBus(t *testing.T) string {
	t.Helper()
	netnstest.NeedProgram(t, "dbus-daemon")
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, filepath.Join(dir, "bus")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// standIn answers in polkit's place.
type standIn struct {
	hang chan struct{}

	mu    sync.Mutex
	asked []string
}

type process struct {
	Kind    string
	Details map[string]dbus.Variant
}

type verdict struct {
	Authorized, Challenge bool
	Details               map[string]string
}

// CheckAuthorization has the interface's signature: (sa{sv})sa{ss}us to (bba{ss}).
func (s *standIn) CheckAuthorization(subject process, action string, details map[string]string, flags uint32, cancellation string) (verdict, *dbus.Error) {
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s pid=%v start-time=%v uid=%v %s %v %d %q",
		subject.Kind, subject.Details["pid"], subject.Details["start-time"], subject.Details["uid"], action, details, flags, cancellation))
	s.mu.Unlock()
	switch action {
	case "yes":
		return verdict{Authorized: true, Details: map[string]string{}}, nil
	case "dismissed":
		return verdict{Challenge: true, Details: map[string]string{"polkit.dismissed": "true"}}, nil
	case "challenge":
		return verdict{Challenge: true, Details: map[string]string{}}, nil
	case "error":
		return verdict{}, dbus.NewError("org.freedesktop.PolicyKit1.Error.Failed", []any{"Action error is not registered"})
	case "hang":
		<-s.hang
	}
	return verdict{Details: map[string]string{}}, nil
}

func startStandIn(t *testing.T, address string) *standIn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &standIn{hang: make(chan struct{})}
	t.Cleanup(func() { close(s.hang) })
	if err := conn.Export(s, objectPath, "org.freedesktop.PolicyKit1.Authority"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(busName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCheck(t *testing.T) {
	t.Parallel()
	address := startBus(t)
	s := startStandIn(t, address)
	a := New(address, 0)
	t.Cleanup(func() { _ = a.Close() })
	tests := []struct {
		action      string
		details     map[string]string
		interactive bool
		reason      Reason
		message     string // "": yes
		asked       string
	}{
		{"yes", nil, true, 0, "", `unix-process pid=@u 7 start-time=@t 1099511627776 uid=1000 yes map[] 1 ""`},
		{"no", map[string]string{"network_name": "n"}, false, Denied, "access denied by policy", `unix-process pid=@u 7 start-time=@t 1099511627776 uid=1000 no map[network_name:n] 0 ""`},
		{"dismissed", nil, true, Dismissed, "user cancelled authentication process", ""},
		{"challenge", nil, true, NoAgent, "no polkit agent available to authenticate action 'challenge'", ""},
		{"error", nil, true, Service, "Action error is not registered", ""},
	}
	for _, tt := range tests {
		t.Run(tt.action, func(t *testing.T) {
			err := a.Check(t.Context(), Subject{PID: 7, StartTime: 1 << 40, UID: 1000}, tt.action, tt.details, tt.interactive)
			if tt.asked != "" {
				s.mu.Lock()
				if diff := cmp.Diff(tt.asked, s.asked[len(s.asked)-1]); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
				s.mu.Unlock()
			}
			if tt.message == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Reason != tt.reason || e.Error() != tt.message {
				t.Errorf("got %#v: %v", err, err)
			}
		})
	}
}

// TestCheckTimeout: a service that does not answer is not waited for.
func TestCheckTimeout(t *testing.T) {
	t.Parallel()
	address := startBus(t)
	startStandIn(t, address)
	a := New(address, 50*time.Millisecond)
	t.Cleanup(func() { _ = a.Close() })
	err := a.Check(t.Context(), Subject{}, "hang", nil, false)
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Service || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := a.Check(t.Context(), Subject{}, "yes", nil, false); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestCheckSilentBus: a bus that does not even say hello is not waited for.
func TestCheckSilentBus(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := New("unix:path="+path, 50*time.Millisecond)
	err = a.Check(t.Context(), Subject{}, "yes", nil, false)
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != NoBus {
		t.Errorf("got %v", err)
	}
}

// TestCheckEndsWithItsContext: a bus that takes connections and says nothing keeps
// nobody, whoever else waits for it.
func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a := New("unix:path="+path, time.Hour)
	first, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Check(first, Subject{}, "yes", nil, false) }()
	if _, err := l.Accept(); err != nil { // and never says a word
		t.Fatal(err)
	}
	second, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Check(second, Subject{}, "yes", nil, false); !errors.Is(err, context.Canceled) {
		t.Errorf("behind another one: %v", err)
	}
	giveUp()
	if err := <-ended; err == nil {
		t.Error("the first one was let through")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestCheckUnavailable: no bus, no service, and a bus that comes back.
func TestCheckUnavailable(t *testing.T) {
	t.Parallel()
	a := New("unix:path="+filepath.Join(t.TempDir(), "none"), 0)
	err := a.Check(t.Context(), Subject{}, "yes", nil, false)
	const want = "Unable to get system bus connection: Could not connect: No such file or directory"
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != NoBus || e.Error() != want {
		t.Errorf("without a bus: %v", err)
	}

	address := startBus(t)
	a = New(address, 0)
	t.Cleanup(func() { _ = a.Close() })
	err = a.Check(t.Context(), Subject{}, "yes", nil, false)
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Service {
		t.Errorf("without polkit: %v", err)
	}
	startStandIn(t, address)
	if err := a.Check(t.Context(), Subject{}, "yes", nil, false); err != nil {
		t.Errorf("with polkit: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Check(t.Context(), Subject{}, "yes", nil, false); err != nil {
		t.Errorf("with a new connection: %v", err)
	}
}
