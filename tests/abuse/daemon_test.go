package abuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/netnstest"
)

// daemon is a running virbrd.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *binaries.Log
	done chan struct{} // closed when the process has ended
}

const (
	socket        = "/run/libvirt/virtnetworkd-sock"
	metricsSocket = "/run/virbr/metrics.sock"
)

// start starts virbrd. The test needs the namespaces of netnstest.
func start(t *testing.T) *daemon {
	t.Helper()
	// As on a host without polkit, whatever this one has.
	const closed = "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_rw_perms = \"0700\"\nunix_sock_ro_perms = \"0700\"\n"
	return startWith(t, closed, "unix:"+metricsSocket)
}

// startWith starts virbrd with a virtnetworkd.conf, and a place for metrics.
func startWith(t *testing.T, clients, metrics string) *daemon {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "virbrd.conf")
	// Limits of the kernel are the whole machine's: they are not for tests to raise.
	text := "log_level = \"warn\"\nraise_limits = 0\nmetrics = \"" + metrics + "\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sockets := filepath.Join(t.TempDir(), "virtnetworkd.conf")
	if err := os.WriteFile(sockets, []byte(clients), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, cmd: exec.Command(bin("virbrd"), "--config", sockets, "--virbrd-config", conf), log: &binaries.Log{}, done: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("starting virbrd: %v", err)
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
		if t.Failed() {
			t.Logf("log of virbrd:\n%.20000s", d.log)
		}
	})
	netnstest.Wait(t, "virbrd answers", func() error {
		select {
		case <-d.done:
			t.Fatalf("virbrd ended at once:\n%s", d.log)
		default:
		}
		c, err := client.Dial(t.Context(), client.Config{})
		if err != nil {
			return err
		}
		return c.Close()
	})
	return d
}

// dial connects a client that means well.
func dial(t *testing.T) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// use is what the daemon uses.
type use struct {
	goroutines, descriptors int
	resident                int64 // KiB
}

func (u use) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB", u.goroutines, u.descriptors, float64(u.resident)/1024)
}

// use asks the daemon's metrics and the kernel.
func (d *daemon) use() use {
	d.t.Helper()
	var u use
	for line := range strings.Lines(d.scrape()) {
		_, _ = fmt.Sscanf(line, "go_goroutines %d", &u.goroutines)
	}
	dir := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &u.resident)
	}
	open, err := os.ReadDir(dir + "fd")
	if err != nil {
		d.t.Fatal(err)
	}
	u.descriptors = len(open)
	if u.goroutines == 0 || u.resident == 0 {
		d.t.Fatal("virbrd does not say what it uses")
	}
	return u
}

// scrape reads the metrics. The connection is closed before it returns.
func (d *daemon) scrape() string {
	d.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", metricsSocket)
	}}
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://virbrd/metrics", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	reply, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer reply.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(body)
}

// settle waits until the daemon uses no more goroutines and descriptors than
// before, and returns what it uses.
func (d *daemon) settle(before use) use {
	d.t.Helper()
	var now use
	netnstest.Wait(d.t, "virbrd holds nothing of its clients", func() error {
		if now = d.use(); now.goroutines > before.goroutines || now.descriptors > before.descriptors {
			return fmt.Errorf("it has %s, and had %s; open are:\n%s", now, before, d.open())
		}
		return nil
	})
	return now
}

// wantNoGrowth wants as much work again to have taken no more memory. What garbage
// collection leaves varies by some MiB.
func wantNoGrowth(t *testing.T, used [2]use) {
	t.Helper()
	if limit := used[0].resident*5/4 + 8<<10; used[1].resident > limit {
		t.Errorf("virbrd uses %d KiB of memory, and %d after as much work again", used[0].resident, used[1].resident)
	}
}

// open lists what the daemon's descriptors are.
func (d *daemon) open() string {
	dir := fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid)
	entries, _ := os.ReadDir(dir)
	var b strings.Builder
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name()))
		fmt.Fprintln(&b, e.Name(), target)
	}
	return b.String()
}

// histories is where former definitions of networks are, also of those that are gone.
const histories = "/var/lib/virbr/history"

// traces are the files and the dnsmasq processes of networks. Files that only hold
// a lock stay for the next who wants it, and so do histories that are no longer than
// they may be.
func traces(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, tree := range []string{"/etc/libvirt", "/run/libvirt", "/run/virbr", "/var/lib/libvirt", "/var/lib/virbr"} {
		err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			switch {
			case err != nil || strings.HasSuffix(path, ".lock"):
			case filepath.Dir(path) == histories:
				if kept, _ := os.ReadDir(path); len(kept) > history.Depth {
					list = append(list, path+" is too long")
				}
				if e.IsDir() {
					return fs.SkipDir
				}
			case !e.IsDir():
				list = append(list, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		line, _ := os.ReadFile(path)
		space, _ := os.Readlink(filepath.Join(filepath.Dir(path), "ns/net"))
		if space == own && bytes.Contains(line, []byte("dnsmasq")) {
			list = append(list, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	slices.Sort(list)
	return list
}
