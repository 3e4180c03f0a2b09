package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
)

func TestLife(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.host.State()
	doc := document(prefixExt + webExt)
	r.must(hooks.OpStart, doc)
	r.clean("the network is to start", before)
	r.must(hooks.OpStarted, doc)
	for _, line := range []string{"fd00:5::1/64", "rules virbr0", "dnsmasq virbr0", "accepts virbr0 beside libvirt", "accepts virbr0 forward"} {
		if !r.has(line) {
			t.Errorf("%q is not there:\n%s", line, r.host.State())
		}
	}
	if got := r.report(); got.From != plan.Metadata || got.Error != "" || got.Bridge != "virbr0" || len(got.Steps) == 0 {
		t.Errorf("report %+v", got)
	}
	if n := r.agents.Load(); n != 1 {
		t.Errorf("%d agents were to be started, want 1", n)
	}
	r.restart()
	r.must(hooks.OpStopped, doc)
	r.clean("the network has stopped", before)
}

// TestAgain: calls that change nothing do nothing but what mends.
func TestAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	doc := document(prefixExt + webExt)
	r.must(hooks.OpStarted, doc)
	up := r.host.State()
	record, err := os.ReadFile(r.files.Records().Path(mustUUID(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []hooks.Op{hooks.OpStarted, hooks.OpPortCreated, hooks.OpPortDeleted, hooks.OpUpdated} {
		r.host.Lines()
		r.restart()
		r.must(op, doc)
		for _, line := range r.host.Lines() {
			if !strings.HasPrefix(line, "firewall") && !strings.HasPrefix(line, "router advertisements") && !strings.HasPrefix(line, "routing keep") {
				t.Errorf("%s did %q again", op, line)
			}
		}
	}
	if now := r.host.State(); now != up {
		t.Errorf("the host was\n%sand is\n%s", up, now)
	}
	if again, err := os.ReadFile(r.files.Records().Path(mustUUID(t))); err != nil || string(again) != string(record) {
		t.Errorf("the record was\n%s\nand is\n%s (%v)", record, again, err)
	}
	r.host.Kill(r.files.Own() + "/default.pid")
	r.must(hooks.OpPortCreated, doc)
	if !r.has("dnsmasq virbr0") {
		t.Error("a dnsmasq that died is not started again")
	}
}

// TestChange: a network becomes what a fresh start would make of it.
func TestChange(t *testing.T) {
	t.Parallel()
	all := []string{"", prefixExt, webExt, prefixExt + webExt, publicExt, strings.Replace(prefixExt, "5::", "6::", 1) + publicExt,
		"<virbr:firewall coexist='no'/>" + webExt}
	fresh := map[string]string{}
	for _, ext := range all {
		r := newRig(t)
		r.must(hooks.OpStarted, document(ext))
		fresh[ext] = r.host.State()
	}
	for _, from := range all {
		for _, to := range all {
			r := newRig(t)
			before := r.host.State()
			r.must(hooks.OpStarted, document(from))
			r.restart()
			r.must(hooks.OpUpdated, document(to))
			if now := r.host.State(); now != fresh[to] {
				t.Errorf("from %q to %q: the host is\n%swant\n%s", from, to, now, fresh[to])
			}
			r.must(hooks.OpStopped, document(to))
			r.clean("from "+from+" to "+to, before)
		}
	}
}

// TestFailure: whatever step fails, the host is as it was, and so is what others
// find out about it.
func TestFailure(t *testing.T) {
	t.Parallel()
	was, doc := document(publicExt), document(prefixExt+webExt)
	for _, from := range []string{"", was} {
		for n := 0; ; n++ {
			r := newRig(t)
			if from != "" {
				r.must(hooks.OpStarted, from)
			}
			before := r.host.State()
			broken := r.fail(n)
			err := r.hook(hooks.OpUpdated, doc)
			if *broken == "" {
				break // n is beyond the last step
			}
			if strings.HasPrefix(*broken, "firewall of others") || strings.HasPrefix(*broken, "routing") || strings.HasPrefix(*broken, "connections") {
				if err != nil {
					t.Errorf("step %d %q: %v", n, *broken, err)
				}
				continue // no reason to fail
			}
			if !errors.Is(err, errBroken) {
				t.Errorf("step %d %q: error %v", n, *broken, err)
			}
			r.host.Before = nil
			if now := r.host.State(); now != before {
				t.Errorf("step %d %q: the host was\n%sand is\n%s", n, *broken, before, now)
			}
			if got := r.report(); !strings.Contains(got.Error, errBroken.Error()) || from != "" && len(got.Steps) == 0 {
				t.Errorf("step %d %q: report %+v", n, *broken, got)
			}
			r.must(hooks.OpStopped, doc)
			r.must(hooks.OpStarted, doc)
		}
	}
}

// TestRefused: what is wrong is said when the network starts, and nothing is done.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, doc, want string }{
		{"unknown word", document("<virbr:portforward/>"), "unknown element 'portforward'"},
		{"IPv6 of its own", strings.Replace(document(prefixExt), "</network>", "<ip family='ipv6' address='fd00:9::1' prefix='64'/></network>", 1), "which libvirt advertises"},
		{"an address of its own", document("<virbr:ip type='auto'/>"), "is for networks without one"},
		{"hostid", document("<virbr:ipv6 advprefix='fd00:5::/64' hostid='ipv4'/>"), "needs the leases"},
		{"its own DNS server", document(strings.Replace(webExt, "8080' to='80", "53", 1)), "its own dnsmasq serves its guests on tcp port 53"},
		{"mode that is not open", document("<virbr:firewall mode='nat'/>"), "is for networks with forward mode='open'"},
		{"bridge of others", document("<virbr:bridge create='yes'/>"), "only allowed in bridge mode"},
		{"what we refuse", strings.Replace(document(webExt), "<bridge name='virbr0'/>", "<bridge name='virbr0' macTableManager='perhaps'/>", 1), "perhaps"},
		{"not well-formed", document(webExt) + "</network>", "reading the document"},
		{"another network's", strings.Replace(document(webExt), "<name>default", "<name>other", 1), "it is about network \"other\""},
		{"no UUID", strings.Replace(document(webExt), "<uuid>"+testUUID+"</uuid>", "", 1), "UUID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			before := r.host.State()
			r.refused(hooks.OpStart, tt.doc, tt.want)
			r.clean("refused", before)
		})
	}
}

// TestTaken: a network starts without what somebody has, which the report says, and
// the agent adds it when it is free.
func TestTaken(t *testing.T) {
	t.Parallel()
	state := func(r *rig) string {
		text := ""
		for _, f := range r.report().Forwards {
			text += fmt.Sprintln(f.Active, f.Reason)
		}
		return text
	}
	r := newRig(t)
	r.host.Listen(step.Listener{Proto: "tcp", Address: netip.IPv4Unspecified(), Port: 22, Process: step.Process{PID: 1, Name: "sshd"}})
	doc := webExt + strings.Replace(webExt, "8080", "22", 1)
	r.must(hooks.OpStart, document(doc))
	r.must(hooks.OpStarted, document(doc))
	const web = "true \n"
	if got, want := state(r), web+"false taken by sshd (pid 1), tried again every 15 seconds\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	r.status(doc)
	ctx, stop := context.WithCancel(t.Context())
	ended := r.agent(ctx)
	r.host.Unlisten("tcp", 22)
	r.wait("the forward is in force", func() bool { return state(r) == web+"true \n" })
	stop()
	<-ended
}

// TestOthers: what one network has, another does not get; it does when that is gone.
func TestOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(hooks.OpStarted, document(webExt))
	other := strings.NewReplacer("default", "other", "virbr0", "virbr1", "0001</uuid>", "0002</uuid>", "192.168.122", "192.168.123").Replace(document(webExt))
	r.host.AddLink("virbr1", "bridge")
	call := func(op hooks.Op) string {
		t.Helper()
		err := r.e.Hook(t.Context(), &hooks.Call{Network: "other", Op: op, Document: []byte("<hookData>" + other + "</hookData>")})
		if err != nil {
			t.Fatal(err)
		}
		report, err := r.files.Report("other")
		if err != nil {
			t.Fatal(err)
		}
		return report.Forwards[0].Reason
	}
	if reason := call(hooks.OpStarted); reason != "taken by network 'default', tried again every 15 seconds" {
		t.Errorf("it is %q", reason)
	}
	r.must(hooks.OpStopped, document(webExt))
	if reason := call(hooks.OpUpdated); reason != "" {
		t.Errorf("it is %q", reason)
	}
}

// TestSources: metadata wins over our own file, and says so; without it the file
// counts; a file that goes takes along what it added.
func TestSources(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.host.State()
	r.extend(prefixExt)
	r.must(hooks.OpStarted, document(""))
	if got := r.report(); got.From != plan.File || got.File != r.files.Extensions("default") || !r.has("fd00:5::1/64") {
		t.Errorf("from the file: report %+v", got)
	}
	r.must(hooks.OpUpdated, document(webExt))
	if got := r.report(); got.From != plan.Metadata || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "is not") || r.has("fd00:5::1/64") {
		t.Errorf("from both: report %+v", got)
	}
	r.must(hooks.OpUpdated, document(""))
	if err := os.Remove(r.files.Extensions("default")); err != nil {
		t.Fatal(err)
	}
	r.must(hooks.OpUpdated, document(""))
	r.clean("the file is gone", before)
}

// TestPortIsNotRefused: a guest gets its card though extensions are wrong, and the
// report says what is.
func TestPortIsNotRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(hooks.OpStarted, document(webExt))
	up := r.host.State()
	r.must(hooks.OpPortCreated, document("<virbr:mistake/>"))
	if got := r.report(); !strings.Contains(got.Error, "mistake") || r.host.State() != up {
		t.Errorf("report %+v, host\n%s", got, r.host.State())
	}
}

// TestNewBridge: what was added to a bridge that is gone is added to the next one
// of that name.
func TestNewBridge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(hooks.OpStarted, document(prefixExt))
	up := r.host.State()
	// Nobody told us that the network stopped.
	r.host.DelLink("virbr0")
	r.host.AddLink("virbr0", "bridge")
	r.host.SetAddresses("virbr0", netip.MustParsePrefix("192.168.122.1/24"))
	r.must(hooks.OpStart, document(prefixExt))
	r.must(hooks.OpStarted, document(prefixExt))
	if now := r.host.State(); now != up {
		t.Errorf("the host was\n%sand is\n%s", up, now)
	}
}

// TestConcerned: most networks are none of our business, and that is seen without
// reading what libvirt says about them.
func TestConcerned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if Concerned(r.files, "default", []byte("neither <XML nor ours")) {
		t.Error("a network without extensions concerns us")
	}
	if !Concerned(r.files, "default", []byte(document(webExt))) {
		t.Error("a network with metadata of ours does not")
	}
	r.extend("")
	if !Concerned(r.files, "default", nil) || Concerned(r.files, "other", nil) {
		t.Error("our own file is not seen")
	}
	r.must(hooks.OpStarted, document(webExt))
	if !Concerned(r.files, "other", nil) {
		t.Error("with something added every call concerns us: it may be what stops it")
	}
	if err := r.e.Hook(t.Context(), &hooks.Call{Network: "other", Op: hooks.OpStart, Document: []byte("of a libvirt that we do not understand")}); err != nil {
		t.Errorf("a network without extensions does not start: %v", err)
	}
}

// TestTogether: calls for different networks at the same time leave both as they
// should be.
func TestTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.host.State()
	var group sync.WaitGroup
	errs := make([]error, 8)
	docs := make([]string, len(errs))
	for i := range errs {
		n := string(rune('a' + i))
		r.host.AddLink("virbr"+n, "bridge")
		docs[i] = strings.NewReplacer("default", "net"+n, "virbr0", "virbr"+n, "0001</uuid>", "000"+n+"</uuid>",
			"192.168.122", "192.168.13"+string(rune('0'+i)), "8080", "808"+string(rune('0'+i))).Replace(document(webExt))
	}
	docs = docs[:6] // digits of a UUID
	call := func(i int, op hooks.Op) error {
		e := New(r.e.cfg)
		return e.Hook(t.Context(), &hooks.Call{Network: "net" + string(rune('a'+i)), Op: op, Document: []byte("<hookData>" + docs[i] + "</hookData>")})
	}
	for i := range docs {
		group.Go(func() {
			errs[i] = errors.Join(call(i, hooks.OpStart), call(i, hooks.OpStarted), call(i, hooks.OpPortCreated))
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	list, err := r.files.Reports()
	if err != nil || len(list) != len(docs) {
		t.Errorf("%d reports (%v), want %d", len(list), err, len(docs))
	}
	if err := r.e.RemoveAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range errs {
		r.host.DelLink("virbr" + string(rune('a'+i)))
	}
	r.clean("all is taken back", before)
}

// TestUnknownOp: what a newer libvirt calls us for is told apart.
func TestUnknownOp(t *testing.T) {
	t.Parallel()
	err := newRig(t).hook("hibernated", document(webExt))
	if _, ok := errors.AsType[*hooks.UnknownOpError](err); !ok {
		t.Errorf("error %v", err)
	}
}

// TestCreatedBridge: the bridge of a network in mode bridge is there before its
// daemon needs it, is ours to remove, and never somebody else's.
func TestCreatedBridge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.host.State()
	doc := `<network><name>default</name><uuid>` + testUUID + `</uuid><metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>` +
		`<virbr:bridge create='yes'/><virbr:ipv6 advprefix='fd00:7::/64'/></virbr:network></metadata><forward mode='bridge'/><bridge name='br7'/></network>`
	r.must(hooks.OpStart, doc)
	if !r.has("link br7") {
		t.Errorf("no bridge:\n%s", r.host.State())
	}
	r.must(hooks.OpStarted, doc)
	r.must(hooks.OpPortCreated, doc)
	r.must(hooks.OpStopped, doc)
	r.clean("the bridge is gone", before)

	r.host.AddLink("br7", "bridge")
	before = r.host.State()
	if err := r.hook(hooks.OpStart, doc); err == nil {
		t.Error("a bridge of somebody else was taken")
	}
	r.must(hooks.OpStopped, doc)
	r.clean("a bridge of somebody else", before)
}

// TestOnePrefixForOne: a prefix is for one network, and extensions that contradict
// theirs do not let it start.
func TestOnePrefixForOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.host.State()
	r.must(hooks.OpStart, document(prefixExt))
	r.must(hooks.OpStarted, document(prefixExt))
	other := strings.NewReplacer("default", "other", testUUID, "c0ffee00-0000-4000-8000-000000000002", "virbr0", "virbr1", "192.168.122", "192.168.123")
	for ext, want := range map[string]string{
		prefixExt: "IPv6 prefix fd00:5::/64 of network 'other' is in use: network 'default' has fd00:5::/64",
		strings.Replace(webExt, "192.168.122.9", "10.9.9.9", 1):         "cannot be one of its guests",
		strings.NewReplacer("tcp", "udp", "8080", "53").Replace(webExt): "its own dnsmasq serves its guests",
	} {
		err := r.e.Hook(t.Context(), &hooks.Call{Network: "other", Op: hooks.OpStart, Document: []byte("<hookData>" + other.Replace(document(ext)) + "</hookData>")})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a network starts with %s: %v, want %q", ext, err, want)
		}
	}
	r.must(hooks.OpStopped, document(prefixExt))
	r.clean("all is taken back", before)
}

// TestRecord: a record outlives the version that wrote it, and one that makes no
// sense is not taken for none.
func TestRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(hooks.OpStarted, document(prefixExt+webExt+publicExt))
	uuid := mustUUID(t)
	got, err := r.e.readRecord(uuid)
	if err != nil || got.Network != "default" || got.Resolution == nil {
		t.Fatalf("record %+v (%v)", got, err)
	}
	if claims, err := got.Resolution.Claims(); err != nil || len(claims) == 0 {
		t.Errorf("claims %v (%v)", claims, err)
	}
	whole, _ := os.ReadFile(r.files.Records().Path(uuid))
	for _, text := range []string{"", "{}", strings.Replace(string(whole), testUUID, strings.Replace(testUUID, "0001", "0002", 1), 1),
		strings.Replace(string(whole), `"del-address"`, `"fly"`, 1)} {
		r.write(r.files.Records().Path(uuid), text)
		if err := r.hook(hooks.OpStopped, document(webExt)); err == nil {
			t.Errorf("record %.60q was believed", text)
		}
	}
	r.write(r.files.Records().Path(uuid), strings.Replace(string(whole), "<bridge name=", "<bridge stp='of a newer version' name=", 1))
	r.must(hooks.OpStopped, document(webExt))
	if r.has("rules virbr0") {
		t.Error("rules are left")
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	if got := lines([]step.Step{{Do: step.SetUp{Link: "a"}}}); !slices.Equal(got, []string{step.SetUp{Link: "a"}.String()}) {
		t.Errorf("%q", got)
	}
}
