package driver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/xml"
)

// dualNet has a subnet of each family; only the IPv4 one has DHCP.
func dualNet(name string, n int) string {
	return strings.Replace(unlimited(name, n), "</network>", `<ip family='ipv6' address='fd00::1' prefix='64'/></network>`, 1)
}

func request(cmd xml.UpdateCommand, section xml.UpdateSection, doc string, affect driver.Affect) driver.UpdateRequest {
	return driver.UpdateRequest{Command: cmd, Section: section, ParentIndex: -1, Document: doc, Affect: affect}
}

// lines returns what the host did, without the rig's directory.
func (r *rig) lines() []string {
	var list []string
	for _, line := range r.host.Lines() {
		line, _, _ = strings.Cut(strings.ReplaceAll(line, r.dir+"/", ""), "\n")
		list = append(list, line)
	}
	return list
}

func TestUpdateSteps(t *testing.T) {
	t.Parallel()
	const (
		conf, hosts, addn = "file write dnsmasq/default.conf", "file write dnsmasq/default.hostsfile", "file write dnsmasq/default.addnhosts"
		accept            = "firewall of others: accept virbr3"
		hup               = "dnsmasq reload run/default.pid"
		stop              = "dnsmasq stop run/default.pid"
		start             = "dnsmasq start virbr3 conf dnsmasq/default.conf"
	)
	for name, c := range map[string]struct {
		index int
		req   driver.UpdateRequest
		want  []string
	}{
		"one more IPv4 host": {-1, request(xml.UpdateAddLast, xml.SectionIPDHCPHost, `<host mac='52:54:00:aa:bb:cd' ip='192.168.3.11'/>`, 0), []string{hosts, hup}},
		"first IPv6 host":    {1, request(xml.UpdateAddLast, xml.SectionIPDHCPHost, `<host name='six' ip='fd00::11'/>`, 0), []string{accept, conf, hosts, stop, start}},
		"one more range":     {-1, request(xml.UpdateDelete, xml.SectionIPDHCPRange, `<range start='192.168.3.2' end='192.168.3.254'/>`, 0), []string{conf, stop, start}},
		"DNS host":           {-1, request(xml.UpdateAddLast, xml.SectionDNSHost, `<host ip='192.168.3.9'><hostname>printer</hostname></host>`, 0), []string{addn, hup}},
		"DNS text":           {-1, request(xml.UpdateAddLast, xml.SectionDNSTXT, `<txt name='a' value='b'/>`, 0), []string{conf, stop, start}},
		"DNS service":        {-1, request(xml.UpdateAddLast, xml.SectionDNSSRV, `<srv service='ldap' protocol='tcp' target='t' port='389'/>`, 0), []string{conf, stop, start}},
		"port group":         {-1, request(xml.UpdateAddLast, xml.SectionPortGroup, `<portgroup name='g'/>`, 0), nil},
		"persistent only":    {-1, request(xml.UpdateAddLast, xml.SectionDNSTXT, `<txt name='a' value='b'/>`, driver.AffectConfig), nil},
		"device":             {-1, request(xml.UpdateAddLast, xml.SectionForwardInterface, `<interface dev='eth0'/>`, 0), []string{"firewall replace virbr3", "firewall of others: accept virbr3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			ref := r.define(dualNet("default", 3))
			r.start(ref)
			r.host.Lines()
			c.req.ParentIndex = c.index
			if err := r.d.Update(t.Context(), ref, c.req); err != nil {
				t.Fatal(err)
			}
			got := r.lines()
			if len(got) != len(c.want) {
				t.Fatalf("did %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("step %d was %q, want %q", i, got[i], c.want[i])
				}
			}
			if told := r.told(); len(told) != 2 { // defined, started
				t.Errorf("events %v", told)
			}
		})
	}
}

func TestUpdateAffects(t *testing.T) {
	t.Parallel()
	const doc = `<txt name='a' value='b'/>`
	for name, c := range map[string]struct {
		running      bool
		affect       driver.Affect
		live, config bool
	}{
		"inactive, current": {false, 0, false, true},
		"inactive, config":  {false, driver.AffectConfig, false, true},
		"active, current":   {true, 0, true, false},
		"active, live":      {true, driver.AffectLive, true, false},
		"active, config":    {true, driver.AffectConfig, false, true},
		"active, both":      {true, driver.AffectLive | driver.AffectConfig, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			ref := r.define(dualNet("default", 3))
			if c.running {
				r.start(ref)
			}
			if err := r.d.Update(t.Context(), ref, request(xml.UpdateAddLast, xml.SectionDNSTXT, doc, c.affect)); err != nil {
				t.Fatal(err)
			}
			check := func(when string) {
				t.Helper()
				if got := strings.Contains(r.xml(ref, true), doc); got != c.config {
					t.Errorf("%s: persistent definition changed %v, want %v", when, got, c.config)
				}
				if got := strings.Contains(r.xml(ref, false), doc); c.running && got != c.live {
					t.Errorf("%s: running definition changed %v, want %v", when, got, c.live)
				}
			}
			check("at once")
			r.reopen()
			check("after a restart of the daemon")
		})
	}
}

func TestUpdateRefused(t *testing.T) {
	t.Parallel()
	r := started(t)
	idle := r.define(dualNet("idle", 3))
	passing, err := r.d.CreateXML(t.Context(), dualNet("passing", 4), false)
	if err != nil {
		t.Fatal(err)
	}
	const txt = `<txt name='a' value='b'/>`
	before := r.files()
	update := func(ref driver.Ref, doc string, affect driver.Affect) error {
		return r.d.Update(t.Context(), ref, request(xml.UpdateAddLast, xml.SectionDNSTXT, doc, affect))
	}
	for _, affect := range []driver.Affect{driver.AffectLive, driver.AffectLive | driver.AffectConfig} {
		wantKind(t, update(idle, txt, affect), driver.KindOperationInvalid, "network is not running")
	}
	for _, affect := range []driver.Affect{driver.AffectConfig, driver.AffectLive | driver.AffectConfig} {
		wantKind(t, update(passing, txt, affect), driver.KindOperationInvalid, "cannot change persistent config of a transient network")
	}
	wantKind(t, update(driver.Ref{Name: "none"}, txt, 0), driver.KindNoNetwork, "no network with matching uuid '00000000-0000-0000-0000-000000000000' (none)")
	refused, ok := errors.AsType[*xml.Error](update(passing, `<srv/>`, 0))
	if !ok || refused.Msg != "unexpected element <srv>, expecting <txt>, while updating network 'passing'" {
		t.Errorf("wrong element: %v", refused)
	}
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("refused updates changed files (-before +after)\n%s", diff)
	}
}

// TestUpdateWhatCannotBeReadAgain edits a definition so that its file could not
// be read: a host record without names.
func TestUpdateWhatCannotBeReadAgain(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(strings.Replace(dualNet("default", 3), "<ip address", "<dns><host ip='192.168.3.9'><hostname>a</hostname></host></dns><ip address", 1))
	before := r.files()
	err := r.d.Update(t.Context(), ref, request(xml.UpdateModify, xml.SectionDNSHost, `<host ip='192.168.3.9'/>`, 0))
	if _, ok := errors.AsType[*xml.Error](err); !ok {
		t.Errorf("got %v, want xml's refusal", err)
	}
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("files (-before +after)\n%s", diff)
	}
}

// TestUpdateTakenBack makes each step of an update fail in turn, and wants
// everything to be as it was before.
func TestUpdateTakenBack(t *testing.T) {
	t.Parallel()
	const both = driver.AffectLive | driver.AffectConfig
	silent := strings.NewReplacer("<ip address", "<dns enable='no'/><ip address",
		"<range start='192.168.3.2' end='192.168.3.254'/>", "", "<host mac='52:54:00:aa:bb:cc' name='web1' ip='192.168.3.10'/>", "").Replace(unlimited("default", 3))
	addHost := request(xml.UpdateAddLast, xml.SectionIPDHCPHost, `<host mac='52:54:00:aa:bb:cd' ip='192.168.3.11'/>`, both)
	for name, c := range map[string]struct {
		def string
		req driver.UpdateRequest
	}{
		"signal":           {dualNet("default", 3), addHost},
		"restart":          {dualNet("default", 3), request(xml.UpdateAddLast, xml.SectionDNSTXT, `<txt name='a' value='b'/>`, both)},
		"first dnsmasq":    {silent, addHost},
		"last of dnsmasq":  {withHost(silent), request(xml.UpdateDelete, xml.SectionIPDHCPHost, `<host mac='52:54:00:aa:bb:cc'/>`, both)},
		"firewall":         {dualNet("default", 3), request(xml.UpdateAddLast, xml.SectionForwardInterface, `<interface dev='eth0'/>`, both)},
		"only definitions": {dualNet("default", 3), request(xml.UpdateAddLast, xml.SectionPortGroup, `<portgroup name='g'/>`, both)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for step := 0; ; step++ {
				if !failAt(t, c.def, c.req, step) {
					break
				}
			}
		})
	}
}

func withHost(def string) string {
	return strings.Replace(def, "<dhcp>", "<dhcp><host mac='52:54:00:aa:bb:cc' ip='192.168.3.10'/>", 1)
}

// TestUpdateCutShort has a daemon end at each step of an update in turn. The next one
// makes the network what it was, and a stop leaves nothing.
func TestUpdateCutShort(t *testing.T) {
	t.Parallel()
	const both = driver.AffectLive | driver.AffectConfig
	silent := strings.NewReplacer("<ip address", "<dns enable='no'/><ip address",
		"<range start='192.168.3.2' end='192.168.3.254'/>", "", "<host mac='52:54:00:aa:bb:cc' name='web1' ip='192.168.3.10'/>", "").Replace(unlimited("default", 3))
	for name, c := range map[string]struct {
		def string
		req driver.UpdateRequest
	}{
		"restart":         {dualNet("default", 3), request(xml.UpdateAddLast, xml.SectionDNSTXT, `<txt name='a' value='b'/>`, both)},
		"first dnsmasq":   {silent, request(xml.UpdateAddLast, xml.SectionIPDHCPHost, `<host mac='52:54:00:aa:bb:cd' ip='192.168.3.11'/>`, both)},
		"last of dnsmasq": {withHost(silent), request(xml.UpdateDelete, xml.SectionIPDHCPHost, `<host mac='52:54:00:aa:bb:cc'/>`, both)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for step := 0; cutAt(t, c.def, c.req, step); step++ { //nolint:revive // the condition does it
			}
		})
	}
}

// cutAt has the daemon end at a step of an update. It reports whether there was such a step.
func cutAt(t *testing.T, def string, req driver.UpdateRequest, at int) bool {
	r := started(t)
	empty := r.host.State()
	ref := r.define(def)
	r.start(ref)
	host, files := r.host.State(), r.files()
	kept := func() []string { // files of a dnsmasq that is no longer wanted may stay
		return slices.DeleteFunc(r.files(), func(f string) bool {
			name, _, _ := strings.Cut(f, ":")
			return strings.HasPrefix(f, "dnsmasq/") && !slices.ContainsFunc(files, func(o string) bool { return strings.HasPrefix(o, name+":") })
		})
	}
	reached, gone, count := make(chan string), make(chan struct{}), 0
	r.host.Before = func(_ context.Context, line string) error {
		if count++; count == at+1 {
			reached <- line
			<-gone
		}
		return nil
	}
	old, done := r.d, make(chan struct{})
	go func() { defer close(done); _ = old.Update(t.Context(), ref, req) }()
	line := ""
	select {
	case line = <-reached:
	case <-done:
		return false
	}
	defer func() { close(gone); <-done }()
	r.host.Before = nil
	r.reopen()
	if diff := cmp.Diff(host, r.host.State()); diff != "" {
		t.Errorf("cut short before %q: host (-before +after)\n%s", line, diff)
	}
	if diff := cmp.Diff(files, kept()); diff != "" {
		t.Errorf("cut short before %q: files (-before +after)\n%s", line, diff)
	}
	r.destroy(ref)
	if diff := cmp.Diff(empty, r.host.State()); diff != "" {
		t.Errorf("cut short before %q, after a stop (-before the start +after)\n%s", line, diff)
	}
	return true
}

// failAt lets a step of an update fail. It reports whether there was such a
// step; without, the update must succeed, and a stop must leave nothing.
func failAt(t *testing.T, def string, req driver.UpdateRequest, step int) bool {
	r := started(t)
	empty := r.host.State()
	ref := r.define(def)
	r.start(ref)
	host, files := r.host.State(), r.files()
	broken, count := errors.New("broken on purpose"), 0
	failed := ""
	r.host.Before = func(_ context.Context, line string) error {
		if strings.HasPrefix(line, "checksums fill") || strings.HasPrefix(line, "firewall of others: accept") {
			return nil // its failure is tolerated
		}
		if count++; count == step+1 {
			failed = line
			return broken
		}
		return nil
	}
	err := r.d.Update(t.Context(), ref, req)
	if failed == "" {
		if err != nil {
			t.Errorf("without a broken step: %v", err)
		}
		if slices.Equal(files, r.files()) {
			t.Error("the update changed no file")
		}
		r.destroy(ref)
		if diff := cmp.Diff(empty, r.host.State()); diff != "" {
			t.Errorf("after an update and a stop (-before the start +after)\n%s", diff)
		}
		return false
	}
	if !errors.Is(err, broken) {
		t.Errorf("%q broken: got %v", failed, err)
	}
	if diff := cmp.Diff(host, r.host.State()); diff != "" {
		t.Errorf("%q broken: host (-before +after)\n%s", failed, diff)
	}
	if diff := cmp.Diff(files, r.files()); diff != "" {
		t.Errorf("%q broken: files (-before +after)\n%s", failed, diff)
	}
	return true
}

// TestUpdateUnsavable has a status file that cannot be written, after the live
// work is done.
func TestUpdateUnsavable(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(dualNet("default", 3))
	r.start(ref)
	host, served := r.host.State(), r.read(filepath.Join(r.dirs.Dnsmasq, "default.conf"))
	r.host.Before = func(context.Context, string) error {
		r.host.Before = nil // at the first step
		status := filepath.Join(r.dirs.State, "default.xml")
		if err := os.Rename(status, status+".away"); err != nil {
			return err
		}
		r.write(filepath.Join(status, "in the way"), "")
		return nil
	}
	err := r.d.Update(t.Context(), ref, request(xml.UpdateAddLast, xml.SectionDNSTXT, `<txt name='a' value='b'/>`, driver.AffectLive|driver.AffectConfig))
	if _, ok := errors.AsType[*state.Error](err); !ok {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(host, r.host.State()); diff != "" {
		t.Errorf("host (-before +after)\n%s", diff)
	}
	if diff := cmp.Diff(served, r.read(filepath.Join(r.dirs.Dnsmasq, "default.conf"))); diff != "" {
		t.Errorf("dnsmasq's configuration (-before +after)\n%s", diff)
	}
	for _, doc := range []string{r.xml(ref, false), r.xml(ref, true), r.read(filepath.Join(r.dirs.Config, "default.xml"))} {
		if strings.Contains(doc, "<txt") {
			t.Errorf("the refused change is in\n%s", doc)
		}
	}
}

// TestUpdateAfterTakeOver has a configuration that libvirt's daemon wrote, which
// differs in its comments only.
func TestUpdateAfterTakeOver(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(dualNet("default", 3))
	r.start(ref)
	conf := filepath.Join(r.dirs.Dnsmasq, "default.conf")
	_, rest, _ := strings.Cut(r.read(conf), "\n")
	r.write(conf, "## of libvirt\n"+rest)
	r.host.Lines()
	if err := r.d.Update(t.Context(), ref, request(xml.UpdateAddLast, xml.SectionDNSHost, `<host ip='192.168.3.9'><hostname>printer</hostname></host>`, 0)); err != nil {
		t.Fatal(err)
	}
	if got := r.lines(); len(got) != 2 || got[1] != "dnsmasq reload run/default.pid" {
		t.Errorf("did %q, want a signal and no restart", got)
	}
}

func TestUpdateStartsDeadDnsmasq(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(dualNet("default", 3))
	r.start(ref)
	state, pid := r.host.State(), filepath.Join(r.dirs.State, "default.pid")
	r.host.Kill(pid)
	if err := r.d.Update(t.Context(), ref, request(xml.UpdateAddLast, xml.SectionDNSHost, `<host ip='192.168.3.9'><hostname>printer</hostname></host>`, 0)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state, r.host.State()); diff != "" {
		t.Errorf("host (-before +after)\n%s", diff)
	}
}

func TestUpdateHook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		running bool
		affect  driver.Affect
		fails   bool
	}{
		"inactive":    {false, 0, true},
		"config only": {true, driver.AffectConfig, true},
		"live":        {true, driver.AffectLive, false},
		"both":        {true, driver.AffectLive | driver.AffectConfig, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			seen := filepath.Join(r.dir, "seen")
			r.script("network", `[ "$2" = updated ] || exit 0
echo "$1 $2 $3 $4" >`+seen+`; cat >>`+seen+`; exit 1`)
			r.open()
			ref := r.define(dualNet("default", 3))
			if c.running {
				r.start(ref)
			}
			err := r.d.Update(t.Context(), ref, request(xml.UpdateAddLast, xml.SectionDNSTXT, `<txt name='a' value='b'/>`, c.affect))
			if kind, _ := kindOf(err); c.fails && kind != driver.KindHook || !c.fails && err != nil {
				t.Errorf("with a failing hook: %v", err)
			}
			if !strings.Contains(r.xml(ref, c.affect&driver.AffectLive == 0), "<txt name='a' value='b'/>") {
				t.Error("the change was taken back")
			}
			got := r.read(seen)
			if !strings.HasPrefix(got, "default updated begin -\n<hookData>\n  <network") {
				t.Errorf("hook saw %q", got)
			}
		})
	}
}
