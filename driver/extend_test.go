package driver_test

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// setExtensions is what virsh net-metadata does.
func (r *rig) setExtensions(ref driver.Ref, affect driver.Affect, text string) error {
	return r.d.SetMetadata(r.t.Context(), ref, driver.MetadataRequest{Type: driver.MetadataElement, URI: xml.Namespace, Affect: affect}, "virbr", &text)
}

// TestBadExtensions: what cannot be read, or contradicts the network, is refused
// and changes nothing.
func TestBadExtensions(t *testing.T) {
	t.Parallel()
	both := driver.AffectLive | driver.AffectConfig
	for name, c := range map[string]struct{ body, want string }{
		"unknown element":     {"<virbr:portfoward/>", "unknown element 'portfoward'"},
		"no guest":            {"<virbr:portForward proto='tcp'/>", "guest"},
		"guest elsewhere":     {"<virbr:portForward proto='tcp' guest='10.9.9.9'/>", "guest '10.9.9.9' of network 'default' cannot be one of its guests"},
		"guest is the bridge": {"<virbr:portForward proto='tcp' guest='192.168.3.1'/>", "cannot be one of its guests"},
		"public inside":       {"<virbr:address public='192.168.3.9' guest='web1'/>", "public address 192.168.3.9 of network 'default' is in a subnet of the network itself"},
		"bad prefix":          {"<virbr:ipv6 advprefix='fe80::/64'/>", "advprefix"},
		"filter":              {"<virbr:firewall mode='nat'/>", "forward mode='open'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			if _, err := r.d.DefineXML(t.Context(), extend(natNet("default", 3), c.body), false); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("define: got %v, want %q", err, c.want)
			}
			if _, err := r.d.CreateXML(t.Context(), extend(natNet("default", 3), c.body), false); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("create: got %v, want %q", err, c.want)
			}
			ref := r.define(natNet("default", 3))
			r.start(ref)
			before, host := r.files(), r.host.State()
			r.told()
			text := "<network>" + strings.ReplaceAll(c.body, "virbr:", "") + "</network>"
			for _, affect := range []driver.Affect{driver.AffectLive, driver.AffectConfig, both} {
				if err := r.setExtensions(ref, affect, text); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("net-metadata: got %v, want %q", err, c.want)
				}
			}
			if diff := cmp.Diff(append(before, host), append(r.files(), r.host.State())); diff != "" {
				t.Errorf("refused changes (-before +after)\n%s", diff)
			}
			if told := r.told(); len(told) > 0 {
				t.Errorf("events %q", told)
			}
		})
	}
}

// TestBadExtensionsOnDisk: a network whose metadata libvirt accepted loads. It does
// not start without what it asks for, and can be mended; where it runs it runs on. The
// metadata of others is nobody's business.
func TestBadExtensionsOnDisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"unreadable":    {"<virbr:portfoward/>", "unknown element 'portfoward'"},
		"contradictory": {"<virbr:portForward proto='tcp' guest='10.9.9.9'/>", "cannot be one of its guests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			config := filepath.Join(r.dirs.Config, "default.xml")
			r.write(config, extend(natNet("default", 3), c.body))
			r.open()
			ref := driver.Ref{Name: "default", UUID: uuid(3)}
			before := r.host.State()
			if err := r.d.Start(t.Context(), ref); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("start: %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(before, r.host.State()); diff != "" {
				t.Errorf("host after the failed start (-before +after)\n%s", diff)
			}
			other := "<x/>"
			if err := r.d.SetMetadata(t.Context(), ref, driver.MetadataRequest{Type: driver.MetadataElement, URI: "urn:other"}, "o", &other); err != nil {
				t.Errorf("metadata of others: %v", err)
			}
			add := request(xml.UpdateAddLast, xml.SectionDNSHost, "<host ip='192.168.3.8'><hostname>c</hostname></host>", driver.AffectConfig)
			if err := r.d.Update(t.Context(), ref, add); err != nil {
				t.Errorf("an update of something else: %v", err)
			}
			if err := r.edit(ref, func(*xml.Extensions) error { return nil }); err == nil {
				t.Error("what is wrong was edited")
			}
			const good = "<network><portForward proto='tcp' guest='web1'/></network>"
			if err := r.setExtensions(ref, driver.AffectConfig, good); err != nil {
				t.Fatal(err)
			}
			r.start(ref)
			r.wantPhases(ref, "tcp *:all to web1 2 [192.168.3.10]")
			r.close()
			status := filepath.Join(r.dirs.State, "default.xml")
			text := r.read(status)
			at, end := strings.Index(text, "<virbr:portForward"), strings.Index(text, "</virbr:network>")
			r.write(status, text[:at]+c.body+text[end:])
			r.open()
			if !r.active(ref) || !strings.Contains(r.xml(ref, false), strings.Fields(strings.Trim(c.body, "<>/"))[0]) {
				t.Errorf("active %t after a restart:\n%s", r.active(ref), r.xml(ref, false))
			}
			r.destroy(ref)
			r.start(ref)
		})
	}
}

// TestChangesKeepTheExtensions: a change after which the extensions contradict the
// network is refused, whichever definition it is for. Else the next start would be
// without them, or would fail.
func TestChangesKeepTheExtensions(t *testing.T) {
	t.Parallel()
	r := started(t)
	few := strings.Replace(natNet("default", 3), "<range start='192.168.3.2' end='192.168.3.254'/>", "<range start='192.168.3.100' end='192.168.3.120'/>", 1)
	ref := r.define(extend(few, "<virbr:ipv6 advprefix='fd00:7::c0a8:30b' dhcp='stateful' hostid='ipv4'/>"))
	r.start(ref)
	before, host := r.files(), r.host.State()
	add := func(affect driver.Affect) driver.UpdateRequest {
		return request(xml.UpdateAddLast, xml.SectionIPDHCPHost, "<host mac='52:54:00:aa:bb:dd' ip='192.168.3.11'/>", affect)
	}
	served := "<network><portForward proto='udp' guest='web1'><range start='53'/></portForward></network>"
	for _, affect := range []driver.Affect{driver.AffectLive, driver.AffectConfig, driver.AffectLive | driver.AffectConfig} {
		if err := r.d.Update(t.Context(), ref, add(affect)); err == nil || !strings.Contains(err.Error(), "belongs to the bridge") {
			t.Errorf("net-update of %d: %v", affect, err)
		}
		if err := r.setExtensions(ref, affect, served); err == nil || !strings.Contains(err.Error(), "its own dnsmasq serves its guests on udp port 53") {
			t.Errorf("net-metadata of %d: %v", affect, err)
		}
	}
	if diff := cmp.Diff(append(before, host), append(r.files(), r.host.State())); diff != "" {
		t.Errorf("refused changes (-before +after)\n%s", diff)
	}
	if _, err := r.d.DefineXML(t.Context(), extend(natNet("other", 4), strings.ReplaceAll(served[9:len(served)-10], "<", "<virbr:")), false); err == nil {
		t.Error("net-define takes what net-metadata refuses")
	}
}

// TestOnePrefixForOne: a prefix is for one network, whether definitions come one
// after the other, by their metadata, or at the same time.
func TestOnePrefixForOne(t *testing.T) {
	t.Parallel()
	r := started(t)
	a, b := r.define(natNet("a", 1)), r.define(natNet("b", 2))
	r.start(a)
	r.start(b)
	const prefix = "<network><ipv6 advprefix='fd00:7::/64'/></network>"
	if err := r.setExtensions(a, driver.AffectConfig, prefix); err != nil {
		t.Fatal(err)
	}
	if err := r.setExtensions(b, driver.AffectConfig, prefix); err == nil || !strings.Contains(err.Error(), "IPv6 prefix fd00:7::/64 of network 'b' is in use: network 'a' has") {
		t.Errorf("the second network's metadata: %v", err)
	}
	if err := r.setExtensions(a, driver.AffectConfig, "<network/>"); err != nil {
		t.Fatal(err)
	}
	together := func(many int, do func(i int) error) {
		t.Helper()
		results := make(chan error, many)
		for i := range many {
			go func() { results <- do(i) }()
		}
		passed := 0
		for range many {
			if err := <-results; err == nil {
				passed++
			} else if !strings.Contains(err.Error(), "is in use") {
				t.Error(err)
			}
		}
		if passed != 1 {
			t.Errorf("%d networks have the prefix, want 1", passed)
		}
	}
	together(8, func(i int) error {
		_, err := r.d.DefineXML(t.Context(), extend(natNet(fmt.Sprintf("net%d", i), 10+i), "<virbr:ipv6 advprefix='fd00:8::/64'/>"), false)
		return err
	})
	together(2, func(i int) error {
		return r.setExtensions([]driver.Ref{a, b}[i], driver.AffectLive, strings.Replace(prefix, "fd00:7:", "fd00:9:", 1))
	})
}

// TestElementsOfTheMetadata: they have effect as in the network itself, at a start
// and while it runs.
func TestElementsOfTheMetadata(t *testing.T) {
	t.Parallel()
	r := started(t)
	before := r.host.State()
	ref := r.define(extend(natNet("default", 3), "<virbr:ipv6 advprefix='fd00:7::/64'/>"))
	if strings.Contains(r.xml(ref, true), "\n  <ipv6") {
		t.Errorf("the definition is not as it was written:\n%s", r.xml(ref, true))
	}
	other := strings.Replace(natNet("other", 4), "  <ip ", "  <ip family='ipv6' address='fd00:7::5' prefix='64'/>\n  <ip ", 1)
	if _, err := r.d.DefineXML(t.Context(), other, false); err == nil {
		t.Error("another network got its prefix")
	}
	r.start(ref)
	if !strings.Contains(r.host.State(), "fd00:7::1/64") {
		t.Errorf("no prefix:\n%s", r.host.State())
	}
	r.reopen()
	for _, step := range []struct{ text, on, off string }{
		{"<network><ipv6 advprefix='fd00:8::/64'/></network>", "fd00:7::1/64 fd00:8::1/64", "fd00:9::1/64"}, // guests have the former one for a while
		{"<network><firewall coexist='no'/></network>", "192.168.3.1/24", "fd00:"},
		{"<network><ipv6 advprefix='fd00:9::/64'/></network>", "fd00:9::1/64", "fd00:8::1/64"},
	} {
		if err := r.setExtensions(ref, driver.AffectLive|driver.AffectConfig, step.text); err != nil {
			t.Fatalf("%s: %v", step.text, err)
		}
		if state := r.host.State(); !strings.Contains(state, step.on) || strings.Contains(state, step.off) {
			t.Errorf("%s: want %s and not %s in\n%s", step.text, step.on, step.off, state)
		}
	}
	err := r.setExtensions(ref, driver.AffectLive, "<network><ip type='auto'/></network>")
	wantKind(t, err, driver.KindOperationUnsupported, "element 'virbr:ip' of network 'default' cannot change while it runs: change the persistent definition and start the network anew")
	r.destroy(ref)
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("what is left on the host (-before +after):\n%s", diff)
	}
}

// TestLiveDocumentDefinesAgain: what a running network prints of itself, with what
// its metadata came to, is accepted, and means the same.
func TestLiveDocumentDefinesAgain(t *testing.T) {
	t.Parallel()
	r := started(t)
	doc := natNet("default", 3)
	from, to := strings.Index(doc, "  <ip "), strings.Index(doc, "</network>")
	doc = extend(doc[:from]+doc[to:], "<virbr:ip type='auto'/><virbr:ipv6 advprefix='ula'/>")
	ref, err := r.d.CreateXML(t.Context(), doc, false)
	if err != nil {
		t.Fatal(err)
	}
	live := r.xml(ref, false)
	if strings.Count(live, "<ip ") != 1 || strings.Count(live, "<ipv6 ") != 1 {
		t.Errorf("running:\n%s", live)
	}
	r.destroy(ref)
	again := r.define(live)
	r.start(again)
	if got := r.xml(again, false); strings.Count(got, "<ip ") != 1 || strings.Count(got, "<ipv6 ") != 1 {
		t.Errorf("running again:\n%s", got)
	}
}

// wantTaken wants the refusal of what somebody else has.
func wantTaken(t *testing.T, err error, msg string) {
	t.Helper()
	if refused, ok := errors.AsType[*plan.Error](err); !ok || refused.Kind != plan.KindFailed || refused.Msg != msg {
		t.Errorf("got error %v, want %q", err, msg)
	}
}

// TestConflicts: a port belongs to one network, or to who listens on it. Who asks for
// it then is refused, and told who has it.
func TestConflicts(t *testing.T) {
	t.Parallel()
	r := started(t)
	a := r.define(extend(natNet("a", 3), web))
	b := r.define(natNet("b", 4))
	r.start(a)
	r.start(b)
	before := r.host.State()
	other := func() error {
		return r.setExtensions(b, driver.AffectLive, "<network>"+strings.ReplaceAll(web, "virbr:", "")+"</network>")
	}
	const taken = "network 'b' cannot have tcp port 8080 at any IPv4 address: network 'a' has tcp port 8080 at any IPv4 address"
	wantTaken(t, other(), taken)
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("host (-before +after)\n%s", diff)
	}
	r.reopen()
	wantTaken(t, other(), taken)
	r.destroy(a)
	if err := other(); err != nil {
		t.Error(err)
	}
	r.host.Listen(driver.Listener{Proto: "tcp", Address: netip.IPv6Unspecified(), Both: true, Port: 9000, Process: step.Process{PID: 812, Name: "nginx"}})
	r.host.Listen(driver.Listener{Proto: "tcp", Address: netip.MustParseAddr("10.0.0.5"), Port: 9001})
	add := func(f xml.PortForward) error {
		f.Guest = "web1"
		return r.edit(b, func(e *xml.Extensions) error { return e.AddForward(f, xml.Last) })
	}
	held := r.host.State()
	wantTaken(t, add(xml.PortForward{Proto: "tcp", Ranges: []xml.ForwardRange{{Start: 8999, End: 9000}}}),
		"network 'b' cannot have tcp port 9000 at any IPv4 address: nginx (pid 812) listens on tcp port 9000")
	wantTaken(t, add(xml.PortForward{Proto: "tcp", Address: netip.MustParseAddr("10.0.0.5"), Ranges: []xml.ForwardRange{{Start: 9001}}}),
		"network 'b' cannot have tcp port 9001 at 10.0.0.5: a program listens on tcp port 9001")
	wantTaken(t, add(xml.PortForward{Proto: "udp", Ranges: []xml.ForwardRange{{Start: 53}}}),
		"network 'b' cannot have udp port 53 at any IPv4 address: its own dnsmasq serves its guests on udp port 53; forward from one address of the host only")
	if diff := cmp.Diff(held, r.host.State()); diff != "" {
		t.Errorf("host (-before +after)\n%s", diff)
	}
	for _, f := range []xml.PortForward{
		{Proto: "tcp", Address: netip.MustParseAddr("10.0.0.6"), Ranges: []xml.ForwardRange{{Start: 9001}}},
		{Proto: "udp", Ranges: []xml.ForwardRange{{Start: 9000}}},
		{Proto: "tcp"}, // what is listened on is left alone
	} {
		if err := add(f); err != nil {
			t.Errorf("%s: %v", &f, err)
		}
	}
}

// TestTakenPort: a network starts without a port that somebody has, and gets it when
// it is free; also when the daemon was started anew meanwhile.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := started(t)
		nginx := driver.Listener{Proto: "tcp", Address: netip.IPv6Unspecified(), Both: true, Port: 8080, Process: step.Process{PID: 812, Name: "nginx"}}
		r.host.Listen(nginx)
		a := r.define(extend(natNet("a", 3), web+"<virbr:portForward proto='tcp' guest='web1'><virbr:range start='8022' to='22'/></virbr:portForward>"))
		b := r.define(extend(natNet("b", 4), strings.Replace(web, "8080", "8022", 1)))
		r.start(a)
		r.start(b)
		const ssh = "tcp *:8022 to web1:22 2 [192.168.3.10]"
		r.wantPhases(a, "tcp *:8080 to web1:80 1 [192.168.3.10] taken by nginx (pid 812), tried again every 15 seconds\n"+ssh)
		r.wantPhases(b, "tcp *:8022 to web1:80 1 [192.168.4.10] taken by network 'a', tried again every 15 seconds")
		r.reopen()
		r.wantPhases(a, "tcp *:8080 to web1:80 1 [192.168.3.10] taken by nginx (pid 812), tried again every 15 seconds\n"+ssh)
		r.follow()
		r.host.Tell(driver.Change{Kind: driver.ChangeLeases}) // as a host does at first
		synctest.Wait()
		r.host.Unlisten("tcp", 8080)
		time.Sleep(time.Minute)
		synctest.Wait()
		r.wantPhases(a, "tcp *:8080 to web1:80 2 [192.168.3.10]\n"+ssh)
		r.host.Listen(nginx) // it has come too late
		r.lease("virbr3", "52:54:00:00:00:01 192.168.3.20 db")
		synctest.Wait()
		r.wantPhases(a, "tcp *:8080 to web1:80 2 [192.168.3.10]\n"+ssh)
		r.destroy(a)
		time.Sleep(time.Minute)
		synctest.Wait()
		r.wantPhases(b, "tcp *:8022 to web1:80 2 [192.168.4.10]")
	})
}

// TestPublicAddress: it is answered for where the host's route says that it is on
// the link.
func TestPublicAddress(t *testing.T) {
	t.Parallel()
	r := started(t)
	r.host.AddRoute(step.Route{Dest: netip.MustParsePrefix("203.0.113.0/24"), Link: "eth0"})
	before := r.host.State()
	ref := r.define(extend(natNet("default", 3), "<virbr:address public='203.0.113.7' guest='web1'/><virbr:address public='198.51.100.7' guest='192.168.3.11'/>"))
	r.start(ref)
	state := r.host.State()
	for line, want := range map[string]bool{"proxy eth0 203.0.113.7": true, "route 203.0.113.7 virbr3": true, "198.51.100.7": false} {
		if strings.Contains(state, line) != want {
			t.Errorf("%q: want %v in\n%s", line, want, state)
		}
	}
	r.reopen()
	if diff := cmp.Diff(state, r.host.State()); diff != "" {
		t.Errorf("after a restart (-before +after)\n%s", diff)
	}
	if err := r.edit(ref, func(e *xml.Extensions) error { e.Publics = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.host.State(), "203.0.113.7") {
		t.Errorf("still answered for:\n%s", r.host.State())
	}
	r.destroy(ref)
	if diff := cmp.Diff(before, r.host.State()); diff != "" {
		t.Errorf("what is left on the host (-before +after):\n%s", diff)
	}
}

// TestIsolatedForward: an isolated network's first forward makes the host a
// router; others leave that as it is.
func TestIsolatedForward(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(strings.Replace(natNet("default", 3), "<forward mode='nat'/>", "", 1))
	r.start(ref)
	const router = "sysctl net/ipv4/ip_forward = 1"
	add := func(port uint16) string {
		t.Helper()
		r.host.Lines()
		err := r.edit(ref, func(e *xml.Extensions) error {
			return e.AddForward(xml.PortForward{Proto: "tcp", Guest: "web1", Ranges: []xml.ForwardRange{{Start: port}}}, xml.Last)
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.host.Lines(), "\n")
	}
	if lines := add(80); !strings.Contains(lines, router) {
		t.Errorf("the first did\n%s", lines)
	}
	if lines := add(81); strings.Contains(lines, router) {
		t.Errorf("the second did\n%s", lines)
	}
}

// TestEditsAreNotLost: two who edit at the same time both have their forward.
func TestEditsAreNotLost(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 3))
	r.start(ref)
	const editors = 20
	errs := make(chan error)
	for i := range editors {
		go func() {
			errs <- r.edit(ref, func(e *xml.Extensions) error {
				return e.AddForward(xml.PortForward{Proto: "tcp", Guest: "web1", Ranges: []xml.ForwardRange{{Start: uint16(8000 + i)}}}, xml.Last)
			})
		}()
	}
	for range editors {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	list, err := r.d.Forwards(t.Context(), ref)
	if err != nil || len(list) != editors {
		t.Errorf("%d forwards (%v), want %d", len(list), err, editors)
	}
	refused := errors.New("no")
	if err := r.edit(ref, func(*xml.Extensions) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("a refused edit gave %v", err)
	}
}
