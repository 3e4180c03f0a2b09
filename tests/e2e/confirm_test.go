package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	api "github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestConfirm: what is applied with --confirm is undone unless it is confirmed, whatever
// becomes of the daemon meanwhile, and nobody else changes the networks until then.
func TestConfirm(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "dnsmasq", "nft", "ping", "tc")
		newOutside(t)
		d := startVirbrd(t)
		dir := t.TempDir()
		lab, changed, fresh := filepath.Join(dir, "lab.xml"), filepath.Join(dir, "changed.xml"), filepath.Join(dir, "new.xml")
		write(t, lab, labXML)
		write(t, changed, strings.NewReplacer("10.77.0", "10.79.0", "mode='nat'", "mode='route'", "br-lab", "br-new").Replace(labXML))
		write(t, fresh, strings.NewReplacer("lab", "fresh", "10.77", "10.83", "77:00:00", "77:00:0c").Replace(labXML))
		mustVirbr(t, "apply", lab)
		d.virsh("net-start", "lab")
		g := netnstest.NewGuest(t, "lab", "br-lab")
		g.Address(t, netip.MustParsePrefix("10.77.0.7/24"))
		g.Address(t, netip.MustParsePrefix("10.79.0.7/24"))
		before := asStarted(t, "br-lab")
		definition := d.virsh("net-dumpxml", "--inactive", "lab")
		asBefore := func() error {
			if diff := cmp.Diff(before, asStarted(t, "br-lab")); diff != "" {
				return fmt.Errorf("(-before +now):\n%s", diff)
			}
			if diff := cmp.Diff(definition, d.virsh("net-dumpxml", "--inactive", "lab")); diff != "" {
				return fmt.Errorf("the definition (-before +now):\n%s", diff)
			}
			if out, err := d.try("net-info", "fresh"); err == nil {
				return fmt.Errorf("a network that was not there before:\n%s", out)
			}
			return pings(g, t, "10.77.0.1")
		}
		try := func(time string) {
			t.Helper()
			mustVirbr(t, "apply", "--confirm", time, changed, fresh)
			if err := pings(g, t, "10.79.0.1"); err != nil {
				t.Errorf("it was not applied: %v", err)
			}
		}

		try("1h")
		write(t, filepath.Join(dir, "known.xml"), d.virsh("net-dumpxml", "--inactive", "fresh"))
		refused := regexp.MustCompile(`a change of network '(lab|fresh)' waits for its confirmation until [-0-9: ]{19}; run "virbr confirm`)
		for _, args := range [][]string{
			{"net-update", "lab", "add", "dns-txt", "<txt name='a.example' value='b'/>", "--live"}, {"net-define", filepath.Join(dir, "known.xml")}, {"net-destroy", "lab"}, {"net-undefine", "lab"},
			{"net-autostart", "lab"}, {"net-start", "fresh"}, {"net-create", filepath.Join(dir, "known.xml")},
		} {
			if out, err := d.try(args...); err == nil || !strings.Contains(err.Error(), "Requested operation is not valid: a change") || !refused.MatchString(err.Error()) {
				t.Errorf("%v while a change is not confirmed: %v\n%s", args, err, out)
			}
		}
		for _, args := range [][]string{{"apply", lab}, {"forward", "add", "lab", "8080:80", "10.77.0.7"}, {"rollback", "--yes", "lab", "1"}} {
			if _, err := tool(t, args...); exitOf(err) != 1 || !refused.MatchString(err.Error()) {
				t.Errorf("%v while a change is not confirmed: %v", args, err)
			}
		}
		told := regexp.MustCompile(`network lab: its last change is undone at [-0-9: ]{19}, unless you run: virbr confirm lab\n`)
		for _, args := range [][]string{{"status"}, {"status", "lab"}, {"history", "lab"}} {
			if out, err := tool(t, args...); err != nil || !told.MatchString(out) {
				t.Errorf("%v: %v\n%s", args, err, out)
			}
		}
		d.kill()
		d.start(bin("virbrd"))
		mustVirbr(t, "confirm", "fresh") // with all that was changed with it
		if out := mustVirbr(t, "history", "lab"); told.MatchString(out) {
			t.Errorf("after the confirmation:\n%s", out)
		}
		if _, err := tool(t, "confirm", "lab"); exitOf(err) != 1 {
			t.Errorf("there is nothing to confirm: %v", err)
		}
		d.virsh("net-undefine", "fresh")
		mustVirbr(t, "apply", "--yes", lab)
		if err := asBefore(); err != nil {
			t.Error(err)
		}

		mustVirbr(t, "rollback", "--confirm", "1h", "lab")
		if err := pings(g, t, "10.79.0.1"); err != nil {
			t.Errorf("the definition before was not applied: %v", err)
		}
		mustVirbr(t, "rollback", "lab")
		if err := asBefore(); err != nil {
			t.Errorf("after a rollback that was rolled back: %v", err)
		}

		try("1h")
		mustVirbr(t, "rollback", "lab")
		if err := asBefore(); err != nil {
			t.Errorf("after virbr rollback: %v", err)
		}

		try("1s")
		netnstest.Wait(t, "what is not confirmed is undone", asBefore)
		if out := historyOf(t, "lab"); !strings.HasSuffix(out, " nobody not confirmed in time\n") {
			t.Errorf("history:\n%s", out)
		}

		try("1h")
		d.kill()
		journals, err := filepath.Glob("/var/lib/virbr/applying/*.json")
		if err != nil || len(journals) != 1 {
			t.Fatalf("%v %v", journals, err)
		}
		write(t, journals[0], regexp.MustCompile(`"until":"[^"]*"`).ReplaceAllString(read(t, journals[0]), `"until":"2026-01-01T00:00:00Z"`))
		d.start(bin("virbrd"))
		if err := asBefore(); err != nil {
			t.Errorf("after a start when it was too late: %v", err)
		}

		try("1h") // then the host is booted, and its time has not come
		d.kill()
		run(t, "ip", "link", "del", "br-new")
		for _, gone := range []string{"/run/libvirt/network", "/run/virbr"} {
			if err := os.RemoveAll(gone); err != nil {
				t.Fatal(err)
			}
		}
		d.start(bin("virbrd"))
		if _, err := d.try("net-start", "lab"); err == nil || !refused.MatchString(err.Error()) {
			t.Errorf("after a boot: %v", err)
		}
		mustVirbr(t, "rollback", "lab")
		if diff := cmp.Diff(definition, d.virsh("net-dumpxml", "--inactive", "lab")); diff != "" {
			t.Errorf("after a boot (-before +now):\n%s", diff)
		}
		if out := d.virsh("net-info", "lab"); !strings.Contains(out, "Active:         no") {
			t.Errorf("somebody started it:\n%s", out)
		}

		ctx := t.Context()
		c, err := api.Dial(ctx, api.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Apply(ctx, []string{read(t, changed)}, false, time.Hour); err != nil {
			t.Fatal(err)
		}
		n, err := c.Lookup(ctx, "lab")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Confirm(ctx, n); err == nil || !strings.Contains(err.Error(), "use a new one") {
			t.Errorf("confirmed by the connection that applied it: %v", err)
		}
		mustVirbr(t, "confirm", "lab")
	})
}

// TestDefineLive: where the definition or virbrd.conf says so, stock virsh changes a
// running network by defining it; all of it, or nothing.
func TestDefineLive(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "virsh", "ip", "dnsmasq", "nft", "ping")
		d := startVirbrd(t)
		path := filepath.Join(t.TempDir(), "lab.xml")
		define := func(doc string) error {
			write(t, path, strings.Replace(doc, "<mac address='52:54:00:77:00:00'/>\n", "", 1)) // it keeps the one that it has
			_, err := d.try("net-define", path)
			return err
		}
		uuid := "<network><uuid>c0ffee00-0000-4000-8000-000000000077</uuid>"
		base := strings.Replace(labXML, "<network>", uuid, 1)
		says := func(word, old, more string) string {
			doc := in("network", "<metadata><virbr:network xmlns:virbr='urn:virbr:network:1' apply='"+word+"'/></metadata>")(base)
			return strings.Replace(doc, old, more, 1)
		}
		if err := define(says("live", "", "")); err != nil { // it does not run
			t.Fatal(err)
		}
		d.virsh("net-start", "lab")
		g := netnstest.NewGuest(t, "lab", "br-lab")
		g.Address(t, netip.MustParsePrefix("10.77.0.7/24"))
		p := startPing(t, g, "10.77.0.1")
		if err := define(says("live", "10.77.0.99", "10.77.0.88")); err != nil {
			t.Error(err)
		}
		now := func() string { return d.virsh("net-dumpxml", "lab") + d.virsh("net-dumpxml", "--inactive", "lab") }
		if text := now(); strings.Count(text, "10.77.0.88") != 2 {
			t.Errorf("it is not changed at once:\n%s", text)
		}
		if lost := p.lost(t); lost > 0 {
			t.Errorf("%d packets were lost", lost)
		}
		before := now()
		for doc, want := range map[string]string{
			says("live", "<forward mode='nat'/>", ""):               "guests would be cut off",
			says("never", "10.77.0.99", "10.77.0.88"):               "Invalid value for attribute 'apply'",
			says("live", "end='10.77.0.99'/>", "end='10.78.0.1'/>"): "",
		} {
			if err := define(doc); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("defining what cannot be applied: %v, want %q", err, want)
			}
			if diff := cmp.Diff(before, now()); diff != "" {
				t.Errorf("something was changed (-before +now):\n%s", diff)
			}
		}
		for _, doc := range []string{says("start", "10.77.0.99", "10.77.0.66"), strings.Replace(base, "10.77.0.99", "10.77.0.66", 1)} {
			if err := define(doc); err != nil {
				t.Error(err)
			}
			if text := now(); strings.Count(text, "10.77.0.88") != 1 || strings.Count(text, "10.77.0.66") != 1 {
				t.Errorf("it is not for the next start:\n%s", text)
			}
		}
		d.kill()
		write(t, "/etc/virbr/virbrd.conf", "apply = \"live\"\n")
		d.start(bin("virbrd"))
		if err := define(strings.Replace(base, "10.77.0.99", "10.77.0.55", 1)); err != nil {
			t.Error(err)
		}
		if text := now(); strings.Count(text, "10.77.0.55") != 2 {
			t.Errorf("as virbrd.conf has it:\n%s", text)
		}
		if err := define(says("start", "10.77.0.99", "10.77.0.44")); err != nil {
			t.Error(err)
		}
		if text := now(); strings.Count(text, "10.77.0.44") != 1 {
			t.Errorf("the definition says that it is for the next start:\n%s", text)
		}
	})
}
