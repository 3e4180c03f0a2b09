package driver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
)

func TestDefineWritesWhatItGenerates(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define("<network><name>plain</name></network>")
	want := `<!--
The network driver keeps this file and will overwrite what is changed here.
To change the network, use:
  virsh net-edit plain
or another program that talks to the driver.
-->

<network>
  <name>plain</name>
  <uuid>01020304-0506-4708-890a-0b0c0d0e0f10</uuid>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='52:54:00:11:12:13'/>
</network>
`
	path := filepath.Join(r.dirs.Config, "plain.xml")
	if diff := cmp.Diff(want, r.read(path)); diff != "" {
		t.Errorf("config file (-want +got):\n%s", diff)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
	_, doc, _ := strings.Cut(want, "-->\n\n")
	if diff := cmp.Diff(doc, r.xml(ref, true)); diff != "" {
		t.Errorf("inactive XML (-want +got):\n%s", diff)
	}
}

func TestConfigHeader(t *testing.T) {
	t.Parallel()
	r := started(t)
	for name, want := range map[string]string{
		"plain":   "virsh net-edit plain\n",
		"a b;rm":  "virsh net-edit 01020304-",
		"a--b":    "virsh net-edit 01020304-",
		"-option": "virsh net-edit 01020304-",
	} {
		r := &rig{t: r.t, dir: r.dir, dirs: r.dirs, host: r.host}
		cfg := r.config()
		cfg.Dirs.Config = t.TempDir()
		r.d = driver.New(cfg)
		if _, err := r.d.DefineXML(t.Context(), "<network><name>"+name+"</name></network>", false); err != nil {
			if name == "a--b" {
				continue // the parser may refuse what cannot stand in a comment
			}
			t.Errorf("%q: %v", name, err)
			continue
		}
		if text := r.read(filepath.Join(cfg.Dirs.Config, name+".xml")); !strings.Contains(text, want) {
			t.Errorf("%q: header lacks %q:\n%s", name, want, text)
		}
	}
}

// Every call in every state: what libvirt's documentation and spec say.
func TestWhatFailsWhen(t *testing.T) {
	t.Parallel()
	const gone = "no network with matching uuid 'aa000000-0000-4000-8000-000000000000' (default)"
	type outcome struct {
		kind driver.Kind
		msg  string
	}
	ok := outcome{255, "<nil>"}
	calls := map[string]func(r *rig, ref driver.Ref) error{
		"start":    func(r *rig, ref driver.Ref) error { return r.d.Start(r.t.Context(), ref) },
		"destroy":  func(r *rig, ref driver.Ref) error { return r.d.Destroy(r.t.Context(), ref) },
		"undefine": func(r *rig, ref driver.Ref) error { return r.d.Undefine(r.t.Context(), ref) },
		"define": func(r *rig, _ driver.Ref) error {
			_, err := r.d.DefineXML(r.t.Context(), natNet("default", 0), false)
			return err
		},
		"create": func(r *rig, _ driver.Ref) error {
			_, err := r.d.CreateXML(r.t.Context(), natNet("default", 0), false)
			return err
		},
		"autostart": func(r *rig, ref driver.Ref) error { return r.d.SetAutostart(r.t.Context(), ref, true) },
		"xml":       func(r *rig, ref driver.Ref) error { _, err := r.d.XML(r.t.Context(), ref, false); return err },
	}
	states := map[string]map[string]outcome{
		"inactive": {
			"start": ok, "undefine": ok, "define": ok, "create": ok, "autostart": ok, "xml": ok,
			"destroy": {driver.KindOperationInvalid, "network 'default' is not active"},
		},
		"active": {
			"destroy": ok, "undefine": ok, "define": ok, "autostart": ok, "xml": ok,
			"start":  {driver.KindOperationInvalid, "network is already active"},
			"create": {driver.KindOperationInvalid, "network is already active as 'default'"},
		},
		"transient": {
			"destroy": ok, "define": ok, "xml": ok,
			"start":     {driver.KindOperationInvalid, "network is already active"},
			"create":    {driver.KindOperationInvalid, "network is already active as 'default'"},
			"undefine":  {driver.KindOperationInvalid, "can't undefine transient network"},
			"autostart": {driver.KindOperationInvalid, "cannot set autostart for transient network"},
		},
		"none": {
			"define": ok, "create": ok,
			"start": {driver.KindNoNetwork, gone}, "destroy": {driver.KindNoNetwork, gone},
			"undefine": {driver.KindNoNetwork, gone}, "autostart": {driver.KindNoNetwork, gone}, "xml": {driver.KindNoNetwork, gone},
		},
	}
	for state, want := range states {
		for name, call := range calls {
			t.Run(state+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := started(t)
				ref := driver.Ref{Name: "default", UUID: uuid(0)}
				if state == "inactive" || state == "active" {
					r.define(natNet("default", 0))
				}
				if state == "active" {
					r.start(ref)
				}
				if state == "transient" {
					if err := calls["create"](r, ref); err != nil {
						t.Fatal(err)
					}
				}
				kind, msg := kindOf(call(r, ref))
				if got := (outcome{kind, msg}); got != want[name] {
					t.Errorf("got %v, want %v", got, want[name])
				}
			})
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.define(natNet("default", 0))
	_, err := r.d.DefineXML(t.Context(), natNet("other", 0), false) // what net-edit sends when the name is changed
	wantKind(t, err, driver.KindInternal, "bridge name 'virbr0' already in use.")
	_, err = r.d.DefineXML(t.Context(), strings.Replace(natNet("other", 0), "virbr0", "virbr9", 1), false)
	wantKind(t, err, driver.KindOperationFailed,
		"network 'default' is already defined with uuid aa000000-0000-4000-8000-000000000000")
	_, err = r.d.DefineXML(t.Context(), natNet("default", 1), false)
	wantKind(t, err, driver.KindOperationFailed,
		"network 'default' already exists with uuid aa000000-0000-4000-8000-000000000000")
	_, err = r.d.CreateXML(t.Context(), "<network><name>default</name></network>", false)
	wantKind(t, err, driver.KindOperationFailed,
		"network 'default' already exists with uuid aa000000-0000-4000-8000-000000000000")
	_, err = r.d.LookupByName(t.Context(), "nowhere")
	wantKind(t, err, driver.KindNoNetwork, "no network with matching name 'nowhere'")
	_, err = r.d.LookupByUUID(t.Context(), uuid(9))
	wantKind(t, err, driver.KindNoNetwork, "no network with matching uuid 'aa000000-0000-4000-8000-000000000009'")
}

func TestNamesThatAreTheDriversOwn(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.files()
	for _, name := range []string{"driver", ".", "..", "a/b", "a&#10;b"} {
		if _, err := r.d.DefineXML(t.Context(), "<network><name>"+name+"</name></network>", false); err == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

func TestBridgeNames(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.host.AddLink("virbr1", "bridge")
	bridge := func(ref driver.Ref) string {
		t.Helper()
		name, err := r.d.BridgeName(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	plain := func(name, more string) string { return "<network><name>" + name + "</name>" + more + "</network>" }
	a := r.define(plain("a", ""))
	b := r.define(plain("b", ""))
	c := r.define(plain("c", "<bridge name='lan%d'/>"))
	d := r.define(plain("d", "<bridge name='eth0'/>")) // of the host: not checked before the start
	for ref, want := range map[driver.Ref]string{a: "virbr0", b: "virbr2", c: "lan0", d: "eth0"} {
		if got := bridge(ref); got != want {
			t.Errorf("bridge of %s is %q, want %q", ref.Name, got, want)
		}
	}
	made := r.define(plain("made", "<forward mode='bridge'/><bridge create='yes'/>"))
	if got := bridge(made); got != "virbr3" || !strings.Contains(r.xml(made, true), "<bridge name='virbr3' stp='on' delay='0' create='yes'/>") {
		t.Errorf("bridge to be made: %q in\n%s", got, r.xml(made, true))
	}
	r.start(made)
	r.destroy(made)
	if err := r.d.Undefine(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	_, err := r.d.DefineXML(t.Context(), plain("e", "<bridge name='lan0'/>"), false)
	wantKind(t, err, driver.KindInternal, "bridge name 'lan0' already in use.")
	const twice = "<ip address='10.1.1.1' prefix='24'><dhcp><range start='10.1.1.2' end='10.1.1.3'/></dhcp></ip>"
	_, err = r.d.DefineXML(t.Context(), plain("e", "<bridge name='lan0'/>"+twice+strings.ReplaceAll(twice, "10.1.1", "10.1.2")), false)
	wantKind(t, err, driver.KindInternal, "bridge name 'lan0' already in use.")
	if _, err := r.d.LookupByName(t.Context(), "e"); err == nil {
		t.Error("a refused definition left its network behind")
	}
	_, err = r.d.BridgeName(t.Context(), r.define(plain("v", "<forward mode='vepa'/>")))
	wantKind(t, err, driver.KindInternal, "network 'v' does not have a bridge name.")

	// Redefined without a name: an inactive network may have its own again, a
	// running one moves on and keeps the old one until it stops.
	again := fmt.Sprintf("<network><name>a</name><uuid>%s</uuid></network>", a.UUID)
	r.define(again)
	if got := bridge(a); got != "virbr0" {
		t.Errorf("redefined inactive: bridge %q, want virbr0", got)
	}
	r.start(a)
	r.define(again)
	if got := bridge(a); got != "virbr0" {
		t.Errorf("redefined while running: bridge %q, want virbr0 still", got)
	}
	r.destroy(a)
	if got := bridge(a); got != "virbr3" {
		t.Errorf("redefined while running, then stopped: bridge %q, want virbr3", got)
	}
}

func TestBridgeNamesRunOut(t *testing.T) {
	t.Parallel()
	r := started(t)
	for i := range 1000 {
		r.host.AddLink(fmt.Sprintf("virbr%d", i), "bridge")
		r.host.AddLink(fmt.Sprintf("a-long-name-%d", i), "bridge")
	}
	ref := r.define("<network><name>more</name></network>")
	if got, err := r.d.BridgeName(t.Context(), ref); err != nil || got != "virbr1000" {
		t.Errorf("after a thousand bridges comes %q, %v", got, err)
	}
	_, err := r.d.DefineXML(t.Context(), "<network><name>n</name><bridge name='a-long-name-%d'/></network>", false)
	wantKind(t, err, driver.KindInternal, "Bridge generation exceeded max id 999")
}

func TestPendingDefinition(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	r.start(ref)
	live := r.xml(ref, false)
	r.define(strings.Replace(natNet("default", 0), "<forward mode='nat'/>", "<forward mode='route'/>", 1))
	if diff := cmp.Diff(live, r.xml(ref, false)); diff != "" {
		t.Errorf("defining changed the running network (-before +after):\n%s", diff)
	}
	if got := r.xml(ref, true); !strings.Contains(got, "mode='route'") {
		t.Errorf("inactive XML is not the new definition:\n%s", got)
	}
	r.destroy(ref)
	if got := r.xml(ref, false); !strings.Contains(got, "mode='route'") {
		t.Errorf("after the stop the new definition does not count:\n%s", got)
	}
}

func TestUndefineOfARunningNetwork(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	if err := r.d.SetAutostart(t.Context(), ref, true); err != nil {
		t.Fatal(err)
	}
	r.start(ref)
	if err := r.d.Undefine(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	persistent, _ := r.d.IsPersistent(t.Context(), ref)
	autostart, _ := r.d.Autostart(t.Context(), ref)
	if persistent || autostart || !r.active(ref) {
		t.Errorf("persistent %v, autostart %v, active %v; want only active", persistent, autostart, r.active(ref))
	}
	r.write(filepath.Join(r.dirs.Dnsmasq, "virbr0.status"), "[]")
	r.write(filepath.Join(r.dirs.Dnsmasq, "virbr0.macs"), "[]")
	r.destroy(ref)
	if diff := cmp.Diff([]string{"run/autostarted"}, r.names()); diff != "" {
		t.Errorf("files of a network that is gone (-want +got):\n%s", diff)
	}
	want := []string{"default defined", "default started", "default undefined", "default stopped"}
	if diff := cmp.Diff(want, r.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestUndefineKeepsNothing(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	r.start(ref)
	r.destroy(ref)
	if err := r.d.SetAutostart(t.Context(), ref, true); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"virbr0.status", "virbr0.macs", "default.leases"} { // the last is of old libvirts
		r.write(filepath.Join(r.dirs.Dnsmasq, name), "[]")
	}
	if err := r.d.Undefine(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"run/autostarted"}, r.names()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	r.define(natNet("default", 0)) // the name is free again
}

func TestCreateOverAPersistentNetwork(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	other := strings.Replace(natNet("default", 0), "<forward mode='nat'/>", "<forward mode='route'/>", 1)

	// A failed create leaves the persistent network as it was.
	g := r.host.Before
	r.host.AddLink("virbr0", "bridge")
	if _, err := r.d.CreateXML(t.Context(), other, false); err == nil {
		t.Fatal("create over a foreign bridge worked")
	}
	if got := r.xml(ref, false); strings.Contains(got, "route") || r.active(ref) {
		t.Errorf("failed create changed the network:\n%s", got)
	}
	r.host.DelLink("virbr0")
	r.host.Before = g

	if _, err := r.d.CreateXML(t.Context(), other, false); err != nil {
		t.Fatal(err)
	}
	if live, config := r.xml(ref, false), r.xml(ref, true); !strings.Contains(live, "route") || strings.Contains(config, "route") {
		t.Errorf("live:\n%s\ninactive:\n%s", live, config)
	}
	r.destroy(ref)
	if got := r.xml(ref, false); strings.Contains(got, "route") {
		t.Errorf("after the stop:\n%s", got)
	}
}

func TestFailedCreateLeavesNoNetwork(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.host.AddLink("virbr0", "bridge")
	before := r.files()
	if _, err := r.d.CreateXML(t.Context(), natNet("default", 0), false); err == nil {
		t.Fatal("create over a foreign bridge worked")
	}
	if _, err := r.d.LookupByName(t.Context(), "default"); err == nil {
		t.Error("the network is still there")
	}
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if got := r.told(); len(got) > 0 {
		t.Errorf("events %q, want none", got)
	}
	r.define(natNet("default", 1)) // another UUID: the name is free
}

func TestList(t *testing.T) {
	t.Parallel()
	r := started(t)
	on := r.define(natNet("on", 1))
	r.start(on)
	auto := r.define(natNet("auto", 2))
	if err := r.d.SetAutostart(t.Context(), auto, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.d.CreateXML(t.Context(), natNet("passing", 3), false); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		filter driver.ListFilter
		want   string
	}{
		{0, "auto on passing"},
		{driver.ListActive, "on passing"},
		{driver.ListInactive, "auto"},
		{driver.ListActive | driver.ListInactive, "auto on passing"},
		{driver.ListPersistent, "auto on"},
		{driver.ListTransient, "passing"},
		{driver.ListAutostart, "auto"},
		{driver.ListNoAutostart, "on passing"},
		{driver.ListActive | driver.ListPersistent, "on"},
		{driver.ListInactive | driver.ListTransient, ""},
	}
	for _, tt := range tests {
		refs, err := r.d.List(t.Context(), tt.filter)
		var names []string
		for _, ref := range refs {
			names = append(names, ref.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("List(%#x) = %q, %v; want %q", tt.filter, got, err, tt.want)
		}
	}
}

func TestAutostartLink(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 0))
	link := filepath.Join(r.dirs.Config, "autostart", "default.xml")
	set := func(on bool) {
		t.Helper()
		if err := r.d.SetAutostart(t.Context(), ref, on); err != nil {
			t.Fatal(err)
		}
		if got, err := r.d.Autostart(t.Context(), ref); got != on || err != nil {
			t.Errorf("Autostart = %v, %v; want %v", got, err, on)
		}
	}
	set(true)
	if target, err := os.Readlink(link); err != nil || target != filepath.Join(r.dirs.Config, "default.xml") {
		t.Errorf("link to %q, %v; want the absolute path of the definition", target, err)
	}
	set(true)
	set(false)
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link is still there")
	}
	if err := os.Symlink("/nowhere", link); err != nil { // left over: leads to no definition
		t.Fatal(err)
	}
	set(true)
	if err := os.Remove(link); err != nil { // an administrator was faster
		t.Fatal(err)
	}
	set(false)
}

type strict struct{ driver.Schema }

func (strict) ValidateNetwork([]byte) error { return os.ErrInvalid }

func TestValidateIsAskedOnRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cfg := r.config()
	cfg.Schema = strict{}
	r.d = driver.New(cfg)
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.d.DefineXML(t.Context(), natNet("a", 1), true); err != os.ErrInvalid {
		t.Errorf("with validation: %v, want the schema's error", err)
	}
	if _, err := r.d.DefineXML(t.Context(), natNet("a", 1), false); err != nil {
		t.Errorf("without validation: %v", err)
	}
}
