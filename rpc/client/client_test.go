package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/tests/daemontest"
	"github.com/virbr/virbr/xml"
)

func forward(t *testing.T, guest string, port, to uint16) *xml.PortForward {
	t.Helper()
	f := &xml.PortForward{Proto: "tcp", Guest: guest, Ranges: []xml.ForwardRange{{Start: port, To: to}}}
	if _, err := xml.ParsePortForward([]byte(f.XML())); err != nil {
		t.Fatal(err)
	}
	return f
}

// daemons are the kinds of daemon that there are.
var daemons = []struct {
	name string
	pose daemontest.Pose
	how  client.Outcome
}{
	{"virbrd", nil, client.ByDaemon},
	{"libvirt 9.7", daemontest.Libvirt97, client.ByMetadata},
	{"libvirt 9.0", daemontest.Libvirt90, client.ByFile},
}

// TestEdit makes the same changes with each kind of daemon.
func TestEdit(t *testing.T) {
	t.Parallel()
	for _, tt := range daemons {
		for _, run := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{true: " running", false: " stopped"}[run], func(t *testing.T) {
				t.Parallel()
				r := daemontest.New(t)
				r.Define(t, lab, run)
				c := dial(t, daemontest.Relay(t, r.Socket, tt.pose))
				n, err := c.Lookup(t.Context(), "lab")
				if err != nil || n.Active != run || !n.Persistent {
					t.Fatalf("%+v, %v", n, err)
				}
				affect := client.AffectConfig
				if run {
					affect |= client.AffectLive
				}
				src := &client.Source{Dir: filepath.Join(t.TempDir(), "networks")}
				edit(t, c, n, affect, src, tt.how)
				if _, err := os.Stat(src.Dir); (err == nil) != (tt.how == client.ByFile) {
					t.Errorf("the directory of files: %v", err)
				}
			})
		}
	}
}

func edit(t *testing.T, c *client.Conn, n client.Network, affect client.Affect, src *client.Source, how client.Outcome) {
	t.Helper()
	web, ssh := forward(t, "web1", 8080, 80), forward(t, "52:54:00:00:00:0b", 2222, 22)
	public := &xml.PublicAddress{Public: netip.MustParseAddr("203.0.113.7"), Guest: "web1"}
	for _, step := range []struct {
		change client.Change
		want   string // all of them after it; or the error
	}{
		{client.Change{Forward: web, At: xml.Last}, "tcp *:8080 to web1:80"},
		{client.Change{Forward: ssh, At: xml.First}, "tcp *:2222 to [52:54:00:00:00:0b]:22, tcp *:8080 to web1:80"},
		{client.Change{Public: public}, "tcp *:2222 to [52:54:00:00:00:0b]:22, tcp *:8080 to web1:80, 203.0.113.7 of web1"},
		{client.Change{Forward: web, At: xml.Last}, "! tcp *:8080 to web1:80"},
		{client.Change{Public: public}, "! belongs to 'web1'"},
		{client.Change{Forward: web, Remove: true}, "tcp *:2222 to [52:54:00:00:00:0b]:22, 203.0.113.7 of web1"},
		{client.Change{Public: public, Remove: true}, "tcp *:2222 to [52:54:00:00:00:0b]:22"},
		{client.Change{Forward: web, Remove: true}, "! there is no forward tcp *:8080 to web1:80"},
		{client.Change{Forward: web, At: xml.First}, "tcp *:8080 to web1:80, tcp *:2222 to [52:54:00:00:00:0b]:22"},
	} {
		got, err := c.Edit(t.Context(), n, affect, step.change, src)
		if want, refused := strings.CutPrefix(step.want, "! "); refused {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want an error with %q", step.change, err, want)
			}
			continue
		}
		if err != nil || got != how {
			t.Fatalf("%+v: outcome %d, %v, want %d", step.change, got, err, how)
		}
		for _, live := range []bool{false, true} {
			if live && !n.Active {
				continue
			}
			e, err := c.Extensions(t.Context(), n, live, src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step.want, words(e)); diff != "" {
				t.Errorf("live %t (-want +got):\n%s", live, diff)
			}
		}
	}
	list, _, err := c.Resolved(t.Context(), n, src)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v, want two forwards", list, err)
	}
	want := client.Waiting
	if !n.Active {
		want = client.Inactive
	}
	if list[1].Guest != "52:54:00:00:00:0b" || list[1].Phase != want {
		t.Errorf("%+v, want phase %d", list[1], want)
	}
}

func words(e *xml.Extensions) string {
	var list []string
	for i := range e.Forwards {
		list = append(list, e.Forwards[i].String())
	}
	for i := range e.Publics {
		list = append(list, e.Publics[i].String())
	}
	return strings.Join(list, ", ")
}

// TestEditChecks: with a daemon that does not look into metadata we look.
func TestEditChecks(t *testing.T) {
	t.Parallel()
	for _, tt := range daemons {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := daemontest.New(t)
			if _, err := r.Driver.DefineXML(t.Context(), "<network><name>lab</name><forward mode='bridge'/><bridge name='br0'/></network>", false); err != nil {
				t.Fatal(err)
			}
			c := dial(t, daemontest.Relay(t, r.Socket, tt.pose))
			n, err := c.Lookup(t.Context(), "lab")
			if err != nil {
				t.Fatal(err)
			}
			src := &client.Source{Dir: t.TempDir()}
			_, err = c.Edit(t.Context(), n, client.AffectConfig, client.Change{Forward: forward(t, "web1", 8080, 80)}, src)
			if err == nil || !strings.Contains(err.Error(), "portForward is not supported with forward mode='bridge'") {
				t.Errorf("%v, want a refusal", err)
			}
			if _, err := os.Stat(src.Path("lab")); err == nil {
				t.Error("a refused change was written")
			}
		})
	}
}

// TestFile: what is in a file stays there, one that cannot be read is not
// overwritten, and what an edit left that died goes with the next.
func TestFile(t *testing.T) {
	t.Parallel()
	r := daemontest.New(t)
	r.Define(t, lab, true)
	src := &client.Source{Dir: t.TempDir()}
	const before = "<!-- by hand --><virbr:network xmlns:virbr='urn:virbr:network:1'><virbr:firewall coexist='no'/></virbr:network>"
	if err := os.WriteFile(src.Path("lab"), []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src.Dir, ".lab.xml.ABCDEFGHIJKLMNOPQRSTUVWXYZ.new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	both := client.AffectLive | client.AffectConfig
	web := client.Change{Forward: forward(t, "web1", 8080, 80)}
	for _, pose := range []daemontest.Pose{daemontest.Libvirt90, daemontest.Libvirt97} {
		c := dial(t, daemontest.Relay(t, r.Socket, pose))
		n, err := c.Lookup(t.Context(), "lab")
		if err != nil {
			t.Fatal(err)
		}
		if how, err := c.Edit(t.Context(), n, both, web, src); err != nil || how != client.ByFile {
			t.Fatalf("outcome %d, %v", how, err)
		}
		text, err := os.ReadFile(src.Path("lab"))
		want := "<virbr:network xmlns:virbr='urn:virbr:network:1'>\n  <virbr:firewall coexist='no'/>\n" +
			"  <virbr:portForward proto='tcp' guest='web1'>\n    <virbr:range start='8080' to='80'/>\n  </virbr:portForward>\n</virbr:network>\n"
		if diff := cmp.Diff(want, string(text)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if _, err := c.Edit(t.Context(), n, client.AffectLive, web, src); err == nil || !strings.Contains(err.Error(), "change both") {
			t.Errorf("half of a file: %v", err)
		}
		web.Remove = true
		if _, err := c.Edit(t.Context(), n, both, web, src); err != nil {
			t.Fatal(err)
		}
		web.Remove = false
		if files, err := os.ReadDir(src.Dir); err != nil || len(files) != 1 {
			t.Errorf("%v, %v, want one file", files, err)
		}
	}
	if err := os.WriteFile(src.Path("lab"), []byte("<virbr:network"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dial(t, daemontest.Relay(t, r.Socket, daemontest.Libvirt90))
	n, err := c.Lookup(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Edit(t.Context(), n, both, web, src); err == nil || !strings.Contains(err.Error(), src.Path("lab")) {
		t.Errorf("a broken file: %v", err)
	}
	if text, err := os.ReadFile(src.Path("lab")); err != nil || string(text) != "<virbr:network" {
		t.Errorf("a broken file became %q, %v", text, err)
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	r := daemontest.New(t)
	r.Define(t, lab, true)
	c := dial(t, r.Socket)
	list, err := c.Networks(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "lab" || !list[0].Active || !list[0].Persistent {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := c.Lookup(t.Context(), "nosuch"); !client.IsNoNetwork(err) {
		t.Errorf("a network that is not there: %v", err)
	}
	r.Server.Publish(driver.Event{Kind: driver.EventHealed, Network: driver.Ref{Name: "lab"}, By: "nft (pid 1)"})
	history, err := c.RecentEvents(t.Context())
	last := client.Event{}
	if len(history) > 0 {
		last = history[len(history)-1]
	}
	if err != nil || last.Kind != client.Healed || last.Network != "lab" || last.By != "nft (pid 1)" || last.Time.IsZero() {
		t.Errorf("%+v, %v", history, err)
	}
	if history, err := dial(t, daemontest.Relay(t, r.Socket, daemontest.Libvirt97)).RecentEvents(t.Context()); err != nil || history != nil {
		t.Errorf("of another daemon: %v, %v", history, err)
	}
}

// TestHappenings: events come in order, of the network that was asked for; the
// daemon's end is told, and that others have none.
func TestHappenings(t *testing.T) {
	t.Parallel()
	d, end, err := daemontest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(end)
	t.Cleanup(func() { _ = stop() })
	d.Define(t, lab, true)
	c := dial(t, d.Socket)
	n, err := c.Lookup(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	lab, err := d.Driver.LookupByName(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	for _, pose := range []daemontest.Pose{daemontest.Libvirt90, daemontest.Libvirt97} {
		err := dial(t, daemontest.Relay(t, d.Socket, pose)).Events(t.Context(), nil, nil, nil)
		if !errors.Is(err, client.ErrForeign) || !strings.HasPrefix(err.Error(), "events come from virbrd only") {
			t.Errorf("of libvirt's daemon: %v", err)
		}
	}
	heard := make(chan client.Event)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Events(t.Context(), &n, func() {}, func(e client.Event) error {
			heard <- e
			return nil
		})
	}()
	// The first one is told as soon as it is registered for.
	first := func() client.Event {
		for {
			d.Server.Publish(driver.Event{Kind: driver.EventHealed, Network: lab, By: "nft (pid 1)", Networks: 3, Took: 5})
			select {
			case e := <-heard:
				return e
			case <-time.After(time.Millisecond):
			}
		}
	}()
	if first.Time.IsZero() {
		t.Error("it was never")
	}
	first.Time = time.Time{}
	if diff := cmp.Diff(client.Event{Kind: client.Healed, Network: "lab", By: "nft (pid 1)", Count: 3, Took: 5}, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.Server.Publish(driver.Event{Kind: driver.EventStarted, Network: driver.Ref{Name: "other"}})
	d.Server.Publish(driver.Event{Kind: driver.EventGuest, Network: lab, Guest: "web1", Leading: 2, Now: []netip.Addr{netip.MustParseAddr("fd00::1")}})
	for e := range heard {
		if e.Kind == client.Healed {
			continue // asked for while the registration was under way
		}
		if e.Kind != client.GuestMoved || e.Detail != "web1" || e.Count != 2 || fmt.Sprint(e.Was, e.Now) != "[] [fd00::1]" {
			t.Errorf("heard %+v", e)
		}
		break
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("the daemon ended: %v", err)
	}
	if _, err := c.Networks(t.Context()); err == nil {
		t.Error("the connection is taken for whole")
	}
}

// TestHappeningsEnd: who listens stops when his context ends, or when he says so.
func TestHappeningsEnd(t *testing.T) {
	t.Parallel()
	r := daemontest.New(t)
	r.Define(t, lab, false)
	ctx, cancel := context.WithCancel(t.Context())
	c := dial(t, r.Socket)
	ended := make(chan error, 1)
	go func() { ended <- c.Events(ctx, nil, func() {}, nil) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	enough := errors.New("enough")
	c = dial(t, r.Socket)
	go func() { ended <- c.Events(t.Context(), nil, func() {}, func(client.Event) error { return enough }) }()
	for {
		r.Server.Publish(driver.Event{Kind: driver.EventStarted})
		select {
		case err := <-ended:
			if !errors.Is(err, enough) {
				t.Errorf("it ended with %v", err)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestDial(t *testing.T) {
	t.Parallel()
	r := daemontest.New(t)
	c, err := client.Dial(t.Context(), client.Config{RunDir: filepath.Dir(r.Socket)})
	if err != nil {
		t.Fatal(err)
	}
	if c.Socket() != r.Socket {
		t.Errorf("connected to %s", c.Socket())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, cfg := range []client.Config{{RunDir: t.TempDir()}, {URI: client.URI{Socket: filepath.Join(t.TempDir(), "sock")}}, {RunDir: filepath.Dir(r.Socket), ReadOnly: true}} {
		if _, err := client.Dial(t.Context(), cfg); !errors.Is(err, client.ErrNoDaemon) {
			t.Errorf("%+v: %v, want ErrNoDaemon", cfg, err)
		}
	}
}

// TestReadOnly: what is opened for reading changes nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	r := daemontest.New(t)
	r.Define(t, lab, false)
	c, err := client.Dial(t.Context(), client.Config{URI: client.URI{Socket: r.Socket}, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	n, err := c.Lookup(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Edit(t.Context(), n, client.AffectConfig, client.Change{Forward: forward(t, "web1", 8080, 80)}, &client.Source{})
	if err == nil || !strings.Contains(err.Error(), "read only access prevents virbrForwardAdd") {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestHostileDaemons: what is no daemon of libvirt's is told apart, and nobody
// waits for ever.
func TestHostileDaemons(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"nothing":          "",
		"text":             "220 mail.example ESMTP\r\n",
		"a huge frame":     "\x7f\xff\xff\xff",
		"another's reply":  "\x00\x00\x00\x1c\x20\x00\x80\x86\x00\x00\x00\x01\x00\x00\x00\x42\x00\x00\x00\x01\x00\x00\x00\x63\x00\x00\x00\x00",
		"a reply too many": "\x00\x00\x00\x1c\x20\x00\x80\x86\x00\x00\x00\x01\x00\x00\x00\x42\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() //nolint:errcheck // the test is over
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(says))
				if says != "" {
					_ = conn.Close()
				}
			}()
			ctx, cancel := context.WithCancel(t.Context())
			if says == "" {
				cancel() // as a person does who has waited enough
			}
			defer cancel()
			if _, err := client.Dial(ctx, client.Config{URI: client.URI{Socket: path}}); err == nil {
				t.Error("this is taken for a daemon")
			}
		})
	}
}
