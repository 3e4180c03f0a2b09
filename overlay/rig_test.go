package overlay

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/virbr/virbr/driver/hosttest"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

const (
	testUUID = "c0ffee00-0000-4000-8000-000000000001"
	netXML   = `<network><name>default</name><uuid>` + testUUID + `</uuid><forward mode='nat'/><bridge name='virbr0'/>METADATA
<ip address='192.168.122.1' prefix='24'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>`

	prefixExt = "<virbr:ipv6 advprefix='fd00:5::/64'/>"
	webExt    = "<virbr:portForward proto='tcp' guest='192.168.122.9'><virbr:range start='8080' to='80'/></virbr:portForward>"
	publicExt = "<virbr:address public='203.0.113.7' guest='192.168.122.9'/>"
)

// system is a host in memory whose files change when a test says so.
type system struct {
	*hosttest.Fake

	mu   sync.Mutex // guards tell
	tell func(string)
}

func (s *system) WatchFiles(ctx context.Context, _ []string, tell func(string)) error {
	s.mu.Lock()
	s.tell = tell
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// rig is an engine in directories of its own.
type rig struct {
	t      *testing.T
	e      *Engine
	host   *system
	dirs   state.Dirs
	files  state.Overlay
	agents atomic.Int32 // how often one was to be started
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, host: &system{Fake: hosttest.New()}, dirs: state.Dirs{
		Added: filepath.Join(dir, "config"), State: filepath.Join(dir, "state"), Dnsmasq: filepath.Join(dir, "theirs"),
		Own: filepath.Join(dir, "own"), Lib: filepath.Join(dir, "lib"),
	}}
	for _, d := range []string{r.dirs.Added, r.dirs.State, r.dirs.Dnsmasq} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.files = r.dirs.Overlay()
	r.host.AddLink("virbr0", "bridge")
	r.host.SetAddresses("virbr0", netip.MustParsePrefix("192.168.122.1/24"))
	r.restart()
	return r
}

// restart makes another engine, as another process would have one.
func (r *rig) restart() {
	r.e = New(Config{
		System:     r.host,
		Dirs:       r.dirs,
		Choose:     func(_ context.Context, def *xml.Network, _ step.Facts) (*xml.Network, error) { return def, nil },
		StartAgent: func(context.Context) error { r.agents.Add(1); return nil },
	})
}

// document is that of a network whose metadata has some elements of ours.
func document(elements string) string {
	metadata := ""
	if elements != "" {
		metadata = "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>" + elements + "</virbr:network></metadata>"
	}
	return strings.Replace(netXML, "METADATA", metadata, 1)
}

func (r *rig) hook(op hooks.Op, doc string) error {
	return r.e.Hook(r.t.Context(), &hooks.Call{Network: "default", Op: op, Document: []byte("<hookData>\n  " + doc + "\n</hookData>")})
}

func (r *rig) must(op hooks.Op, doc string) {
	r.t.Helper()
	if err := r.hook(op, doc); err != nil {
		r.t.Fatalf("%s: %v", op, err)
	}
}

// refused wants an error that says something.
func (r *rig) refused(op hooks.Op, doc, want string) {
	r.t.Helper()
	if err := r.hook(op, doc); err == nil || !strings.Contains(err.Error(), want) {
		r.t.Errorf("%s: error %v, want %q", op, err, want)
	}
}

// clean wants the host as it was, and no record.
func (r *rig) clean(what, before string) {
	r.t.Helper()
	if now := r.host.State(); now != before {
		r.t.Errorf("%s: the host was\n%sand is\n%s", what, before, now)
	}
	if list, err := r.files.Records().List(); err != nil || len(list) > 0 {
		r.t.Errorf("%s: records %v (%v)", what, list, err)
	}
	if list, err := r.files.Reports(); err != nil || len(list) > 0 {
		r.t.Errorf("%s: reports %v (%v)", what, list, err)
	}
}

func (r *rig) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// extend writes our own file about the network.
func (r *rig) extend(elements string) {
	r.t.Helper()
	r.write(r.files.Extensions("default"), "<virbr:network xmlns:virbr='urn:virbr:network:1'>"+elements+"</virbr:network>")
}

func (r *rig) report() *plan.Report {
	r.t.Helper()
	got, err := r.files.Report("default")
	if got == nil || err != nil {
		r.t.Fatalf("report %v, %v", got, err)
	}
	return got
}

// runs reports whether something is in force.
func (r *rig) has(line string) bool { return strings.Contains(r.host.State(), line) }

// fail makes the n-th op that is done fail; it returns its line.
func (r *rig) fail(n int) *string {
	var broken string
	seen := 0
	r.host.Before = func(_ context.Context, line string) error {
		if line == "facts" || broken != "" {
			return nil
		}
		if seen++; seen <= n {
			return nil
		}
		broken = line
		return errBroken
	}
	return &broken
}

var errBroken = errors.New("broken by the test")
