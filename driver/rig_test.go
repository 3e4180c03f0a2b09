package driver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/hosttest"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// rig is a driver on a host in memory, with its directories below one of the
// test's own.
type rig struct {
	t    *testing.T
	dir  string
	dirs state.Dirs
	host *hosttest.Fake
	d    *driver.Driver

	mu     sync.Mutex // guards events
	events []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	return &rig{t: t, dir: dir, host: hosttest.New(), dirs: state.Dirs{
		Config:  filepath.Join(dir, "etc"),
		State:   filepath.Join(dir, "run"),
		Dnsmasq: filepath.Join(dir, "dnsmasq"),
		Hooks:   filepath.Join(dir, "hooks"),
		Own:     filepath.Join(dir, "own"),
		Lib:     filepath.Join(dir, "lib"),
	}}
}

// started returns a rig whose driver runs.
func started(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.open()
	return r
}

func (r *rig) config() driver.Config {
	return driver.Config{
		System:   r.host,
		Watcher:  r.host,
		Dirs:     r.dirs,
		Random:   &counter{},
		Patience: time.Minute,
		Events:   r.record,
	}
}

// open starts a driver over the rig's directories; the one before must be
// closed.
func (r *rig) open() {
	r.t.Helper()
	r.d = driver.New(r.config())
	if err := r.d.Load(r.t.Context()); err != nil {
		r.t.Fatalf("Load: %v", err)
	}
	r.d.StartAll(r.t.Context())
}

// reopen is a restart of the daemon.
func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.d.Close(r.t.Context()); err != nil {
		r.t.Fatalf("Close: %v", err)
	}
}

func (r *rig) record(e driver.Event) {
	names := []string{"defined", "undefined", "started", "stopped", "metadata", "healed", "accepted", "dnsmasq died", "dnsmasq started", "dnsmasq failed", "guest", "uplink", "name claimed", "restored"}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := e.Network.Name + " " + names[e.Kind]
	switch e.Kind {
	case driver.EventAccepted:
		text += fmt.Sprintf(" of %d by %s", e.Networks, e.By)
	case driver.EventDnsmasqDied:
		text += fmt.Sprintf(" %d, wait %v", e.Deaths, e.Wait)
	case driver.EventDnsmasqFailed:
		text += ": " + e.Reason
	case driver.EventGuest:
		text += fmt.Sprintf(" %s of %d: %v to %v", e.Guest, e.Leading, e.Was, e.Now)
	default: // the name says it all
	}
	r.events = append(r.events, text)
}

func (r *rig) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.events
	r.events = nil
	return told
}

func (r *rig) define(doc string) driver.Ref {
	r.t.Helper()
	ref, err := r.d.DefineXML(r.t.Context(), doc, false)
	if err != nil {
		r.t.Fatalf("DefineXML: %v", err)
	}
	return ref
}

func (r *rig) start(ref driver.Ref) {
	r.t.Helper()
	if err := r.d.Start(r.t.Context(), ref); err != nil {
		r.t.Fatalf("Start %q: %v", ref.Name, err)
	}
}

func (r *rig) destroy(ref driver.Ref) {
	r.t.Helper()
	if err := r.d.Destroy(r.t.Context(), ref); err != nil {
		r.t.Fatalf("Destroy %q: %v", ref.Name, err)
	}
}

func (r *rig) active(ref driver.Ref) bool {
	r.t.Helper()
	on, err := r.d.IsActive(r.t.Context(), ref)
	if err != nil {
		r.t.Fatalf("IsActive %q: %v", ref.Name, err)
	}
	return on
}

func (r *rig) xml(ref driver.Ref, inactive bool) string {
	r.t.Helper()
	doc, err := r.d.XML(r.t.Context(), ref, inactive)
	if err != nil {
		r.t.Fatalf("XML %q: %v", ref.Name, err)
	}
	return doc
}

// files returns the paths and contents of all files below the rig's
// directory but the locked driver.pid and the networks' history, one entry a file.
func (r *rig) files() []string {
	r.t.Helper()
	var list []string
	err := filepath.WalkDir(r.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "driver.pid" {
			return err
		}
		rel, _ := filepath.Rel(r.dir, path)
		if strings.HasPrefix(rel, "lib/history/") {
			return nil
		}
		if target, err := os.Readlink(path); err == nil {
			list = append(list, rel+" -> "+target)
			return nil
		}
		data, err := os.ReadFile(path)
		list = append(list, rel+": "+string(data))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func (r *rig) names() []string {
	r.t.Helper()
	var list []string
	for _, f := range r.files() {
		list = append(list, strings.SplitN(strings.SplitN(f, ": ", 2)[0], " -> ", 2)[0])
	}
	return list
}

func (r *rig) write(path, text string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) read(path string) string {
	r.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// script writes a hook. The lock keeps other tests from forking while the file
// is open for writing, which would make running it fail (ETXTBSY).
func (r *rig) script(name, body string) {
	r.t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	path := filepath.Join(r.dirs.Hooks, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// counter is a source of bytes that nobody would call random.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

// natNet is a network with everything that a start touches.
func natNet(name string, n int) string {
	return fmt.Sprintf(`<network>
  <name>%s</name>
  <uuid>%s</uuid>
  <forward mode='nat'/>
  <bridge name='virbr%d' stp='on' delay='0'/>
  <mac address='52:54:00:00:00:%02x'/>
  <bandwidth>
    <inbound average='1000'/>
  </bandwidth>
  <ip address='192.168.%d.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.%d.2' end='192.168.%d.254'/>
      <host mac='52:54:00:aa:bb:cc' name='web1' ip='192.168.%d.10'/>
    </dhcp>
  </ip>
</network>
`, name, uuid(n), n, n, n, n, n, n)
}

func uuid(n int) xml.UUID { return xml.UUID{0: 0xaa, 6: 0x40, 8: 0x80, 15: byte(n)} }

// kindOf returns an error's kind and message.
func kindOf(err error) (driver.Kind, string) {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Kind, e.Msg
	}
	return 255, fmt.Sprint(err)
}

func wantKind(t *testing.T, err error, kind driver.Kind, msg string) {
	t.Helper()
	if k, m := kindOf(err); k != kind || m != msg {
		t.Errorf("got error kind %d %q, want kind %d %q", k, m, kind, msg)
	}
}

// gate makes the host stop before a step whose line begins with prefix, until
// release is closed; reached receives one value each time.
type gate struct {
	prefix  string
	reached chan string
	release chan struct{}
}

func newGate(r *rig, prefix string) *gate {
	g := &gate{prefix: prefix, reached: make(chan string, 100), release: make(chan struct{})}
	r.host.Before = func(ctx context.Context, line string) error {
		if !strings.HasPrefix(line, g.prefix) {
			return nil
		}
		g.reached <- line
		select {
		case <-g.release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g
}
